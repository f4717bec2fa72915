//! A comparison's progress as it happens (SSE).
//!
//! The stream comes and looks every few milliseconds, every half second at one that is measured elsewhere; nobody pushes to
//! it. It deliberately tells one event a run: the steps of a run are in the stream of its order.

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::Event;
use serde::Serialize;
use serde_json::value::RawValue;

use super::AppState;
use super::caller::Caller;
use super::comparison_wire::{answer, written};
use super::comparisons::find;
use super::event_id;
use super::events::{self, CLOSING, LOOK, RETRY, Tells};
use super::problem::Problem;
use super::request::NoParams;
use super::seat::Seat;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::lab::comparison::{Comparison, Told};
use crate::lab::filing::{FAR_LOOK, Known, Notes};

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
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn follow(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    _: NoParams,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let known = find(&app, &caller, &text).await?;
    let now = Story::of(&known);
    let seen = headers
        .get("last-event-id")
        .map(|value| event_id::of_order(value, ATTEMPT, now.last() as u32).map(|seq| seq as usize));
    if now.status.is_done() && seen == Some(Some(now.last())) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let seat = Seat::take(&app, &caller)?;
    let is_far = matches!(known, Known::Filed(_));
    let (id, seen_seq) = (known.id(), seen.flatten().unwrap_or(0));
    let mut teller = Teller { app, id, seen: seen_seq, told: VecDeque::new(), over: false, is_far, seat };
    if seen == Some(None) {
        teller.told.push_back(events::bare("gap"));
    }
    if !matches!(seen, Some(Some(_))) {
        teller.told.push_back(events::event("snapshot", &now.whole).retry(RETRY));
    }
    Ok(events::streamed(teller))
}

/// A comparison is tried once.
const ATTEMPT: u32 = 1;

/// What can be told of a comparison: its events are numbered 1 when it has the house, then one for each run, and one for the
/// end.
struct Story {
    status: Status,
    has_begun: bool,
    told: Vec<Told>,
    whole: Box<RawValue>,
}

impl Story {
    fn of(known: &Known) -> Self {
        match known {
            Known::Here(state) => Self::here(state),
            Known::Filed(filed) => {
                let Notes { has_begun, told, .. } = Notes::read(&filed.notes);
                let status = if filed.is_lost { Status::Failed } else { filed.status };
                Self { status, has_begun, told, whole: answer(known) }
            }
        }
    }

    fn here(state: &Comparison) -> Self {
        let whole = RawValue::from_string(written(state)).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { status: state.status, has_begun: state.has_begun(), told: state.told.clone(), whole }
    }

    /// The number of the last event there is.
    fn last(&self) -> usize {
        last(self.status, self.has_begun, self.told.len())
    }

    /// The event of this number.
    fn event(&self, seq: usize) -> Event {
        let event = match seq.checked_sub(2).and_then(|at| self.told.get(at)) {
            Some(told) => run(told),
            None if seq == self.last() && self.status.is_done() => {
                events::event(&format!("comparison.{}", self.status.name()), &self.whole)
            }
            None => events::event("comparison.running", &self.whole),
        };
        event.id(format!("{ATTEMPT}.{seq}"))
    }
}

fn last(status: Status, has_begun: bool, runs: usize) -> usize {
    usize::from(has_begun) + runs + usize::from(status.is_done())
}

struct Teller {
    app: AppState,
    id: OrderId,
    /// Number of the last event told.
    seen: usize,
    told: VecDeque<Event>,
    over: bool,
    /// It is measured elsewhere.
    is_far: bool,
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
            self.look().await?;
            if self.told.is_empty() && !self.over {
                let app = self.app.clone();
                if self.is_far {
                    app.before_closing(tokio::time::sleep(FAR_LOOK)).await;
                } else {
                    app.before_closing(app.comparisons.wait_here(self.id, LOOK)).await;
                }
            }
        }
    }
}

impl Teller {
    /// Tells what has happened since the last look.
    async fn look(&mut self) -> Option<()> {
        if let Some(story) = self.news().await? {
            self.told.extend((self.seen + 1..=story.last()).map(|seq| story.event(seq)));
            self.seen = story.last();
            self.over = story.status.is_done();
        }
        Some(())
    }

    /// The comparison, if there is something new of it; nothing at all if it is forgotten.
    async fn news(&mut self) -> Option<Option<Story>> {
        let seen = self.seen;
        let has_news = |state: &Comparison| {
            (last(state.status, state.has_begun(), state.told.len()) > seen).then(|| Story::here(state))
        };
        if !self.is_far
            && let Some(news) = self.app.comparisons.look(self.id, has_news)
        {
            return Some(news);
        }
        self.is_far = true;
        // A database that does not answer now is asked again.
        let Ok(found) = self.app.comparisons.find(self.id).await else { return Some(None) };
        found.map(|known| Some(Story::of(&known)))
    }
}

fn run(told: &Told) -> Event {
    let (runs_done, runs_total) = told.progress;
    events::event("progress", &RunData { entry: &told.entry, makespan_ms: told.makespan_ms, runs_done, runs_total })
}
