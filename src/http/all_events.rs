//! What happens to all orders, as one stream (SSE): for dashboards, and for whoever waits for many orders.
//!
//! The stream comes and looks at the kitchen's journal; nobody pushes to it. It deliberately tells states only: the steps
//! of an order are in its own stream.

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use axum::response::sse::Event;
use serde::Serialize;

use super::AppState;
use super::caller::Caller;
use super::event_id;
use super::events::{self, LOOK, Tells};
use super::house;
use super::order_list;
use super::orders::down;
use super::problem::Problem;
use super::request::Params;
use super::seat::Seat;
use super::wire::LabelsView;
use crate::domain::job::Job;
use crate::kitchen::{Found, Happened};
use crate::store::Query;

/// Entries read at one look: 12,500 a second, which is more than anybody reads and little to hold for a client that
/// does not.
const ENTRIES: usize = 500;

/// Follow all orders
///
/// Server-sent events: `snapshot` (the counts of `GET /stats`), then `order.queued`, `order.running`, `order.succeeded` and so on,
/// each with the order's id, model and labels; `closing` at the end. Ids are boot.seq; reconnect with `Last-Event-ID`. Who falls behind by more than the
/// house remembers, or comes from an earlier run of the service, gets `gap` and a new `snapshot`. Of nodes that share a store each tells
/// `order.queued` and `order.running` of the orders it takes in and runs itself, and the end of every order, wherever it ran; ends that come
/// while a node has no connection to the database are not told there afterwards. Not executable from the
/// API docs: a browser shows a stream only when it has ended; use `curl -N`.
#[utoipa::path(get, path = "/events", operation_id = "followOrders", tag = "orders",
    params(
        ("model" = Option<String>, Query, description = "Only orders of this model."),
        ("status" = Option<String>, Query, pattern = "^(queued|running|succeeded|failed|canceled|expired)(,(queued|running|succeeded|failed|canceled|expired))*$", description = "Comma-separated: only these states."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen"),
    ),
    extensions(("x-executable" = json!(false))),
    responses(
        (status = 200, description = "Events, for as long as the client stays", content_type = "text/event-stream"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn follow(
    State(app): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let given = order_list::taken(&mut params)?;
    params.done()?;
    let query = order_list::query_of(given)?;
    let seat = Seat::take(&app, &caller)?;
    let boot = app.kitchen.ids.boot();
    let last = headers.get("last-event-id").map(|id| event_id::of_house(id, &boot));
    let seen = last.flatten().unwrap_or_else(|| app.kitchen.journal.last());
    let mut teller = Teller { app, caller, query, boot, seen, told: VecDeque::new(), over: false, seat };
    match last {
        None => teller.snapshot().await?,
        Some(None) => teller.gap().await?,
        Some(Some(_)) => {}
    }
    Ok(events::streamed(teller))
}

struct Teller {
    app: AppState,
    caller: Caller,
    query: Query,
    boot: String,
    /// Number of the last entry told or passed over.
    seen: u64,
    told: VecDeque<Event>,
    over: bool,
    seat: Seat,
}

#[derive(Serialize)]
struct OrderData<'a> {
    id: String,
    status: &'static str,
    done: bool,
    model: &'static str,
    labels: LabelsView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl Tells for Teller {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if self.seat.is_over(&self.app) {
                self.over = true;
                return Some(events::bare(events::CLOSING));
            }
            if self.look().await.is_err() {
                // The store does not answer; what happened meanwhile is still in the journal.
                let _ = self.app.before_closing(tokio::time::sleep(LOOK)).await;
            }
            if self.told.is_empty() {
                let _ = self.app.before_closing(tokio::time::sleep(LOOK)).await;
            }
        }
    }
}

impl Teller {
    async fn look(&mut self) -> Result<(), Problem> {
        let Happened { entries, gap } = self.app.kitchen.journal.after(self.seen, ENTRIES);
        if gap {
            return self.gap().await;
        }
        for entry in entries {
            let seen = std::mem::replace(&mut self.seen, entry.seq);
            if !self.query.status.is_empty() && !self.query.status.contains(&entry.status) {
                continue;
            }
            let job = match self.app.kitchen.get(entry.id).await {
                Ok(Found::Here(job)) if self.tells(&job) => job,
                Ok(_) => continue,
                Err(why) => {
                    self.seen = seen;
                    return Err(down(why));
                }
            };
            let data = OrderData {
                id: job.id.to_string(),
                status: entry.status.name(),
                done: entry.status.is_done(),
                model: crate::model::get(job.spec.model).info().name,
                labels: LabelsView(&job.spec.labels),
                traceparent: job.spec.traceparent.map(|trace| trace.to_string()),
            };
            let id = format!("{}.{}", self.boot, entry.seq);
            let event = events::event(&format!("order.{}", entry.status.name()), &data).id(id);
            self.told.push_back(event);
        }
        Ok(())
    }

    fn tells(&self, job: &Job) -> bool {
        self.caller.sees(&job.owner)
            && self.query.model.is_none_or(|model| model == job.spec.model)
            && self.query.has_labels(job)
    }

    async fn gap(&mut self) -> Result<(), Problem> {
        self.seen = self.app.kitchen.journal.last();
        self.told.push_back(events::bare("gap"));
        self.snapshot().await
    }

    async fn snapshot(&mut self) -> Result<(), Problem> {
        let id = format!("{}.{}", self.boot, self.seen);
        let counts = house::counts(&self.app).await?;
        self.told.push_back(events::event("snapshot", &counts).id(id).retry(events::RETRY));
        Ok(())
    }
}
