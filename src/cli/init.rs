//! Process 1 of a container, if that is what this binary was started as: the service runs as its child.
//!
//! The kernel gives orphans to process 1, which has to collect them or they stay zombies for ever. A server must not do
//! that itself: `waitpid(-1)` would take the exit codes of its own children from whoever waits for them. So this process
//! collects everybody, hands on the signals that end a service, and ends as the service ends. It deliberately does
//! nothing else, restarts nothing, and never ends before the service does.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use super::{EXIT_FAILURE, err};

/// Added to the number of the signal that ended the service, as shells do.
const SIGNALED: i32 = 128;

/// Runs as init if this is process 1; answers the service's exit code.
pub(super) fn run_if_first() -> Option<ExitCode> {
    if getpid() != Pid::INIT {
        return None;
    }
    // The main thread starts the service and stays: the death signal of a child is bound to the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let code = runtime.and_then(|runtime| runtime.block_on(run()));
    Some(code.unwrap_or_else(|error| {
        err(&format!("error: cannot run the service below process 1: {error}"));
        ExitCode::from(EXIT_FAILURE)
    }))
}

async fn run() -> io::Result<ExitCode> {
    // Listened for before the service exists, so that no signal falls in between. A child gets the default actions back.
    let mut ended = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let service = start()?;
    loop {
        let pass_on = tokio::select! {
            _ = ended.recv() => None,
            _ = terminate.recv() => Some(Signal::TERM),
            _ = interrupt.recv() => Some(Signal::INT),
            _ = hangup.recv() => Some(Signal::HUP),
        };
        if let Some(signal) = pass_on {
            // It may be gone already; then its end is the next to be heard.
            let _ = kill_process(service, signal);
        }
        if let Some(status) = collect(service) {
            return Ok(ExitCode::from(exit_code(status)));
        }
    }
}

/// The same binary with the same arguments. In a group of its own: a terminal's Ctrl-C reaches it once, through here,
/// and not twice, for to the service a second signal means "now".
#[expect(clippy::disallowed_methods, reason = "the service is no kitchen: this process starts nothing else")]
fn start() -> io::Result<Pid> {
    let child = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).process_group(0).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the service has no process id"))
}

/// Collects all that have ended; answers how the service did, if it is among them.
fn collect(service: Pid) -> Option<WaitStatus> {
    let mut how = None;
    // Ends when nobody else has ended, or nobody is left.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == service {
            how = Some(status);
        }
    }
    how
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| SIGNALED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(EXIT_FAILURE)
}
