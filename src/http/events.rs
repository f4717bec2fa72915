//! An order's events as they happen (SSE), with the seed's narration.
//!
//! The stream comes and looks every few milliseconds; nobody pushes to it, so a slow reader slows nobody. After the end
//! the same events are told from the records. It deliberately keeps little per stream: the number last sent and
//! a few events ahead, so that a client that does not read costs little.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde::Serialize;

use super::AppState;
use super::caller::Caller;
use super::event_data::{ProgressData, RetryingData, StepData};
use super::event_id;
use super::live;
use super::orders::{LOOK_ELSEWHERE, find, id};
use super::problem::Problem;
use super::request::NoParams;
use super::seat::Seat;
use super::wire::{Done, OrderView};
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::limits;
use crate::domain::live::StepEvent;
use crate::kitchen::Found;
use crate::store::MEMORY;

/// Time between two looks: below what a person sees as delay, above what a look costs by a factor of a thousand.
pub(super) const LOOK: Duration = Duration::from_millis(40);
/// Time between two `progress` events.
const PROGRESS: Duration = Duration::from_millis(100);
/// Sign of life for proxies that close silent connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a client is told to wait before it reconnects.
pub(super) const RETRY: Duration = Duration::from_secs(2);
/// Name of the last event when the service ends, or the stream has become too old, or its key was withdrawn: come again.
pub(super) const CLOSING: &str = "closing";
/// Step events written out at one look, some 10 KiB, and looked up beforehand, 6 KiB: what a client that does not read
/// costs beside its connection.
const AT_ONCE: usize = 16;
const AHEAD: usize = 256;

/// One event. JSON has no raw line breaks, so user text cannot split a frame.
pub(super) fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// An event that says everything by its name.
pub(super) fn bare(name: &str) -> Event {
    Event::default().event(name).data("{}")
}

/// What comes and looks, and tells one event after another.
pub(super) trait Tells: Send + 'static {
    /// The next event, when there is one; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// The answer that is made of what this tells.
