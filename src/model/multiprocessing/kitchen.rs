//! A kitchen as its parent sees it: a child process, the pipe into it, and the unit of work it has in hand.
//!
//! It deliberately decides nothing: what to cook next is the brigade's business.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::OwnedFd;

use super::frames::{self, Down};
use super::shares::Share;
use crate::clock;
use crate::domain::Ns;
use crate::domain::job::ErrorKind;
use crate::domain::recipe::{Fault, Work};
use crate::model::line_run::{LineRun, Taken};
use crate::model::run::Run;
use crate::model::work::{FAULT_EXIT_CODE, OOM_EXIT_CODE};

/// What a kitchen can have in hand.
pub(super) enum Unit {
    /// One step: since when it is in hand, and the number of its announcement.
    Step { line: Arc<LineRun>, taken: Taken, since: Ns, seq: u32 },
    /// Whole dishes.
    Share(Share),
}

impl Unit {
    /// The run it belongs to.
    pub(super) fn run(&self) -> &Arc<Run> {
        match self {
            Self::Step { line, .. } => &line.run,
            Self::Share(share) => share.run(),
        }
    }

    /// Whether a step of it takes all memory.
    pub(super) fn starves(&self) -> bool {
        let starves = |work: Work| work == Work::Fault(Fault::Oom);
        match self {
            Self::Step { line, taken, .. } => starves(line.run.spec.work(taken.at)),
            Self::Share(share) => share.spec.recipe.steps.iter().any(|step| starves(step.work)),
        }
    }

    fn frame(&self) -> Down {
        match self {
            Self::Step { line, taken, .. } => Down::Step(line.run.spec.work(taken.at)),
            Self::Share(share) => Down::Cook(Box::new(share.spec.clone()), share.run().start()),
        }
    }
}

/// A child process.
pub(super) struct Kitchen {
    /// Its process id.
    pub(super) pid: u32,
    /// Its lane in the books of whatever run it works for.
    pub(super) lane: usize,
    /// It said that it is up.
    pub(super) greeted: AtomicBool,
    stdin: Mutex<Option<OwnedFd>>,
    child: Mutex<Child>,
    in_hand: Mutex<Option<Unit>>,
}

impl Kitchen {
    pub(super) fn new(mut child: Child, lane: usize) -> Self {
        let stdin = child.stdin.take().map(OwnedFd::from);
        Self {
            pid: child.id(),
            lane,
            greeted: AtomicBool::new(false),
            stdin: Mutex::new(stdin),
            child: Mutex::new(child),
            in_hand: Mutex::new(None),
        }
    }

    /// Hands over a unit. A kitchen that is gone keeps it until its end is noticed.
    pub(super) fn give(&self, unit: Unit) {
        let frame = unit.frame();
        *self.hand() = Some(unit);
        self.say(&frame);
    }

    fn say(&self, frame: &Down) {
        let stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fd) = stdin.as_ref()
            && let Err(error) = frames::write(fd, frame)
        {
            tracing::debug!(pid = self.pid, %error, "kitchen does not listen");
        }
    }

    fn hand(&self) -> std::sync::MutexGuard<'_, Option<Unit>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the unit back.
    pub(super) fn take(&self) -> Option<Unit> {
        self.hand().take()
    }

    /// Looks at the share in hand.
    pub(super) fn with_share(&self, look: impl FnOnce(&mut Share)) {
        if let Some(Unit::Share(share)) = self.hand().as_mut() {
            look(share);
        }
    }

    /// Whether what it has in hand belongs to this run.
    pub(super) fn works_for(&self, run: &Run) -> bool {
        self.hand().as_ref().is_some_and(|unit| std::ptr::eq(&**unit.run(), run))
    }

    /// Asks it to say what it used and to end.
    pub(super) fn dismiss(&self) {
        self.say(&Down::Bye);
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Ends it now.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
    }

    /// Its status, if it has ended; then it is no zombie any more.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()
    }
}

/// SIGABRT: what a process does whose allocation is refused, and whose step was not the first to find out.
const ABORT: i32 = 6;

/// Why a kitchen ended that should not have. `starved` says that its work was to take all memory.
pub(super) fn cause(pid: u32, status: Option<ExitStatus>, starved: bool) -> (ErrorKind, String) {
    let Some(status) = status else { return (ErrorKind::Exit, format!("kitchen {pid} is gone")) };
    match (status.signal(), status.code()) {
        (Some(ABORT), _) if starved => (ErrorKind::Oom, format!("kitchen {pid} ran out of memory and aborted")),
        (Some(signal), _) => (ErrorKind::Signal, format!("kitchen {pid} was ended by signal {signal}")),
        (_, Some(OOM_EXIT_CODE)) => (ErrorKind::Oom, format!("kitchen {pid} ran out of memory")),
        (_, Some(code)) if code == FAULT_EXIT_CODE => {
            (ErrorKind::Exit, format!("kitchen {pid} exited with code {code}"))
        }
        (_, code) => (ErrorKind::Exit, format!("kitchen {pid} exited with code {}", code.unwrap_or(-1))),
    }
}

/// A step's record when its kitchen did not live to write it.
pub(super) fn obituary(
    pid: u32,
    since: Ns,
    outcome: crate::domain::record::Outcome,
    error: Option<(ErrorKind, String)>,
) -> crate::model::work::Performed {
    crate::model::work::Performed {
        started: since,
        finished: clock::now(),
        cpu: 0,
        core_wait: 0,
        worker: crate::domain::record::Worker { pid, tid: pid },
        outcome,
        value: None,
        error,
    }
}

impl Kitchen {
    /// Notes its greeting; answers whether it is the first.
    pub(super) fn greet(&self) -> bool {
        !self.greeted.swap(true, Ordering::AcqRel)
    }
}
