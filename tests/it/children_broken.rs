//! When the executable of a kitchen is broken: it cannot be executed, ends at once, or never says that it is up.
//!
//! The executable is really another one: the service has a mount namespace of its own, in which `/proc/self/exe` is
//! whatever the test put there. The service deliberately knows nothing of this.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::access_keys::file;
use crate::harness::{self, House, eventually};

/// The longest pause between two tries is 5 s; the rest is a busy machine.
const RECOVERY: Duration = Duration::from_secs(20);
/// Lines a second that a house in trouble may log (reliability, row B4).
const LINES_PER_S: u64 = 20;

/// A service that finds this in the place of its own executable, until it is mended.
struct Broken {
    house: House,
    log: PathBuf,
    starts: PathBuf,
}

impl Broken {
    /// Puts a script there. What it writes to `$STARTS` is counted.
    fn by(name: &str, script: &str, mode: u32) -> Self {
        let log = file(&format!("{name}-log"), "");
        let starts = file(&format!("{name}-starts"), "");
        let mut command = Command::new("unshare");
        command.args(["--mount", harness::BINARY]).stderr(fs::File::create(&log).unwrap());
        let house = harness::open_as(&mut command, &[]);
        let folder = starts.with_extension("proc");
        fs::create_dir_all(folder.join("self")).unwrap();
        let executable = folder.join("self/exe");
        fs::write(&executable, script.replace("$STARTS", &starts.display().to_string())).unwrap();
        fs::set_permissions(&executable, fs::Permissions::from_mode(mode)).unwrap();
        inside(&house, &["mount", "--bind", folder.to_str().unwrap(), "/proc"]);
        Self { house, log, starts }
    }

    /// The executable is itself again.
    fn mend(&self) {
        inside(&self.house, &["umount", "/proc"]);
    }

    fn lines(path: &Path) -> u64 {
        fs::read_to_string(path).unwrap().lines().count() as u64
    }
}

/// Runs a command in the mount namespace of the service.
fn inside(house: &House, command: &[&str]) {
    let entered =
        Command::new("nsenter").args(["--mount", "--target", &house.pid().to_string()]).args(command).status();
    assert!(entered.expect("NOT TESTED: nsenter is needed").success(), "NOT TESTED: {command:?} needs root");
}

/// The house's own pool, and every kind of kitchen that an order can have for itself.
fn orders() -> [Value; 4] {
    [
        json!({"model": "multiprocessing", "io_ms": 1, "dishes": 2}),
        json!({"model": "multiprocessing", "setup": {"kitchens": 2}, "io_ms": 1, "dishes": 4}),
        json!({"model": "multiprocessing", "setup": {"kitchens": "per_step"}, "io_ms": 1, "dishes": 4}),
        json!({"model": "asyncio", "isolation": "kitchen", "io_ms": 1}),
    ]
}

async fn fails_says_so_and_recovers(broken: Broken, kinds: &[&str]) {
    let (house, began) = (&broken.house, Instant::now());
    for order in orders() {
        let ended = house.cook(order.clone()).await;
        assert_eq!(ended["status"], "failed", "{order}: {ended}");
        assert!(kinds.iter().any(|kind| ended["error"]["kind"] == *kind), "{order}: {ended}");
    }
    let ready: Value = house.json("/readyz").await;
    assert_eq!(ready["status"], "degraded", "{ready}");
    assert_eq!(house.cook(json!({"model": "asyncio", "io_ms": 1})).await["status"], "succeeded");
    let (lines, seconds) = (Broken::lines(&broken.log), began.elapsed().as_secs() + 1);
    assert!(lines <= LINES_PER_S * seconds, "{lines} lines in {seconds} s");
    broken.mend();
    eventually(RECOVERY, "it has recovered without an order", async || {
        house.json("/readyz").await["status"] == "ok" && !house.children().is_empty()
    })
    .await;
    // The pool may still hold one that is not known to be broken: only in time does it hang.
    let pooled = async || house.cook(orders()[0].clone()).await["status"] == "succeeded";
    eventually(RECOVERY, "the house's pool cooks", pooled).await;
    for order in orders() {
        assert_eq!(house.cook(order.clone()).await["status"], "succeeded", "{order}");
    }
}