pub(super) fn streamed(teller: impl Tells) -> Response<Body> {
    let events = stream::unfold(teller, |mut teller| async move {
        let event = teller.next().await?;
        Some((Ok::<_, Infallible>(event), teller))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Follow an order
///
/// Server-sent events: `snapshot` (the order), `order.running`, `step.started`, `step.finished` (each with its
/// narration), `progress` (orders above 10,000 steps), `order.retrying` (an attempt failed and
/// another follows, then `order.running` again), and at the end `order.succeeded`, `order.failed`, `order.canceled` or
/// `order.expired`; `closing` if the service ends before the order does, or the key it was opened with is withdrawn. Ids are attempt.seq; reconnect with `Last-Event-ID`. An unknown id is answered by `gap` and a new
/// `snapshot`; after the end by 204. Not executable from the API docs: a browser shows a stream only when it has ended;
/// use `curl -N`, or the page at `/`.
#[utoipa::path(get, path = "/orders/{id}/events", operation_id = "followOrder", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen"),
    ),
    extensions(("x-executable" = json!(false))),
    responses(
        (status = 200, description = "Events until the order has ended", content_type = "text/event-stream"),
        (status = 204, description = "Everything has been told"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A query parameter, of which there is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn follow(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    _: NoParams,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let id = id(&text)?;
    let job = find(&app.kitchen, &caller, id).await?;
    let last = if job.status.is_done() { last_seq(&job) } else { live::last_seq(&app.kitchen, &job).await };
    let seen = headers.get("last-event-id").map(|id| event_id::of_order(id, job.attempt.max(1), last));
    if job.status.is_done() && seen == Some(Some(last)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let seat = Seat::take(&app, &caller)?;
    let mut teller = Teller {
        app,
        id,
        attempt: job.attempt,
        retried: job.attempts().last().map_or(0, |attempt| attempt.attempt),
        seen: seen.flatten().unwrap_or(0),
        ahead: VecDeque::new(),
        elsewhere: None,
        told: VecDeque::new(),
        over: false,
        seat,
    };
    match seen {
        Some(Some(_)) => {}
        Some(None) => {
            teller.told.push_back(bare("gap"));
            teller.order("snapshot", &job, None).await;
        }
        None => teller.order("snapshot", &job, None).await,
    }
    Ok(streamed(teller))
}

/// The seq of the event that ends an ended order.
fn last_seq(job: &Job) -> u32 {
    job.summary.as_ref().map_or(1, |summary| summary.events.max(1) + 1)
}

struct Teller {
    app: AppState,
    id: OrderId,
    /// The run that is told: the next one begins at its first event.
    attempt: u32,
    /// The last failed run of which was told that another follows.
    retried: u32,
    /// Number of the last event of it that was told.
    seen: u32,
    /// Known and not yet written out.
    ahead: VecDeque<StepEvent>,
    /// How far it is, by the node that cooks it.
    elsewhere: Option<Done>,
    told: VecDeque<Event>,
    over: bool,
    seat: Seat,
}

impl Tells for Teller {
    async fn next(&mut self) -> Option<Event> {
        let mut progressed = None;
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some(event);
            }
            if self.seen == 0 {
                // What is told by now is sent before the first look, which may take longer than all of it.
                tokio::task::yield_now().await;
            }
            if self.over {
                return None;
            }
            if self.seat.is_over(&self.app) {
                self.over = true;
                return Some(bare(CLOSING));
            }
            let kitchen = self.app.kitchen.clone();
            let watched = kitchen.watch(self.id);
            let ended = watched.ended();
            let job = match kitchen.get(self.id).await {
                Ok(Found::Here(job)) => job,
                // Gone while it was watched: nothing more to tell.
                Ok(_) => return None,
                Err(_) => {
                    tokio::time::sleep(LOOK_ELSEWHERE).await;
                    continue;
                }
            };
            self.look(&job).await;
            if self.told.is_empty() && !self.over {
                let look = if kitchen.cooks(self.id) || kitchen.store.durability() == MEMORY {
                    if job.spec.steps_total() > limits::RECORDS { PROGRESS } else { LOOK }
                } else {
                    LOOK_ELSEWHERE
                };
                let _ = self.app.before_closing(tokio::time::timeout(look, ended)).await;
                self.progress(&job, &mut progressed);
            }
        }
    }
}

impl Teller {
    /// Tells what has happened since the last look.
    async fn look(&mut self, job: &Job) {
        self.retries(job);
        if job.status == Status::Queued {
            return;
        }
        if self.attempt != job.attempt {
            (self.attempt, self.seen) = (job.attempt, 0);
            self.ahead.clear();
        }
        if self.seen == 0 && job.started_us.is_some() {
            self.seen = 1;
            self.order("order.running", job, Some(1)).await;
        }
        let mut is_all = false;
        if self.ahead.is_empty() {
            let seen = self.seen;
            let Some((events, elsewhere)) = live::events(&self.app.kitchen, job, seen, AHEAD).await else { return };
            self.ahead.extend(events.into_iter().filter(|event| event.seq > seen).take(AHEAD));
            self.elsewhere = elsewhere;
            is_all = self.ahead.is_empty();
        }
        for event in self.ahead.drain(..AT_ONCE.min(self.ahead.len())).collect::<Vec<_>>() {
            self.step(job, event);
        }
        if job.status.is_done() && is_all {
            // An order that ends in the line after a broken run has no books of it: its end comes after what was told.
            let last = last_seq(job).max(self.seen + 1);
            self.order(&format!("order.{}", job.status.name()), job, Some(last)).await;
            self.over = true;
        }
    }

    /// Tells of failed runs that another follows. Steps of theirs that had not been told are not told any more.
    fn retries(&mut self, job: &Job) {
        for data in RetryingData::after(job, self.retried) {
            if self.attempt != data.attempt {
                (self.attempt, self.seen) = (data.attempt, 0);
            }
            self.ahead.clear();
            self.retried = data.attempt;
            // Its beginning has the first number, told or not.
            self.seen = self.seen.max(1) + 1;
            self.tell("order.retrying", Some((data.attempt, self.seen)), &data);
        }
    }

    fn progress(&mut self, job: &Job, before: &mut Option<Done>) {
        let here = self.app.kitchen.run(self.id).map(|run| run.recorder.progress());
        let Some((steps_done, dishes_done)) = here.or(self.elsewhere.take()) else { return };
        // Of fewer steps each is told.
        if job.spec.steps_total() <= limits::RECORDS {
            return;
        }
        if before.replace((steps_done, dishes_done)) != Some((steps_done, dishes_done)) {
            self.tell("progress", None, &ProgressData::new(job, (steps_done, dishes_done)));
        }
    }

    async fn order(&mut self, name: &str, job: &Job, seq: Option<u32>) {
        let view = OrderView::new(job, live::done(&self.app.kitchen, job).await);
        self.tell(name, seq.map(|seq| (job.attempt.max(1), seq)), &view);
    }

    fn step(&mut self, job: &Job, event: StepEvent) {
        self.seen = event.seq;
        let data = StepData::new(job, &event);
        let name = if event.outcome.is_some() { "step.finished" } else { "step.started" };
        self.tell(name, Some((job.attempt.max(1), event.seq)), &data);
    }

    fn tell(&mut self, name: &str, id: Option<(u32, u32)>, data: &impl Serialize) {
        let mut event = event(name, data);
        if let Some((attempt, seq)) = id {
            event = event.id(format!("{attempt}.{seq}"));
        } else if name == "snapshot" {
            event = event.retry(RETRY);
        }
        self.told.push_back(event);
    }
}
