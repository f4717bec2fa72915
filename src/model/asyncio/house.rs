//! The event loops: the house's, which all orders share, and an order's own.
//!
//! Each is one OS thread with a current-thread tokio runtime that looks at its timers on every turn, as asyncio does. It
//! deliberately does no I/O: the loop's only work is the dishes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use super::chef::Chef;
use super::ticker::Lag;
use crate::domain::Ns;
use crate::domain::ticks::Ticks;
use crate::model::pool::Pool;
use crate::model::run::Run;
use crate::model::tune::{self, Staffed};

/// Looks for the next order before the loop sleeps: with a yield each, some 10 us on an idle machine.
const LOOKS: usize = 20;
type Order = (Arc<Run>, Option<Arc<Pool>>);

/// The house's chef.
#[derive(Debug)]
pub struct HouseChef {
    orders: mpsc::UnboundedSender<Order>,
    lag: Arc<Lag>,
}

impl HouseChef {
    /// Starts the loop's thread, with a ticker on it. It lives as long as the process.
    pub fn start(tick: Duration) -> std::io::Result<Self> {
        let (orders, mut inbox) = mpsc::unbounded_channel::<Order>();
        let lag = Arc::new(Lag::default());
        let meter = lag.clone();
        let serve = async move {
            ticking(meter, tick);
            while let Some((run, pool)) = next(&mut inbox).await {
                spawn_local(async move {
                    run.begun();
                    cook(run, pool).await;
                });
            }
        };
        std::thread::Builder::new().name("house-chef".to_owned()).spawn(move || run_loop(serve, Staffed::House))?;
        Ok(Self { orders, lag })
    }

    /// Takes an order to the loop.
    pub fn take(&self, run: Arc<Run>, house_pool: Option<Arc<Pool>>) {
        // The loop never ends before the process does.
        let _ = self.orders.send((run, house_pool));
    }

    /// How late the loop's ticker was last, and at most so far.
    #[must_use]
    pub fn lag(&self) -> (Ns, Ns) {
        self.lag.now()
    }

    /// How late it was up to this moment.
    #[must_use]
    pub fn ticks(&self, until: Ns) -> Option<Ticks> {
        self.lag.until(until)
    }
}

/// Cooks one order on a loop of its own, on the calling thread, with a ticker on it if somebody will look at that.
pub(super) fn own(run: Arc<Run>, house_pool: Option<Arc<Pool>>, meter: Option<(Arc<Lag>, Duration)>) {
    let work = async move {
        if let Some((lag, tick)) = meter {
            ticking(lag, tick);
        }
        cook(run, house_pool).await;
    };
    run_loop(work, Staffed::Own);
}

fn ticking(lag: Arc<Lag>, every: Duration) {
    lag.begin(every);
    spawn_local(async move { lag.tick(every).await });
}

/// Looks around a few times before the loop is put to sleep: waking a thread costs the waker more than a look costs us.
async fn next(inbox: &mut mpsc::UnboundedReceiver<Order>) -> Option<Order> {
    for _ in 0..LOOKS {
        if let Ok(order) = inbox.try_recv() {
            return Some(order);
        }
        // First the dishes of this loop, then the threads of this machine.
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
    inbox.recv().await
}

async fn cook(run: Arc<Run>, house_pool: Option<Arc<Pool>>) {
    // The cooperative budget of tokio would hand a woken dish back unpolled after 128 others: quadratic for a million.
    tokio::task::unconstrained(Chef::cook(run, house_pool)).await;
}

fn run_loop(work: impl Future<Output = ()>, staffed: Staffed) {
    tune::burner(staffed);
    // 1: timers are looked at on every turn, as asyncio's select is.
    let built = tokio::runtime::Builder::new_current_thread().enable_time().event_interval(1).build();
    match built {
        Ok(runtime) => LocalSet::new().block_on(&runtime, work),
        Err(error) => tracing::error!(%error, "cannot build an event loop"),
    }
}
