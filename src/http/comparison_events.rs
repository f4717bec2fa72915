//! A comparison's progress as it happens (SSE).
//!
//! The stream comes and looks every few milliseconds; nobody pushes to it. It deliberately tells one event a run: the
//! steps of a run are in the stream of its order.

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::Event;
use serde::Serialize;

use super::AppState;
use super::caller::Caller;
use super::comparison_wire::view;
use super::comparisons::find;
use super::event_id;
use super::events::{self, CLOSING, LOOK, RETRY, Tells};
use super::problem::Problem;
use super::seat::Seat;
use crate::domain::id::OrderId;
use crate::lab::comparison::{Comparison, Told};

/// Follow a comparison
///
/// Server-sent events: `snapshot` (the comparison), `comparison.running`, `progress` after each run (its entry and makespan), and at
/// the end `comparison.succeeded`, `comparison.failed` or `comparison.canceled` with the whole comparison; `closing` if
/// the service ends before. Ids are 1.seq; reconnect with `Last-Event-ID`. An unknown id is answered by `gap` and a new
/// `snapshot`; after the end by 204. Not executable from the API docs: use `curl -N`.
#[utoipa::path(get, path = "/comparisons/{id}/events", operation_id = "followComparison", tag = "comparisons",
    params(
        ("id" = String, Path, description = "The comparison's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen"),
    ),
    extensions(("x-executable" = json!(false))),
    responses(
        (status = 200, description = "Events until the comparison has ended", content_type = "text/event-stream"),
        (status = 204, description = "Everything has been told"),
        (status = 404, description = "Not here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn follow(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let id = find(&app, &caller, &text)?;
    let given = headers.get("last-event-id");
    let (last, is_done) =
        app.comparisons.look(id, |state| (last_seq(state), state.status.is_done())).unwrap_or_default();
    let seen = given.map(|value| event_id::of_order(value, ATTEMPT, last as u32).map(|seq| seq as usize));
    if is_done && seen == Some(Some(last)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let seat = Seat::take(&app)?;
    let mut teller = Teller { app, id, seen: seen.flatten().unwrap_or(0), told: VecDeque::new(), over: false, seat };
    if seen == Some(None) {
        teller.told.push_back(events::bare("gap"));
    }
    if !matches!(seen, Some(Some(_))) {
        teller.snapshot();
    }
    Ok(events::streamed(teller))
}

/// A comparison is tried once.
const ATTEMPT: u32 = 1;

/// The number of the last event there is: 1 when it has the house, one more for each run, and one for the end.
fn last_seq(state: &Comparison) -> usize {
    usize::from(has_begun(state)) + state.told.len() + usize::from(state.status.is_done())
}

/// Whether it ever had the house.
fn has_begun(state: &Comparison) -> bool {
    state.effective_cores.is_some()
}

struct Teller {
    app: AppState,
    id: OrderId,
    /// Number of the last event told.
    seen: usize,
    told: VecDeque<Event>,
    over: bool,
    seat: Seat,
}

#[derive(Serialize)]
struct RunData<'a> {
    entry: &'a str,
    makespan_ms: Option<f64>,
    runs_done: usize,
    runs_total: usize,
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
                return Some(events::bare(CLOSING));
            }
            // Forgotten while it was followed: nothing more to tell.
            self.look()?;
            if self.told.is_empty() && !self.over {
                let app = self.app.clone();
                let _ = app.before_closing(app.comparisons.wait(self.id, LOOK)).await;
            }
        }
    }
}

impl Teller {
    fn snapshot(&mut self) {
        let event = self.app.comparisons.look(self.id, |state| events::event("snapshot", &view(state)).retry(RETRY));
        self.told.extend(event);
    }

    /// Tells what has happened since the last look.
    fn look(&mut self) -> Option<()> {
        let (seen, id) = (self.seen, self.id);
        let (events, last, is_done) = self.app.comparisons.look(id, |state| {
            let last = last_seq(state);
            let events: Vec<_> = (seen + 1..=last).map(|seq| event(state, seq, last)).collect();
            (events, last, state.status.is_done())
        })?;
        self.told.extend(events);
        self.seen = last;
        self.over = is_done;
        Some(())
    }
}

/// The event of this number.
fn event(state: &Comparison, seq: usize, last: usize) -> Event {
    let whole = |name: &str| events::event(name, &view(state));
    let event = match seq.checked_sub(2).and_then(|at| state.told.get(at)) {
        Some(told) => run(told),
        None if seq == last && state.status.is_done() => whole(&format!("comparison.{}", state.status.name())),
        None => whole("comparison.running"),
    };
    event.id(format!("{ATTEMPT}.{seq}"))
}

fn run(told: &Told) -> Event {
    let (runs_done, runs_total) = told.progress;
    events::event("progress", &RunData { entry: &told.entry, makespan_ms: told.makespan_ms, runs_done, runs_total })
}
