//! What an order's run was like, in figures and in words: `GET /orders/{id}/report`.
//!
//! A pure function of the job, its records and the machine. Every figure is defined in `docs/laboratory.md`. Times are
//! milliseconds with microsecond precision. It deliberately measures nothing: what was not written down is null.

mod bounds;
mod build;
mod chain;
mod graph;
mod meanwhile;
mod playback;
mod processes;
mod sharing;
mod text;
mod why;
mod workers;

use serde::Serialize;
use utoipa::ToSchema;

pub use build::of;
pub use chain::{ChainView, StepName, WithoutView};
pub use processes::{BillView, ProcessView, ProcessesView};
pub use sharing::{ExchangeView, GilView, LagView};
pub use text::text;

/// The report of an ended order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Report)]
pub struct Report {
    /// The order's id.
    pub order: String,
    /// How it ended.
    pub status: &'static str,
    /// How its steps were run.
    pub model: &'static str,
    /// Name of its recipe.
    pub recipe: String,
    /// Dishes ordered.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dishes: u32,
    /// Steps that ran.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub steps_run: u32,
    /// Whether only a sample of its steps was kept: then what is said "of the steps kept" is of the sample.
    pub sampled: bool,
    /// From start to the end of the last step.
    pub makespan_ms: f64,
    /// From acceptance to start.
    pub queued_ms: f64,
    /// Both together.
    pub in_system_ms: f64,
    /// Completion times of the dishes that succeeded, each from its arrival.
    pub dish_ms: Option<Quantiles>,
    /// What there was to do.
    pub work: WorkView,
    /// Between which makespans it had to end.
    pub bounds: BoundsView,
    /// How much happened at the same time.
    pub overlap: OverlapView,
    /// How late the ends of waits were noticed, and what kept the loop; null without waits.
    pub lag: Option<LagView>,
    /// The GIL; null where there is none.
    pub gil: Option<GilView>,
    /// What its steps handed to others; null where they handed over nothing.
    pub exchange: Option<ExchangeView>,
    /// The account of all steps.
    pub books: BooksView,
    /// The steps that decided the makespan; null for a sample.
    pub chain: Option<ChainView>,
    /// The makespan with one reason gone: the same schedule played back without it, the reason that saves most first.
    #[schema(max_items = 10)]
    pub without: Vec<WithoutView>,
    /// The processes it had to itself; null unless its isolation was `kitchen`.
    pub processes: Option<ProcessesView>,
    /// What it cost.
    pub bill: BillView,
    /// Why these figures may not be the model's alone; empty if nothing speaks against them.
    #[schema(max_items = 10)]
    pub noise: Vec<String>,
    /// What happened, in sentences.
    #[schema(max_items = 10)]
    pub explanation: Vec<String>,
}

/// A distribution, milliseconds; percentiles are nearest ranks.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Quantiles)]
pub struct Quantiles {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Largest.
    pub max: f64,
}

/// The work of an order.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = WorkFigures)]
pub struct WorkView {
    /// CPU time of all steps (T1).
    pub cpu_ms: f64,
    /// Waits of all steps, as asked and as far as they went; of a sample scaled up.
    pub wait_ms: f64,
    /// Both, one after another (Ts): a chef who stares at the pot.
    pub serial_ms: f64,
    /// Longest chain of waits and CPU in one dish (`T_inf`).
    pub critical_path_ms: f64,
}

/// Lower and upper bound of the makespan.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Bounds)]
pub struct BoundsView {
    /// Cores the machine says it has (m).
    pub cores: f64,
    /// Steps that may keep a worker at the same time in this setup.
    #[schema(minimum = 1, maximum = 300_000_000)]
    pub workers: u32,
    /// No schedule of this work in this setup is shorter.
    pub lower_ms: f64,
    /// Where that comes from: `critical_path`, `cores`, `workers`, `gil`, `equipment` or `max_in_flight`.
    pub lower_by: &'static str,
    /// No greedy schedule is longer, the measured overhead of its chain included; null for a sample.
    pub upper_ms: Option<f64>,
    /// `lower / makespan`: 1 is as good as it can be.
    pub efficiency: f64,
}

