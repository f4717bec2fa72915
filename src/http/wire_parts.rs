//! Parts of an order that are written without being built: options, labels, values, times.
//!
//! It deliberately allocates almost nothing: an order is answered tens of thousands of times a second.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::At;
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::{Attempt, Job, Status};
use crate::domain::options;
use crate::domain::recipe::{Recipe, Work};
use crate::domain::spec::{ModelId, Setup};
use crate::domain::summary::{Agreed, Summary};
use crate::model;

/// Writes options as an object.
pub struct SetupView {
    /// Whose options.
    pub model: ModelId,
    /// Their values.
    pub setup: Setup,
}

impl Serialize for SetupView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = model::get(self.model).info().options;
        let chosen = table.iter().zip(self.setup.0).filter(|(info, _)| options::applies(table, &self.setup, info.name));
        serializer.collect_map(chosen.map(|(info, choice)| (info.name, options::echo(info, choice))))
    }
}

/// Writes labels as an object.
pub struct LabelsView<'a>(pub &'a [(Box<str>, Box<str>)]);

impl Serialize for LabelsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

/// Writes the values of counting steps as an object of decimal strings.
pub struct ValuesView<'a> {
    /// Whose steps.
    pub recipe: &'a Recipe,
    /// Their values, by step.
    pub values: &'a [Agreed],
}

impl Serialize for ValuesView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (i, step) in self.recipe.steps.iter().enumerate() {
            if matches!(step.work, Work::Iterations(_)) {
                let value = match self.values.get(i) {
                    Some(Agreed::On(value)) => Some(value.to_string()),
                    _ => None,
                };
                map.serialize_entry(&step.name, &value)?;
            }
        }
        map.end()
    }
}

/// A span in milliseconds with microsecond precision.
pub fn ms(ns: Ns) -> f64 {
    (ns / 1_000) as f64 / 1_000.0
}

/// A signed span in milliseconds with microsecond precision.
pub fn signed_ms(ns: i64) -> f64 {
    (ns / 1_000) as f64 / 1_000.0
}

/// A path below an order, put together on the stack: an answer has eight.
pub struct Link(OrderId, &'static str);

/// Bytes of the longest of them, with room for a longer one.
const LINK_BYTES: usize = 64;

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut id = Uuid::encode_buffer();
        let id = self.0.0.hyphenated().encode_lower(&mut id);
        let (mut text, mut end) = ([0; LINK_BYTES], 0);
        for part in ["/orders/ord_", id, self.1] {
            text[end..end + part.len()].copy_from_slice(part.as_bytes());
            end += part.len();
        }
        match std::str::from_utf8(&text[..end]) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.serialize_unit(),
        }
    }
}

/// Where to go from an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Links)]
pub struct LinksView {
    /// The order.
    #[serde(rename = "self")]
    #[schema(value_type = String)]
    pub this: Link,
    /// Its events as they happen (SSE).
    #[schema(value_type = String)]
    pub events: Link,
    /// Its steps.
    #[schema(value_type = String)]
    pub steps: Link,
    /// Its Gantt chart.
    #[schema(value_type = String)]
    pub timeline: Link,
    /// What its run was like, once it has ended.
    #[schema(value_type = String)]
    pub report: Link,
    /// Its trace, for Perfetto; `/open` behind it is a page that opens it there.
    #[schema(value_type = String)]
    pub trace: Link,
    /// POST here to stop it.
    #[schema(value_type = String)]
    pub cancel: Link,
    /// POST here to try it again once it has ended.
    #[schema(value_type = String)]
    pub retry: Link,
}

/// The links of the order with this id.
pub fn links(id: OrderId) -> LinksView {
    let to = |tail: &'static str| Link(id, tail);
    LinksView {
        this: to(""),
        events: to("/events"),
        steps: to("/steps"),
        timeline: to("/timeline"),
        report: to("/report"),
        trace: to("/trace"),
        cancel: to("/cancel"),
        retry: to("/retry"),
    }
}

/// The number that the steps of an order share, in the memory of the order's own process.
///
/// Kitchens below it count in theirs: what they counted is the `value` of their steps; the order's number stays as it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Counter)]
pub struct CounterView {
    /// All increments together.
    #[schema(minimum = 0, maximum = 300_000_000_000_000_i64)]
    pub expected: u64,
    /// What it says.
    #[schema(minimum = 0, maximum = 300_000_000_000_000_i64)]
    pub got: u64,
    /// Increments that somebody else's has overwritten.
    #[schema(minimum = 0, maximum = 300_000_000_000_000_i64)]
    pub lost_updates: u64,
}

impl CounterView {
    /// Of an order that counted and succeeded.
    #[must_use]
    pub fn of(job: &Job, summary: &Summary) -> Option<Self> {
        let expected = job.spec.increments().filter(|_| job.status == Status::Succeeded)?;
        let got = summary.totals.counted;
        Some(Self { expected, got, lost_updates: expected.saturating_sub(got) })
    }
}

/// A run that did not come to its end, after which the order waited again.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView<'a> {
    /// Its number.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub attempt: u32,
    /// Where it ran.
    pub node: &'a str,
    /// Begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<At>,
    /// Noticed to be over.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: At,
    /// `node_lost`: its node was not heard of for longer than a lease. `shutdown`: its node was shut down.
    pub why: &'static str,
}

impl<'a> AttemptView<'a> {
    pub(super) fn new(attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            node: &attempt.node,
            started_at: attempt.started_us.map(At),
            ended_at: At(attempt.ended_us),
            why: attempt.why.name(),
        }
    }
}

/// The figures of an order, milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Timings)]
pub struct TimingsView {
    /// From acceptance to start.
    pub queue_ms: Option<f64>,
    /// From start to the end of the last step.
    pub makespan_ms: Option<f64>,
    /// Mean completion time of the dishes that succeeded, from the order's start.
    pub mean_dish_ms: Option<f64>,
    /// 95th percentile of the same.
    pub p95_dish_ms: Option<f64>,
    /// CPU time of all steps.
    pub cpu_ms: Option<f64>,
    /// CPU time of all processes of its own (isolation `kitchen`).
    pub process_cpu_ms: Option<f64>,
    /// Sum of `VmHWM` over its processes (isolation `kitchen`).
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub peak_memory_bytes: Option<u64>,
    /// The largest delay with which the end of a wait was noticed.
    pub max_lag_ms: Option<f64>,
}

impl TimingsView {
    pub(super) fn new(job: &Job) -> Self {
        let summary = job.summary.as_ref();
        let bill = summary.and_then(|summary| summary.bill.as_ref());
        Self {
            queue_ms: job.started_us.map(|_| ms(job.queue_ns)),
            makespan_ms: summary.map(|s| ms(s.makespan)),
            mean_dish_ms: summary.and_then(|s| s.mean_dish).map(ms),
            p95_dish_ms: summary.and_then(|s| s.p95_dish).map(ms),
            cpu_ms: summary.map(|s| ms(s.totals.terms.cpu)),
            process_cpu_ms: bill.map(|bill| ms(bill.sum.cpu)),
            peak_memory_bytes: bill.map(|bill| bill.sum.peak_rss_bytes),
            max_lag_ms: summary.map(|s| ms(s.totals.lag_max)),
        }
    }
}
