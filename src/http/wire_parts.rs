//! Parts of an order that are written without being built: options, labels, values, times.
//!
//! It deliberately allocates almost nothing: an order is answered tens of thousands of times a second.

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::At;
use super::wire::OrderErrorView;
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

// What the contract says of them; they are written by `LinksView`.
/// Where to go from an order.
#[derive(ToSchema)]
#[schema(as = Links)]
pub struct Links {
    /// The order.
    #[schema(rename = "self")]
    pub this: String,
    /// Its events as they happen (SSE).
    pub events: String,
    /// Its steps.
    pub steps: String,
    /// Its Gantt chart.
    pub timeline: String,
    /// What its run was like, once it has ended.
    pub report: String,
    /// Its trace, for Perfetto; `/open` behind it is a page that opens it there.
    pub trace: String,
    /// POST here to stop it.
    pub cancel: String,
    /// POST here to try it again once it has ended.
    pub retry: String,
}

/// What stands before the id and after it, for each link.
const LINKS: [(&str, &str); 8] = [
    (r#"{"self":"/orders/ord_"#, r#"""#),
    (r#","events":"/orders/ord_"#, r#"/events""#),
    (r#","steps":"/orders/ord_"#, r#"/steps""#),
    (r#","timeline":"/orders/ord_"#, r#"/timeline""#),
    (r#","report":"/orders/ord_"#, r#"/report""#),
    (r#","trace":"/orders/ord_"#, r#"/trace""#),
    (r#","cancel":"/orders/ord_"#, r#"/cancel""#),
    (r#","retry":"/orders/ord_"#, r#"/retry"}"#),
];

/// Bytes of all links of an order.
const LINKS_BYTES: usize = 526;

/// Writes the links of an order as one text. As eight strings, each looked through for what to escape, they would cost a quarter of
/// the answer.
pub struct LinksView(pub OrderId);

impl Serialize for LinksView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut id = Uuid::encode_buffer();
        let id = self.0.0.hyphenated().encode_lower(&mut id);
        let mut text = String::with_capacity(LINKS_BYTES);
        for (before, after) in LINKS {
            text.extend([before, id, after]);
        }
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
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

/// A run after which the order waited again: it did not come to its end, or failed.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView<'a> {
    /// Its number.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub attempt: u32,
    /// Where it ran; null where orders are kept in memory.
    pub node: Option<&'a str>,
    /// Begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<At>,
    /// Noticed to be over.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: At,
    /// `node_lost`: its node was not heard of for longer than a lease. `shutdown`: its node was shut down. `failed`: see `error`.
    pub why: &'static str,
    /// What it failed of; set exactly when it failed.
    pub error: Option<OrderErrorView<'a>>,
}

impl<'a> AttemptView<'a> {
    pub(super) fn new(job: &'a Job, attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            node: Some(&*attempt.node).filter(|node| !node.is_empty()),
            started_at: attempt.started_us.map(At),
            ended_at: At(attempt.ended_us),
            why: attempt.why.name(),
            error: attempt.error.as_ref().map(|error| OrderErrorView::new(job, error)),
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
    /// Mean completion time of the dishes that succeeded, each from its arrival (the order's start, unless `arrivals` says otherwise).
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

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;
    use crate::domain::id::Ids;

    #[test]
    fn the_links_are_what_the_contract_says_and_fit_their_text() {
        let id = Ids::new(1).next(1);
        let text = serde_json::to_string(&LinksView(id)).expect("text");
        assert_eq!(text.len(), LINKS_BYTES);
        let links: serde_json::Map<_, _> = serde_json::from_str(&text).expect("an object");
        let contract = serde_json::to_value(Links::schema()).expect("a schema");
        let named = contract["properties"].as_object().expect("properties");
        assert!(links.keys().eq(named.keys()), "{text}\n{contract}");
        assert_eq!(links["trace"], format!("/orders/{id}/trace"));
    }
}
