//! The house's staff, each started at first use: one event loop, one pool of threads, one pool of kitchens.
//!
//! Every process that cooks has its own. It deliberately leases nothing: who may have how much is decided before.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::HouseSize;
use super::asyncio::{HouseChef, Lag};
use super::multiprocessing::{Brigade, Pass};
use super::pool::Pool;
use super::tune::Staffed;
use crate::domain::Ns;
use crate::domain::summary::Bill;
use crate::domain::ticks::Ticks;

/// What staff is made of.
#[derive(Clone, Debug)]
pub struct StaffConfig {
    /// The executable that is a kitchen when re-executed.
    pub exe: PathBuf,
    /// Cores the kernel lets this process use.
    pub cores: usize,
    /// Bytes of address space of a kitchen, beyond what its order needs; `None` is no limit.
    pub kitchen_memory: Option<u64>,
    /// Whether it cooks one order and nothing else, so that whatever its loop does is that order's.
    pub for_one_order: bool,
}

/// Time between two looks at the lag of the house's loop, which is seldom idle and never ends.
const HOUSE_TICK: Duration = Duration::from_millis(50);
/// The same on the loop of one order: what Node's `monitorEventLoopDelay` takes.
const ORDER_TICK: Duration = Duration::from_millis(10);

/// Address space of a kitchen when nothing is said: 512 MiB (reference), several times what steps need.
pub const KITCHEN_MEMORY_MIB: u32 = 512;

impl StaffConfig {
    /// This process's own executable and cores.
    #[must_use]
    pub fn of_this_process() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Survives the replacement of the binary on disk: the child is always what the parent is.
        let kitchen_memory = Some(u64::from(KITCHEN_MEMORY_MIB) << 20);
        Self { exe: PathBuf::from("/proc/self/exe"), cores, kitchen_memory, for_one_order: false }
    }

    /// The same, with this many MiB for a kitchen; 0 is no limit.
    #[must_use]
    pub fn with_kitchen_memory_mib(self, mib: u32) -> Self {
        Self { kitchen_memory: (mib > 0).then(|| u64::from(mib) << 20), ..self }
    }
}

/// The staff.
pub struct Staff {
    /// What it is made of.
    pub config: StaffConfig,
    chef: OnceLock<HouseChef>,
    /// Of the own chef of the only order.
    lag: Arc<Lag>,
    pool: OnceLock<Arc<Pool>>,
    pass: OnceLock<Arc<Pass>>,
    brigade: OnceLock<Arc<Brigade>>,
}

impl Staff {
    /// Staff that nobody has called for yet.
    #[must_use]
    pub fn new(config: StaffConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            chef: OnceLock::new(),
            lag: Arc::default(),
            pool: OnceLock::new(),
            pass: OnceLock::new(),
            brigade: OnceLock::new(),
        })
    }

    /// The house's event loop.
    pub fn chef(&self) -> &HouseChef {
        self.chef.get_or_init(|| HouseChef::start(self.tick()).expect("a thread for the event loop can be started"))
    }

    /// The house's event loop, if anybody has called for it.
    #[must_use]
    pub fn chef_if_started(&self) -> Option<&HouseChef> {
        self.chef.get()
    }

    fn tick(&self) -> Duration {
        if self.config.for_one_order { ORDER_TICK } else { HOUSE_TICK }
    }

    /// What an order's own chef tells of his loop; nobody would know whose it was where several orders have their own.
    #[must_use]
    pub(super) fn meter(&self) -> Option<(Arc<Lag>, Duration)> {
        self.config.for_one_order.then(|| (self.lag.clone(), self.tick()))
    }

    /// How late the loop of the only order was up to this moment; `None` if it had none.
    #[must_use]
    pub fn ticks(&self, until: Ns) -> Option<Ticks> {
        self.chef_if_started().map_or_else(|| self.lag.until(until), |chef| chef.ticks(until))
    }

    /// Threads of the house's pool: min(32, cores + 4), as `ThreadPoolExecutor` has (Lib/concurrent/futures/thread.py).
    #[must_use]
    pub fn pool_size(&self) -> usize {
        (self.config.cores + 4).min(32)
    }

    /// The sizes of the house's own staff.
    #[must_use]
    pub fn house(&self) -> HouseSize {
        HouseSize { pool: self.pool_size() as u32, kitchens: self.config.cores as u32 }
    }

    /// The house's blocking pool.
    pub fn pool(&self) -> &Arc<Pool> {
        self.pool.get_or_init(|| Pool::new(self.pool_size(), "house-pool", Staffed::House))
    }

    /// Where children are started and listened to.
    pub fn pass(&self) -> &Arc<Pass> {
        self.pass.get_or_init(|| {
            let started = Pass::start(self.config.exe.clone(), self.config.kitchen_memory);
            started.expect("two threads for children can be started")
        })
    }

    /// The house's kitchens: one per core.
    pub fn brigade(&self) -> &Arc<Brigade> {
        self.brigade.get_or_init(|| Brigade::new(self.pass().clone(), self.config.cores, false, Staffed::House))
    }

    /// The house's kitchens, if anybody has called for them.
    #[must_use]
    pub fn brigade_if_started(&self) -> Option<&Arc<Brigade>> {
        self.brigade.get()
    }

    /// The pass, if anybody has called for it.
    #[must_use]
    pub fn pass_if_started(&self) -> Option<&Arc<Pass>> {
        self.pass.get()
    }

    /// Lets all children go and waits a moment for their bills; for a kitchen that is about to end itself.
    pub fn dismiss(&self) -> Bill {
        if let Some(brigade) = self.brigade.get() {
            brigade.close();
        }
        self.pass.get().map(|pass| pass.await_bills(FAREWELL)).unwrap_or_default()
    }
}

/// How long a kitchen's own children get to say what they used: several times what 1,024 of them need to exit.
const FAREWELL: Duration = Duration::from_millis(500);
