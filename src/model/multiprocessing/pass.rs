//! The pass between kitchens and house: one permanent thread that starts children, one event loop that hears them.
//!
//! The starter must be permanent: `PR_SET_PDEATHSIG` fires when the *thread* that started a child ends (prctl(2)), and
//! a child is to die with the service, not with a pool thread. It deliberately never waits for any child but by name.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use super::brigade::Brigade;
use super::child;
use super::frames::{self, Up};
use super::kitchen::{Kitchen, Unit};
use crate::domain::summary::Bill;
use crate::model::tune;

/// Where children are started and listened to.
pub struct Pass {
    orders: mpsc::Sender<Arc<Brigade>>,
    bill: Mutex<Bill>,
    alive: AtomicUsize,
}

/// How long a kitchen that closed its pipe may take to end before it is ended.
const LAST_RITES: Duration = Duration::from_millis(250);

impl Pass {
    /// Starts the two threads; they live as long as the process.
    pub fn start(exe: PathBuf) -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let listen = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("pass".to_owned()).spawn(listen)?;
        let (orders, inbox) = mpsc::channel::<Arc<Brigade>>();
        let pass = Arc::new(Self { orders, bill: Mutex::default(), alive: AtomicUsize::new(0) });
        let weak = Arc::downgrade(&pass);
        std::thread::Builder::new().name("starter".to_owned()).spawn(move || {
            for brigade in inbox {
                let Some(pass) = weak.upgrade() else { break };
                pass.start_child(&exe, &handle, &brigade);
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

    fn start_child(self: &Arc<Self>, exe: &PathBuf, handle: &tokio::runtime::Handle, brigade: &Arc<Brigade>) {
        match spawn(exe, tune::niceness(brigade.staffed)) {
            Err(error) => brigade.not_started(&error),
            Ok(mut child) => {
                self.alive.fetch_add(1, Ordering::AcqRel);
                let stdout = child.stdout.take();
                let kitchen = Arc::new(Kitchen::new(child, brigade.lane()));
                handle.spawn(self.clone().attend(kitchen.clone(), stdout, brigade.clone()));
                brigade.arrived(&kitchen);
            }
        }
    }

    /// Hears a kitchen until it ends, then buries it.
    async fn attend(
        self: Arc<Self>,
        kitchen: Arc<Kitchen>,
        stdout: Option<std::process::ChildStdout>,
        brigade: Arc<Brigade>,
    ) {
        if let Some(Ok(pipe)) = stdout.map(|out| pipe::Receiver::from_owned_fd(out.into())) {
            let mut pipe = tokio::io::BufReader::new(pipe);
            let mut buffer = Vec::new();
            while let Ok(frame) = frames::receive(&mut pipe, &mut buffer).await {
                self.hear(frame, &kitchen, &brigade);
            }
        }
        let status = bury(&kitchen).await;
        self.alive.fetch_sub(1, Ordering::AcqRel);
        brigade.lost(&kitchen, status);
    }

    fn hear(&self, frame: Up, kitchen: &Arc<Kitchen>, brigade: &Arc<Brigade>) {
        match frame {
            Up::Hello => brigade.greeted(kitchen),
            Up::Done(done) => brigade.step_done(kitchen, done),
            Up::Live(delta) => kitchen.with_share(|share| share.absorb(kitchen.lane, delta)),
            Up::End(error, bill) => {
                // Not into the sum of all children: the kitchen says it once more when it ends.
                if let Some(Unit::Share(share)) = kitchen.take() {
                    share.end(error, bill);
                }
                brigade.free(kitchen, None);
            }
            Up::Farewell(bill) => self.add_bill(bill),
        }
    }

    fn add_bill(&self, bill: Bill) {
        let mut sum = self.bill.lock().unwrap_or_else(PoisonError::into_inner);
        sum.peak_rss_bytes += bill.peak_rss_bytes;
        sum.cpu += bill.cpu;
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
        *self.bill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Re-executes this binary as a kitchen. No `pre_exec`: std then uses `posix_spawn`, and the child arms itself.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn spawn(exe: &PathBuf, niceness: i32) -> io::Result<Child> {
    Command::new(exe)
        .arg(child::ARGUMENT)
        .arg(std::process::id().to_string())
        .arg(niceness.to_string())
        .env_clear()
        // A kitchen needs little; what is reserved and never touched still counts against its address space.
        .env("MIMALLOC_ARENA_RESERVE", "64MiB")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
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
    kitchen.try_wait().ok().flatten()
}
