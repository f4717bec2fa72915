//! A reader of server-sent events, for tests.
//!
//! A stream is taken apart by hand, as the standard says it
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), and deliberately not by a library that may forgive.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{House, link};

/// An event without news for so long is a fault.
const PATIENCE: Duration = Duration::from_secs(60);

/// An event. What was not sent is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    /// Its type.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: Option<String>,
    /// Its data.
    pub(crate) data: Value,
}

impl Event {
    /// Its number within the first attempt.
    pub(crate) fn seq(&self) -> Option<u32> {
        let (attempt, seq) = self.numbers()?;
        assert_eq!(attempt, 1);
        Some(seq)
    }

    /// Its attempt, and its number within that.
    pub(crate) fn numbers(&self) -> Option<(u32, u32)> {
        let (attempt, seq) = self.id.as_deref()?.split_once('.')?;
        Some((attempt.parse().ok()?, seq.parse().ok()?))
    }

    /// The dish and the step it tells of.
    pub(crate) fn step(&self) -> (u64, &str) {
        (self.data["dish"].as_u64().expect("a dish"), self.data["step"].as_str().expect("a step"))
    }
}

/// One connection to the events of an order.
pub(crate) struct Follower {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>>>>,
    buffer: Vec<u8>,
}

impl Follower {
    /// Connects, as one who has seen `last`.
    pub(crate) async fn connect(house: &House, order: &Value, last: Option<&str>) -> Self {
        Self::at(house, &link(order, "events"), last).await
    }

    /// Connects to this path.
    pub(crate) async fn at(house: &House, path: &str, last: Option<&str>) -> Self {
        let request = house.request(Method::GET, path).header("accept", "text/event-stream");
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        Self { bytes: Box::pin(response.bytes_stream().map(|chunk| chunk.map(|c| c.to_vec()))), buffer: Vec::new() }
    }

    /// The next event; `None` when the service has closed the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                match parse(std::str::from_utf8(&block[..end]).expect("UTF-8")) {
                    Some(event) => return Some(event),
                    // A comment, as a sign of life.
                    None => continue,
                }
            }
            match tokio::time::timeout(PATIENCE, self.bytes.next()).await.expect("news or the end") {
                Some(chunk) => self.buffer.extend(chunk.expect("no broken stream")),
                None => {
                    assert!(self.buffer.is_empty(), "half an event at the end");
                    return None;
                }
            }
        }
    }

    /// Everything until the service closes the stream.
    pub(crate) async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parse(block: &str) -> Option<Event> {
    assert!(!block.contains('\r'));
    let mut event = Event::default();
    for line in block.split('\n') {
        match line.split_once(": ").unwrap_or((line, "")) {
            ("event", name) => event.name = name.to_owned(),
            ("id", id) => event.id = Some(id.to_owned()),
            ("data", data) => event.data = serde_json::from_str(data).expect("one line of JSON"),
            ("retry", ms) => assert!(ms.parse::<u64>().is_ok() && event.name == "snapshot"),
            ("" | ":", _) => {}
            (field, _) => panic!("no field of an event: {field}"),
        }
    }
    (!event.name.is_empty()).then_some(event)
}
