//! A kitchen as its parent sees it: a child process, the pipe into it, and the unit of work it has in hand.
//!
//! It deliberately decides nothing: what to cook next is the brigade's business.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fd::OwnedFd;

use super::CHANNEL;
use super::frames::{self, Account, Down, Task};
use super::lending::Loans;
use super::post::Post;
use super::ring::Taker;
use super::shares::Share;
use super::watch::{Measure, Suspicion};
use crate::clock;
use crate::domain::Ns;
use crate::domain::limits;
use crate::domain::recipe::Work;
use crate::domain::spec::Choice;
use crate::model::line_run::{LineRun, Taken};
use crate::model::recorder::Delta;
use crate::model::run::Run;
use crate::model::tune;

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

    fn frame(&self, kitchen: &Kitchen) -> Down {
        match self {
            Self::Step { line, taken, .. } => {
                let (spec, at) = (&line.run.spec, taken.at);
                let work = spec.work(at);
                let in_memory = matches!(work, Work::Exchange { .. }) && spec.setup.0[CHANNEL] != Choice::Word(0);
                let asks = spec.recipe.shares(at).then_some(at);
                Down::Step(Task { work, asks, ring: in_memory.then(|| kitchen.ring()) })
            }
            Self::Share(share) => Down::Cook(Box::new(share.spec.clone()), share.run().start(), share.borrows()),
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
    /// What it has of what its order's kitchens share.
    pub(super) loans: Loans,
    taker: OnceLock<Option<Taker>>,
    /// When the call was made that started it.
    pub(super) called: Ns,
    /// When it said that it is up.
    pub(super) greeting: AtomicU64,
    /// What went over its pipe.
    pub(super) post: Post,
    suspicion: Mutex<Suspicion>,
    /// Its run was stopped, and it with it.
    stopped: AtomicBool,
    /// Why the house ended it.
    pub(super) hung: OnceLock<String>,
    /// What it wrote instead of a frame.
    pub(super) words: OnceLock<String>,
}

impl Kitchen {
    /// Of a child that the call at `called` started.
    pub(super) fn new(mut child: Child, lane: usize, called: Ns) -> Self {
        let stdin = child.stdin.take().map(OwnedFd::from);
        // A kitchen that is stopped reads nothing, and whoever hands it an order must not wait for it for ever.
        let _ = stdin.as_ref().map(|fd| rustix::io::ioctl_fionbio(fd, true));
        Self {
            pid: child.id(),
            lane,
            greeted: AtomicBool::new(false),
            stdin: Mutex::new(stdin),
            child: Mutex::new(child),
            in_hand: Mutex::new(None),
            loans: Loans::default(),
            taker: OnceLock::new(),
            called,
            greeting: AtomicU64::new(0),
            post: Post::default(),
            suspicion: Mutex::default(),
            stopped: AtomicBool::new(false),
            hung: OnceLock::new(),
            words: OnceLock::new(),
        }
    }

    /// Hands over a unit. A kitchen that is gone keeps it until its end is noticed.
    pub(super) fn give(&self, unit: Unit) {
        let frame = unit.frame(self);
        *self.hand() = Some(unit);
        self.say(&frame);
    }

    pub(super) fn say(&self, frame: &Down) {
        let stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        match stdin.as_ref().map(|fd| frames::write(fd, frame)) {
            Some(Ok(bytes)) => self.post.sent(bytes),
            None => {}
            Some(Err(error)) => {
                tracing::debug!(pid = self.pid, %error, "kitchen does not listen");
                // Half a frame may be in the pipe; nothing after it would be understood.
                self.kill();
            }
        }
    }

    fn hand(&self) -> std::sync::MutexGuard<'_, Option<Unit>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run it works for.
    pub(super) fn run(&self) -> Option<Arc<Run>> {
        self.hand().as_ref().map(|unit| unit.run().clone())
    }

    /// The descriptor of the memory it shares with the house, made when it is first needed. Without one the kitchen finds
    /// nothing there, and says so.
    fn ring(&self) -> i32 {
        let start = || Taker::start().inspect_err(|error| tracing::error!(%error, "cannot share memory")).ok();
        self.taker.get_or_init(start).as_ref().map_or(-1, Taker::fd)
    }

    /// Takes the unit back.
    pub(super) fn take(&self) -> Option<Unit> {
        self.hand().take()
    }

    /// Takes in what it wrote of the share in hand. One that writes nonsense is broken, and is ended.
    pub(super) fn absorb(&self, delta: Delta) {
        let fits = match self.hand().as_mut() {
            Some(Unit::Share(share)) => share.absorb(self.lane, delta),
            _ => true,
        };
        if !fits {
            tracing::error!(pid = self.pid, "a kitchen reports what it cannot have cooked, and is ended");
            self.kill();
        }
    }

    /// Whether what it has in hand belongs to this run.
    pub(super) fn works_for(&self, run: &Run) -> bool {
        self.hand().as_ref().is_some_and(|unit| std::ptr::eq(&**unit.run(), run))
    }

    /// Asks it to say what it used and to end.
    pub(super) fn dismiss(&self) {
        // The house keeps no accounts of its kitchens; an order's own kitchen does, and looks closely at some of them.
        let account = match tune::is_kitchen() {
            false => Account::None,
            true if self.lane <= limits::PROCESS_ROWS => Account::Full,
            true => Account::Short,
        };
        self.say(&Down::Bye(account));
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Notes what it wrote instead of a frame.
    pub(super) fn said(&self, words: String) {
        let words = self.words.get_or_init(|| words);
        if !words.is_empty() {
            tracing::debug!(pid = self.pid, words, "a kitchen's last words");
        }
    }

    /// Looks whether it hangs, and ends it if it does.
    pub(super) fn look(&self, now: Ns) {
        let measure = self.hand().as_ref().map(Measure::of);
        let starting = || (!self.greeted.load(Ordering::Acquire)).then(|| Measure::of_start(self.called));
        let Some(mut measure) = measure.or_else(starting) else { return };
        let Some(granted) = self.loans.last_granted() else { return };
        measure.since = measure.since.max(granted);
        let mut suspicion = self.suspicion.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(how) = suspicion.look(self, &measure, now) {
            tracing::warn!(how, "a kitchen hangs and is ended");
            let _ = self.hung.set(how);
            self.kill();
        }
    }

    /// Ends it now because its run is to stop: a process cannot be asked.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.kill();
    }

    /// Whether it ended before it was up, and not because it was told to.
    pub(super) fn is_stillborn(&self) -> bool {
        !self.greeted.load(Ordering::Acquire) && !self.stopped.load(Ordering::Acquire)
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

    /// Notes its greeting; answers whether it is the first.
    pub(super) fn greet(&self) -> bool {
        let is_first = !self.greeted.swap(true, Ordering::AcqRel);
        if is_first {
            self.greeting.store(clock::now(), Ordering::Relaxed);
        }
        is_first
    }
}
