//! Whether the kernel ended a kitchen because memory ran out: a SIGKILL by the OOM killer looks like anybody else's.
//!
//! The counter of our memory cgroup tells: it rises by one with each kill. It deliberately does not read the kernel's
//! log, which an ordinary user may not.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Turns after which a kill that no death claimed is forgotten: it hit somebody else in our cgroup.
const TURNS: u32 = 8;

/// The counter, and how much of it is explained.
#[derive(Debug)]
pub(super) struct OomKills {
    counter: Option<File>,
    /// Kills that are explained or too old.
    base: u64,
    /// The counter's value half a memory ago.
    middle: u64,
    turns: u32,
}

impl OomKills {
    /// Of the cgroup this process is in. Without a counter no kill is told as one.
    pub(super) fn of_this_cgroup() -> Self {
        let mut kills = Self { counter: open(), base: 0, middle: 0, turns: 0 };
        kills.base = kills.read();
        kills.middle = kills.base;
        kills
    }

    fn read(&self) -> u64 {
        let mut text = [0_u8; 512];
        let Some(file) = &self.counter else { return 0 };
        let Ok(n) = file.read_at(&mut text, 0) else { return 0 };
        let text = std::str::from_utf8(&text[..n]).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    /// To be called at a steady pace. A kill is remembered for one to two times [`TURNS`]: its victim may need a while
    /// to give up its memory before its death is seen.
    pub(super) fn turn(&mut self) {
        self.turns += 1;
        if self.turns >= TURNS {
            self.turns = 0;
            let now = self.read();
            self.base = self.base.max(self.middle);
            self.middle = now;
        }
    }

    /// Whether a death by SIGKILL, just seen, was one of them. Each explains one death.
    pub(super) fn claim(&mut self) -> bool {
        let killed = self.read() > self.base;
        self.base += u64::from(killed);
        self.middle = self.middle.max(self.base);
        killed
    }
}

/// `memory.events` of version 2, else `memory.oom_control` of version 1 (cgroups(7)); first where `/proc/self/cgroup`
/// says, then, for a container that sees its own cgroup as the root, at the root.
fn open() -> Option<File> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = |prefix: &str| {
        let line = groups.lines().find_map(|line| line.split_once(':').filter(|(_, rest)| rest.starts_with(prefix)));
        line.and_then(|(_, rest)| rest.strip_prefix(prefix)).unwrap_or("/").trim_end_matches('/')
    };
    let (two, one) = (path(":"), path("memory:"));
    [
        format!("/sys/fs/cgroup{two}/memory.events"),
        format!("/sys/fs/cgroup/memory{one}/memory.oom_control"),
        "/sys/fs/cgroup/memory.events".to_owned(),
        "/sys/fs/cgroup/memory/memory.oom_control".to_owned(),
    ]
    .iter()
    .find_map(|file| File::open(file).ok())
}