/// How much happened at the same time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Overlap)]
pub struct OverlapView {
    /// `serial / makespan`.
    pub speedup: f64,
    /// CPU time over the time in which at least one step computed; null for a sample.
    pub cpu_speedup: Option<f64>,
    /// Cores kept busy on average: `T1 / makespan`.
    pub cores_busy: f64,
    /// CPU time of its steps, or of its processes where they are its own, over `cores * makespan`.
    pub core_utilisation: f64,
    /// Threads that did something for it; null for a sample.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub chefs: Option<u32>,
    /// Part of the makespan for which they had a step in hand; null for a sample.
    pub chef_utilisation: Option<f64>,
    /// Time with so many CPU steps under way (running, or wanting to); null for a sample.
    #[schema(max_items = 65)]
    pub profile: Option<Vec<ProfileRow>>,
}

/// Time with so many CPU steps under way.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ProfileRow)]
pub struct ProfileRow {
    /// So many; the last row of 64 is "64 or more".
    #[schema(minimum = 0, maximum = 64)]
    pub running: u32,
    /// For so long.
    pub ms: f64,
}

/// The account: `span = cpu + gil_wait + core_wait + equipment_wait + exchange + yielded + wait + lag + residual`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Books)]
pub struct BooksView {
    /// Steps it is made of: all that ran, or the sample.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub steps: u32,
    /// From start to end, all of them.
    pub span_ms: f64,
    /// On a core.
    pub cpu_ms: f64,
    /// Waiting for the GIL.
    pub gil_wait_ms: f64,
    /// Runnable without a core.
    pub core_wait_ms: f64,
    /// Waiting for equipment.
    pub equipment_wait_ms: f64,
    /// Handing over.
    pub exchange_ms: f64,
    /// Between two pieces of CPU steps, while the loop did something else.
    pub yielded_ms: f64,
    /// Waits as asked.
    pub wait_ms: f64,
    /// Waits beyond that.
    pub lag_ms: f64,
    /// What is left, unclipped.
    pub residual_ms: f64,
    /// The largest residual of a step by its size.
    pub worst_residual_ms: f64,
    /// Steps of 20 ms and more whose residual is above max(2 ms, 5 %).
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub out_of_balance: u32,
    /// Before the steps were taken up, not part of their span; exact.
    pub queue_ms: f64,
    /// Equipment kept while waiting for other equipment, not a term of its own; exact.
    pub held_idle_ms: f64,
}

/// Milliseconds with microsecond precision.
fn ms(ns: u64) -> f64 {
    (ns / 1_000) as f64 / 1e3
}

/// The same with a sign.
fn signed_ms(ns: i64) -> f64 {
    (ns / 1_000) as f64 / 1e3
}

/// The bound of the books: max(2 ms, 5 %) for steps of 20 ms and more.
fn is_out_of_balance(length: u64, rest: i64) -> bool {
    const MS: u64 = 1_000_000;
    length >= 20 * MS && rest.unsigned_abs() > (length / 20).max(2 * MS)
}

/// One number over another in thousandths, 0 of nothing.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 1e3).round() / 1e3 } else { 0.0 }
}

impl Quantiles {
    /// Of a sample, in any order.
    fn of(mut values: Vec<u64>) -> Option<Self> {
        use crate::domain::summary::percentile;
        values.sort_unstable();
        let sum: u128 = values.iter().map(|v| u128::from(*v)).sum();
        let at = |percent| percentile(&values, percent).map(ms);
        let mean = ms((sum / values.len().max(1) as u128) as u64);
        Some(Self { mean, p50: at(50)?, p95: at(95)?, max: at(100)? })
    }
}
