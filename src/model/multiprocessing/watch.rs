//! Whether a kitchen hangs: it is late with its work, and not because it had no core.
//!
//! Time alone proves nothing here. Kitchens yield to the service, hundreds may share a core, and supervisors that count
//! seconds are known for killing whoever is busy. So a kitchen that is late is looked at, and one of two things speaks
//! against it: either neither it nor any process below it has run, or wanted to run, for a whole second (it is stopped,
//! or sleeps for ever), or it has used several times the CPU time its work can need (it loops). A process that waits for
//! a core is runnable, so no load, however high, gets anybody killed. It deliberately sends no pings.

use std::fs;
use std::time::Duration;

use super::bounds;
use super::kitchen::{Kitchen, Unit};
use crate::clock;
use crate::domain::Ns;

/// Time between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// Looks in a row that must find a late kitchen at rest: a second. Between two of them everything it said was heard.
const LOOKS_AT_REST: u32 = 4;

/// What is known of a kitchen that is late.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// When its unit was last heard of: tells one unit from the next.
    since: Ns,
    /// CPU time the first time it was late, in clock ticks.
    cpu_before: u64,
    /// CPU time at the last look.
    cpu: u64,
    at_rest: u32,
}

/// What a kitchen is measured by.
pub(super) struct Measure {
    /// Since when nothing was heard of this unit.
    pub(super) since: Ns,
    /// How long it may be at rest.
    pub(super) patience: Duration,
    /// CPU time it may use once it is late.
    pub(super) cpu: Duration,
}

impl Measure {
    /// Of what it has in hand.
    pub(super) fn of(unit: &Unit) -> Self {
        match unit {
            Unit::Step { line, taken, since, .. } => {
                let work = line.run.spec.work(taken.at);
                Self { since: *since, patience: bounds::patience(work), cpu: bounds::cpu_of_step(work) }
            }
            Unit::Share(share) => Self {
                since: share.heard,
                patience: bounds::patience_with_dishes(&share.spec),
                cpu: bounds::cpu_of_dishes(&share.spec),
            },
        }
    }

    /// Of a kitchen that is still starting.
    pub(super) fn of_start(since: Ns) -> Self {
        Self { since, patience: bounds::LEAST, cpu: bounds::LEAST }
    }
}

impl Suspicion {
    /// Looks at it; answers why it has to go.
    pub(super) fn look(&mut self, kitchen: &Kitchen, by: &Measure, now: Ns) -> Option<String> {
        if now < by.since.saturating_add(clock::ns(by.patience)) {
            return None;
        }
        let pid = kitchen.pid;
        let sight = Sight::of(pid);
        if self.since != by.since {
            *self = Self { since: by.since, cpu_before: sight.cpu, cpu: sight.cpu, at_rest: 0 };
        }
        let moved = sight.wants_to_run || sight.cpu != self.cpu;
        self.cpu = sight.cpu;
        self.at_rest = if moved { 0 } else { self.at_rest + 1 };
        if self.at_rest >= LOOKS_AT_REST {
            let late_s = Duration::from_nanos(now - by.since).as_secs_f64();
            let how = if sight.stopped { "was stopped" } else { "did nothing" };
            return Some(format!("kitchen {pid} {how} and gave no answer for {late_s:.1} s"));
        }
        let used = Duration::from_millis(sight.cpu.saturating_sub(self.cpu_before) * TICK_MS);
        (used > by.cpu).then(|| format!("kitchen {pid} used {} s of CPU and gave no answer", used.as_secs()))
    }
}

/// Milliseconds of a clock tick in `/proc/PID/stat`: 100 a second on every Linux (`USER_HZ`).
const TICK_MS: u64 = 10;

/// A process and all below it, at one moment.
#[derive(Debug, Default)]
struct Sight {
    /// CPU time of all of them, in ticks.
    cpu: u64,
    /// A thread of theirs runs, waits for a core, or is in the kernel's hands (a page that is fetched).
    wants_to_run: bool,
    /// The first of them is stopped by a signal or a debugger.
    stopped: bool,
}

impl Sight {
    fn of(pid: u32) -> Self {
        let mut sight = Self::default();
        let mut family = vec![pid];
        while let Some(member) = family.pop() {
            let Some((state, cpu)) = stat(&format!("/proc/{member}/stat")) else { continue };
            sight.cpu += cpu;
            sight.stopped |= member == pid && matches!(state, b'T' | b't');
            let Ok(threads) = fs::read_dir(format!("/proc/{member}/task")) else { continue };
            for thread in threads.flatten() {
                let thread = thread.path();
                let state = stat(&thread.join("stat").to_string_lossy()).map(|(state, _)| state);
                sight.wants_to_run |= matches!(state, Some(b'R' | b'D'));
                let below = fs::read_to_string(thread.join("children")).unwrap_or_default();
                family.extend(below.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        sight
    }
}

/// State and CPU time of a process or thread (`proc_pid_stat(5)`).
fn stat(path: &str) -> Option<(u8, u64)> {
    let text = fs::read_to_string(path).ok()?;
    // The name is in parentheses and may contain anything; the fields are behind the last one.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // Behind the state, the third field, come user and system time as the fourteenth and fifteenth.
    let mut times = fields.skip(10);
    let (user, system) = (times.next()?.parse::<u64>().ok()?, times.next()?.parse::<u64>().ok()?);
    Some((state, user + system))
}
