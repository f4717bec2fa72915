//! Why a kitchen ended that should not have, and what is written down of the step it took with it.
//!
//! It deliberately decides nothing: who fails and who is replaced is the brigade's business.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

use super::kitchen::Kitchen;
use crate::clock;
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::record::{Outcome, Terms, Worker};
use crate::model::work::{OOM_EXIT_CODE, Performed};

/// The end of a kitchen.
pub(super) struct Death {
    pub(super) kind: ErrorKind,
    pub(super) detail: String,
    /// Somebody else killed it: neither the house, nor the kernel for its memory, nor the kitchen itself.
    pub(super) from_outside: bool,
}

impl Death {
    /// Of this kitchen, which left this status. `oom_killed` says that the kernel ended one to have its memory.
    pub(super) fn of(kitchen: &Kitchen, status: Option<ExitStatus>, oom_killed: bool) -> Self {
        let (kind, detail) = cause(kitchen, status, oom_killed);
        let killed = status.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()));
        Self { kind, detail, from_outside: killed && kind == ErrorKind::Signal }
    }
}

/// How Rust begins the last words of a process whose allocation was refused (`handle_alloc_error`).
const REFUSED: &str = "memory allocation of";

fn cause(kitchen: &Kitchen, status: Option<ExitStatus>, oom_killed: bool) -> (ErrorKind, String) {
    let pid = kitchen.pid;
    let Some(status) = status else { return (ErrorKind::Exit, format!("kitchen {pid} is gone")) };
    let signal = |number: i32| status.signal() == Some(number);
    let words = kitchen.words.get().map_or("", |words| words.trim());
    // Threads that are refused at the same time write into each other's words; the last of them is whole.
    let refused = words.rfind(REFUSED).map(|at| words[at..].lines().next().unwrap_or_default());
    match (kitchen.hung.get(), refused) {
        (Some(how), _) if signal(Signal::KILL.as_raw()) => return (ErrorKind::Hang, how.clone()),
        (_, Some(words)) if signal(Signal::ABORT.as_raw()) => {
            return (ErrorKind::Oom, format!("kitchen {pid} ran out of memory: {words}"));
        }
        _ if signal(Signal::KILL.as_raw()) && oom_killed => {
            return (ErrorKind::Oom, format!("kitchen {pid} was ended by the kernel, which ran out of memory"));
        }
        _ if signal(Signal::XCPU.as_raw()) => {
            return (ErrorKind::Hang, format!("kitchen {pid} used more CPU time than its work can need"));
        }
        _ => {}
    }
    match (status.signal(), status.code()) {
        (Some(signal), _) => (ErrorKind::Signal, format!("kitchen {pid} was ended by signal {signal}")),
        (_, Some(OOM_EXIT_CODE)) => (ErrorKind::Oom, format!("kitchen {pid} ran out of memory")),
        (_, code) => (ErrorKind::Exit, format!("kitchen {pid} exited with code {}", code.unwrap_or(-1))),
    }
}

/// A step's record when its kitchen did not live to write it.
pub(super) fn obituary(pid: u32, since: Ns, outcome: Outcome, error: Option<(ErrorKind, String)>) -> Performed {
    Performed {
        started: since,
        finished: clock::now(),
        terms: Terms::default(),
        worker: Worker { pid, tid: pid },
        outcome,
        value: None,
        error,
    }
}
