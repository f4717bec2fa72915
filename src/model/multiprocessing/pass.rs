//! The pass between kitchens and house: one permanent thread that starts children, one event loop that hears them.
//!
//! The starter must be permanent: `PR_SET_PDEATHSIG` fires when the *thread* that started a child ends (prctl(2)), and
//! a child is to die with the service, not with a pool thread. It deliberately never waits for any child but by name.

use std::collections::HashMap;
use std::io::{self, PipeReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

use super::brigade::Brigade;
use super::child;
use super::death::Death;
use super::frames::{self, Down, Up};
use super::kitchen::{Kitchen, Unit};
use super::lending::lend;
use super::oom::OomKills;
use super::trouble::Trouble;
use super::watch::LOOK;
use crate::domain::summary::Bill;
use crate::model::tune;

/// Where children are started and listened to.
pub struct Pass {
    orders: mpsc::Sender<Arc<Brigade>>,
    /// The loop that hears kitchens.
    ears: Handle,
    memory: Option<u64>,
    bill: Mutex<Bill>,
    alive: AtomicUsize,
    /// All that are alive, by process id: whom to look at.
    kitchens: Mutex<HashMap<u32, Arc<Kitchen>>>,
    oom_kills: Mutex<OomKills>,
    pub(super) trouble: Trouble,
}

/// How long a kitchen that closed its pipe may take to end before it is ended.
const LAST_RITES: Duration = Duration::from_millis(250);
/// Pause between two questions after a kitchen that cannot be waited for.
const ASK_AGAIN: Duration = Duration::from_millis(5);

impl Pass {
    /// Starts the two threads; they live as long as the process. A kitchen gets `memory` bytes of address space, and
    /// what its order needs beyond.
    pub fn start(exe: PathBuf, memory: Option<u64>) -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (orders, inbox) = mpsc::channel::<Arc<Brigade>>();
        let pass = Arc::new(Self {
            orders,
            ears: runtime.handle().clone(),
            memory,
            bill: Mutex::default(),
            alive: AtomicUsize::new(0),
            kitchens: Mutex::default(),
            oom_kills: Mutex::new(OomKills::of_this_cgroup()),
            trouble: Trouble::default(),
        });
        let watch = watch_over(Arc::downgrade(&pass));
        let listen = move || runtime.block_on(watch);
        std::thread::Builder::new().name("pass".to_owned()).spawn(listen)?;
        let weak = Arc::downgrade(&pass);
        std::thread::Builder::new().name("starter".to_owned()).spawn(move || {
            for brigade in inbox {
                let Some(pass) = weak.upgrade() else { break };
                pass.start_child(&exe, &brigade);
            }
            // Never end before the process: the children would be killed with this thread.
            loop {
                std::thread::park();
            }
        })?;
        Ok(pass)
    }

    /// Has a kitchen started for this brigade.
    pub(super) fn start_kitchen(&self, brigade: Arc<Brigade>) {
        let _ = self.orders.send(brigade);
    }

    fn start_child(self: &Arc<Self>, exe: &PathBuf, brigade: &Arc<Brigade>) {
        let called = crate::clock::now();
        match spawn(exe, tune::niceness(brigade.staffed), self.memory) {
            Err(error) => {
                self.trouble.report(&error.to_string());
                brigade.refused(&error);
            }
            Ok((child, pipe)) => {
                self.alive.fetch_add(1, Ordering::AcqRel);
                let kitchen = Arc::new(Kitchen::new(child, brigade.lane(), called));
                self.kitchens().insert(kitchen.pid, kitchen.clone());
                // In this order: one that has already died must not be taken in after it was mourned.
                brigade.arrived(&kitchen);
                self.ears.spawn(self.clone().attend(kitchen, pipe, brigade.clone()));
            }
        }
    }

    fn kitchens(&self) -> MutexGuard<'_, HashMap<u32, Arc<Kitchen>>> {
        self.kitchens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears a kitchen until it ends, then buries it.
    async fn attend(self: Arc<Self>, kitchen: Arc<Kitchen>, pipe: PipeReader, brigade: Arc<Brigade>) {
        if let Ok(pipe) = pipe::Receiver::from_owned_fd(pipe.into()) {
            let mut pipe = tokio::io::BufReader::new(pipe);
            let mut buffer = Vec::new();
            let words = loop {
                match frames::receive(&mut pipe, &mut buffer).await {
                    Ok(Up::Hand(messages)) => {
                        if frames::take_messages(&mut pipe, messages).await.is_ok() {
                            kitchen.say(&Down::Taken);
                        }
                    }
                    Ok(frame) => {
                        kitchen.post.sent(frames::PREFIX_BYTES + buffer.len());
                        self.hear(frame, &kitchen, &brigade);
                    }
                    Err(words) => break words,
                }
            };
            kitchen.said(words);
        }
        kitchen.loans.end_all();
        let status = bury(&kitchen).await;
        self.kitchens().remove(&kitchen.pid);
        self.alive.fetch_sub(1, Ordering::AcqRel);
        let killed = status.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()));
        let oom_killed = killed && self.oom_kills.lock().unwrap_or_else(PoisonError::into_inner).claim();
        brigade.lost(&kitchen, Death::of(&kitchen, status, oom_killed));
    }

    /// Lets a brigade that could not start a kitchen try again after a while.
    pub(super) fn wake_later(&self, brigade: Arc<Brigade>, rest: Duration) {
        self.ears.spawn(async move {
            tokio::time::sleep(rest).await;
            brigade.wake();
        });
    }

    /// Why kitchens cannot be started, if that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.now()
    }

    fn hear(&self, frame: Up, kitchen: &Arc<Kitchen>, brigade: &Arc<Brigade>) {
        match frame {
            Up::Hello => {
                self.trouble.over();
                brigade.greeted(kitchen);
            }
            Up::Done(done) => brigade.step_done(kitchen, done),
            Up::Need(id, at) => lend(kitchen, id, at),
            Up::Back(id) => kitchen.loans.end(id),
            // What follows it is not frames: heard where frames are read.
            Up::Hand(_) => {}
            Up::Live(delta) => kitchen.absorb(delta),
            Up::End(error, used, children) => {
                // Not into the sum of all children: the kitchen says it once more when it ends.
                kitchen.loans.end_all();
                if let Some(Unit::Share(share)) = kitchen.take() {
                    let mut bill = Bill::of(kitchen.account(used));
                    bill.add(&children);
                    share.end(error, &bill);
                }
                brigade.free(kitchen, None);
            }
            Up::Farewell(used) => self.add_bill(&Bill::of(kitchen.account(used))),
        }
    }

    fn add_bill(&self, bill: &Bill) {
        self.bill.lock().unwrap_or_else(PoisonError::into_inner).add(bill);
    }

    /// Children alive.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }

    /// Waits until all children are gone, at most this long; answers what they used.
    pub(in crate::model) fn await_bills(&self, at_most: Duration) -> Bill {
        let deadline = crate::clock::now() + crate::clock::ns(at_most);
        while self.alive() > 0 && crate::clock::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        std::mem::take(&mut *self.bill.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks at the kitchens from time to time, as long as the process lives.
async fn watch_over(pass: Weak<Pass>) {
    let mut pace = tokio::time::interval(LOOK);
    // Never two looks at once: between them what the kitchens said in the meantime is heard.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Some(pass) = pass.upgrade() else { break };
        let kitchens: Vec<_> = pass.kitchens().values().cloned().collect();
        let now = crate::clock::now();
        kitchens.iter().for_each(|kitchen| kitchen.look(now));
        pass.oom_kills.lock().unwrap_or_else(PoisonError::into_inner).turn();
    }
    // The starter ends with nobody left to hear, but its thread must stay, and so may this.
    std::future::pending().await
}

/// Re-executes this binary as a kitchen. No `pre_exec`: std then uses `posix_spawn`, and the child arms itself.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn spawn(exe: &PathBuf, niceness: i32, memory: Option<u64>) -> io::Result<(Child, PipeReader)> {
    let (heard, said) = io::pipe()?;
    // Its stderr too, so that the house knows its last words, and it cannot write into the house's log.
    let aloud = said.try_clone()?;
    let child = Command::new(exe)
        .arg(child::ARGUMENT)
        .arg(std::process::id().to_string())
        .arg(niceness.to_string())
        .arg(memory.unwrap_or(0).to_string())
        .env_clear()
        // A kitchen needs little; what is reserved and never touched still counts against its address space.
        .env("MIMALLOC_ARENA_RESERVE", "64MiB")
        // So does the C library's own allocator, which nothing of ours uses: 64 MiB for each of its arenas.
        .env("MALLOC_ARENA_MAX", "1")
        // A group of its own: a terminal's Ctrl-C is for the service, which knows what to do with it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(said)
        .stderr(aloud)
        .spawn()?;
    Ok((child, heard))
}

/// Waits for a kitchen whose pipe is closed; ends it if it lingers.
#[expect(deprecated, reason = "its successor is unsafe for types that may close early; an OwnedFd cannot")]
async fn bury(kitchen: &Kitchen) -> Option<ExitStatus> {
    let pid = Pid::from_raw(i32::try_from(kitchen.pid).ok()?)?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from).and_then(AsyncFd::new);
    if let Ok(fd) = &ended
        && tokio::time::timeout(LAST_RITES, fd.readable()).await.is_err()
    {
        kitchen.kill();
        let _ = fd.readable().await;
    }
    loop {
        match kitchen.try_wait() {
            Ok(Some(status)) => return Some(status),
            Err(_) => return None,
            // Out of descriptors: no pidfd. It must not stay a zombie, so it is ended and asked for.
            Ok(None) => kitchen.kill(),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
