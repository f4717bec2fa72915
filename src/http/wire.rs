//! Orders as the outside sees them. Borrowed from the job, written once, nothing computed that the job knows.
//!
//! Times are milliseconds with microsecond precision, timestamps RFC 3339 in UTC. It deliberately reads nothing: what
//! clients send is in [`crate::domain::ask`].

use serde::Serialize;
use utoipa::ToSchema;

pub use super::moment::At;
pub use super::wire_parts::{
    AttemptView, CounterView, LabelsView, Links, LinksView, SetupView, TimingsView, ValuesView, ms, signed_ms,
};
pub use super::wire_recipe::RecipeView;
use crate::domain::ask_lab::ArrivalsAsk;
use crate::domain::job::{ErrorKind, Job, OrderError, Status};
use crate::domain::spec::Spec;
use crate::model;

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView<'a> {
    /// `ord_` and a `UUIDv7`; ids sort by birth.
    pub id: String,
    /// `queued`, `running`, `succeeded`, `failed`, `canceled` or `expired`; more may come, test `done`.
    pub status: &'static str,
    /// Whether it has ended; ended orders never change.
    pub done: bool,
    /// How steps are run.
    pub model: &'static str,
    /// Options of the model, defaults filled in.
    #[schema(value_type = crate::domain::ask::SetupAsk)]
    pub setup: SetupView,
    /// What is cooked.
    #[schema(value_type = crate::domain::ask::InlineRecipe)]
    pub recipe: RecipeView<'a>,
    /// How many dishes.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dishes: u32,
    /// Dishes in progress at once; null for all.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub max_in_flight: Option<u32>,
    /// When dishes are asked for; null for all at the start.
    pub arrivals: Option<ArrivalsAsk>,
    /// Order of the steps within a dish.
    pub step_order: &'static str,
    /// Where it is cooked.
    pub isolation: &'static str,
    /// Divisor of every wait.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub speed: u32,
    /// What fixes the random draws.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub seed: u64,
    /// The client's marks.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub labels: LabelsView<'a>,
    /// Run time after which an attempt fails.
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub timeout_ms: Option<u64>,
    /// Attempts it may have as long as they fail.
    #[schema(minimum = 1, maximum = 10)]
    pub max_attempts: u32,
    /// Time between the first attempt and the second, doubled for each further one, up to a minute.
    #[schema(minimum = 0, maximum = 60_000)]
    pub retry_wait_ms: u64,
    /// Time after acceptance by which it must have begun.
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub expires_in_ms: Option<u64>,
    /// The order this is another try of.
    pub retry_of: Option<String>,
    /// The trace it belongs to (W3C Trace Context).
    pub traceparent: Option<String>,
    /// Number of its run; 0 before the first.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub attempt: u32,
    /// The node that cooks it, or cooked it last; null where orders are kept in memory.
    pub node: Option<&'a str>,
    /// Runs after which it waited again, oldest first; the latest run is the order's own.
    #[schema(max_items = 14)]
    pub attempts: Vec<AttemptView<'a>>,
    /// Until when it waits for its next attempt after one that failed; null if it does not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<At>,
    /// Accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: At,
    /// Taken up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<At>,
    /// Ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<At>,
    /// Start deadline; null for none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<At>,
    /// Kept at least until then, unless the house needs the room.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retained_until: Option<At>,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
    /// How far it is.
    pub progress: ProgressView,
    /// Its figures; null before it ended.
    pub timings: TimingsView,
    /// Other orders that were running when it started.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub concurrent_orders: u32,
    /// What it yielded; null before it ended.
    pub result: Option<ResultView<'a>>,
    /// Why it failed; set exactly when it failed or expired.
    pub error: Option<OrderErrorView<'a>>,
    /// Where to go from here.
    #[schema(value_type = Links)]
    pub links: LinksView,
}

/// How far an order is.
#[derive(Serialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressView {
    /// Steps that are over.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub steps_done: u64,
    /// Steps of the order.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub steps_total: u64,
    /// Dishes that are over.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub dishes_done: u32,
    /// Dishes of the order.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub dishes_total: u32,
}

/// What an order yielded.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderResult)]
pub struct ResultView<'a> {
    /// Dishes all of whose steps succeeded.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub dishes_succeeded: u32,
    /// Dishes with a step that failed.
    #[schema(minimum = 0, maximum = 3_000_000)]
    pub dishes_failed: u32,
    /// Per step the value that every dish computed, as a decimal string; null if they differ or there is none.
    #[schema(value_type = std::collections::BTreeMap<String, Option<String>>)]
    pub values: ValuesView<'a>,
    /// What became of the number that all steps counted up, if there were such steps and the order succeeded.
    pub counter: Option<CounterView>,
}