#[tokio::test]
async fn one_that_cannot_be_executed() {
    fails_says_so_and_recovers(Broken::by("not-executable", "", 0o600), &["spawn"]).await;
    fails_says_so_and_recovers(Broken::by("no-format", "\0 is no program", 0o700), &["spawn"]).await;
}

#[tokio::test]
async fn one_that_ends_at_once() {
    fails_says_so_and_recovers(Broken::by("exits", "#!/bin/sh\nexit 3\n", 0o700), &["spawn", "exit"]).await;
    let words = "#!/bin/sh\necho a line where a frame should be\nexit 0\n";
    fails_says_so_and_recovers(Broken::by("talks", words, 0o700), &["spawn", "exit"]).await;
}

#[tokio::test]
async fn one_that_is_killed_at_once() {
    fails_says_so_and_recovers(Broken::by("dies", "#!/bin/sh\nkill -SEGV $$\n", 0o700), &["signal"]).await;
}

#[tokio::test]
async fn one_that_never_says_that_it_is_up() {
    // It closes nothing and does nothing: ended when it was at rest for as long as a kitchen may be.
    let broken = Broken::by("silent", "#!/bin/sh\nexec sleep 1000\n", 0o700);
    fails_says_so_and_recovers(broken, &["hang", "spawn"]).await;
}

#[tokio::test]
async fn the_house_tries_less_and_less_often() {
    // Nobody asks for anything any more, and it goes on trying: two at first, then after 100, 200, 400, 800 and 1,600 ms.
    tries_seven_times("counted", "exit 3", Duration::from_millis(3_000)).await;
    // A kill may come from outside and say nothing of the executable: the third comes at once, but no fourth does.
    tries_seven_times("killed", "kill -KILL $$", Duration::from_millis(1_400)).await;
}

/// The house's pool with an executable that ends like this takes at least so long for seven tries.
async fn tries_seven_times(name: &str, ends: &str, at_least: Duration) {
    let broken = Broken::by(name, &format!("#!/bin/sh\necho >> $STARTS\n{ends}\n"), 0o700);
    let began = Instant::now();
    assert_eq!(broken.house.cook(orders()[0].clone()).await["status"], "failed");
    eventually(Duration::from_secs(60), "a seventh try", async || Broken::lines(&broken.starts) >= 7).await;
    let took = began.elapsed();
    assert!(took >= at_least, "{name}: seven tries in {took:?}");
    assert!(broken.house.children().is_empty(), "nobody is left behind");
}

#[tokio::test]
async fn one_that_is_killed_once_before_it_is_up_is_replaced_without_a_rest() {
    // Only one can take the file away, and that one is killed.
    let once = format!("#!/bin/sh\nmv $STARTS $STARTS.1 2>&- && kill -KILL $$\nexec {} \"$@\"\n", harness::BINARY);
    let broken = Broken::by("killed-once", &once, 0o700);
    let hit = broken.house.cook(orders()[0].clone()).await;
    assert_eq!((&hit["status"], &hit["error"]["kind"]), (&json!("failed"), &json!("signal")), "{hit}");
    assert_eq!(broken.house.cook(orders()[0].clone()).await["status"], "succeeded");
    assert!(!broken.starts.exists(), "NOT TESTED: none was killed");
    // A house that rests says why, in its log and to whoever asks whether it is ready.
    assert_eq!(broken.house.json("/readyz").await["status"], "ok");
    let log = fs::read_to_string(&broken.log).unwrap();
    assert!(!log.contains("cannot start a kitchen"), "{log}");
}