/// Why an order failed: a problem document with a `kind`.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderError)]
pub struct OrderErrorView<'a> {
    /// Where the kind is explained.
    #[serde(rename = "type")]
    pub problem: String,
    /// `timeout`, `panic`, `exit`, `signal`, `oom`, `shutdown`, `spawn`, `hang`, `deadlock` or `lost`.
    pub kind: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// What happened.
    pub detail: &'a str,
    /// The dish whose step failed first.
    #[schema(minimum = 1, maximum = 3_000_000)]
    pub dish: Option<u32>,
    /// That step.
    pub step: Option<&'a str>,
}

/// Steps and dishes that are over.
pub type Done = (u64, u32);

impl<'a> OrderView<'a> {
    /// The order as it stands; `live` is the progress of its run, if it is running.
    #[must_use]
    pub fn new(job: &'a Job, live: Option<Done>) -> Self {
        let spec: &Spec = &job.spec;
        let (steps_done, dishes_done) = live.unwrap_or_else(|| done_at_end(job));
        Self {
            status: job.status.name(),
            done: job.status.is_done(),
            model: model::get(spec.model).info().name,
            setup: SetupView { model: spec.model, setup: spec.setup },
            recipe: RecipeView(&spec.recipe),
            dishes: spec.dishes,
            max_in_flight: spec.max_in_flight,
            arrivals: spec.arrivals.as_ref().map(|arrivals| ArrivalsAsk {
                rate_per_s: arrivals.rate_per_s.into(),
                process: Some(arrivals.process.name().to_owned()),
            }),
            step_order: spec.step_order.name(),
            isolation: spec.isolation.name(),
            speed: spec.speed,
            seed: spec.seed,
            labels: LabelsView(&spec.labels),
            timeout_ms: spec.timeout.map(|d| d.as_millis() as u64),
            max_attempts: spec.max_attempts.into(),
            retry_wait_ms: spec.first_retry_wait.as_millis() as u64,
            expires_in_ms: spec.expires_in.map(|d| d.as_millis() as u64),
            retry_of: job.retry_of.map(|id| id.to_string()),
            traceparent: spec.traceparent.map(|trace| trace.to_string()),
            attempt: job.attempt,
            node: job.history.as_ref().and_then(|history| history.node.as_deref()),
            attempts: job.attempts().iter().map(|attempt| AttemptView::new(job, attempt)).collect(),
            next_attempt_at: job.next_attempt_us().map(At),
            created_at: At(job.created_us),
            started_at: job.started_us.map(At),
            finished_at: job.finished_us.map(At),
            expires_at: spec.expires_in.map(|d| At(job.created_us + d.as_micros() as i64)),
            retained_until: job.retained_us.map(At),
            cancel_requested: job.cancel_requested,
            progress: ProgressView {
                steps_done,
                steps_total: spec.steps_total(),
                dishes_done,
                dishes_total: spec.dishes,
            },
            timings: TimingsView::new(job),
            concurrent_orders: job.concurrent_orders,
            result: job.summary.as_ref().map(|summary| ResultView {
                dishes_succeeded: summary.dishes_succeeded,
                dishes_failed: summary.dishes_failed,
                values: ValuesView { recipe: &spec.recipe, values: &summary.values },
                counter: CounterView::of(job, summary),
            }),
            error: job.error.as_ref().map(|error| OrderErrorView::new(job, error)),
            links: LinksView(job.id),
            id: job.id.text("ord_"),
        }
    }
}

fn done_at_end(job: &Job) -> Done {
    job.summary.as_ref().map_or((0, 0), |summary| {
        let steps: u32 = summary.totals.steps[..2].iter().sum();
        (u64::from(steps), summary.dishes_succeeded + summary.dishes_failed)
    })
}

impl<'a> OrderErrorView<'a> {
    /// An error of this order.
    pub(super) fn new(job: &'a Job, error: &'a OrderError) -> Self {
        Self {
            problem: format!("/problems/{}", error.kind.name()),
            kind: error.kind.name(),
            title: title(error.kind),
            detail: &error.detail,
            dish: error.at.map(|at| at.dish),
            step: error.at.map(|at| &*job.spec.step(at).name),
        }
    }
}

fn title(kind: ErrorKind) -> &'static str {
    super::problem::ALL.iter().find(|k| k.status == 200 && k.slug == kind.name()).map_or("", |k| k.title)
}

/// The version of an order for `ETag`: attempt and revision. The revision rises with every state and step.
#[must_use]
pub fn etag(job: &Job, live: Option<Done>) -> String {
    let (steps, dishes) = live.unwrap_or_else(|| done_at_end(job));
    let progress = steps + u64::from(dishes) + u64::from(job.cancel_requested);
    let state = match job.status {
        Status::Queued => 0,
        Status::Running => 1,
        _ => 2 + job.summary.as_ref().map_or(0, |s| u64::from(s.totals.steps[2])),
    };
    format!("\"{}.{}\"", job.attempt, state + progress)
}
