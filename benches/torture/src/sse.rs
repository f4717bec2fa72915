//! Event streams as a client reads them, and the proof that one has no gap.
//!
//! It deliberately believes no event: numbers must follow each other, and a step may be told as done once.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::Try;
use crate::wire::{Conn, request};

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    /// The attempt and its number within that, as the id has them.
    pub id: Option<(u64, u64)>,
    pub data: Value,
}

/// A stream that is being read.
pub struct Stream {
    conn: Conn,
    text: String,
}

impl Stream {
    /// Follows an order from its beginning.
    pub async fn open(to: SocketAddr, order: &str) -> Try<Self> {
        Self::after(to, order, None).await?.ok_or_else(|| format!("events of {order}: none").into())
    }

    /// Follows what is at this path, from its beginning.
    pub async fn of(to: SocketAddr, path: &str) -> Try<Self> {
        Self::ask(to, path, &[]).await?.ok_or_else(|| format!("{path}: nothing to tell").into())
    }

    /// Follows an order as one who has seen this event; `None` if there is nothing more to tell.
    pub async fn after(to: SocketAddr, order: &str, seen: Option<(u64, u64)>) -> Try<Option<Self>> {
        let last = seen.map(|(attempt, seq)| format!("{attempt}.{seq}"));
        let headers: Vec<_> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
        Self::ask(to, &format!("/orders/{order}/events"), &headers).await
    }

    async fn ask(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Try<Option<Self>> {
        let mut conn = Conn::open(to, None).await?;
        conn.stream.write_all(&request("GET", path, headers, "")).await?;
        match conn.head().await?.status {
            200 => Ok(Some(Self { conn, text: String::new() })),
            204 => Ok(None),
            status => Err(format!("{path}: {status}").into()),
        }
    }

    /// The next event; `None` when the stream is over.
    pub async fn next(&mut self) -> Try<Option<Event>> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let frame = std::mem::replace(&mut self.text, rest);
                if let Some(event) = parse(&frame) {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.conn.chunk().await? {
                Some(chunk) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                None => return Ok(None),
            }
        }
    }
}

fn parse(frame: &str) -> Option<Event> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let number = |id: &str| Some(id.split_once('.')?).and_then(|(a, s)| Some((a.parse().ok()?, s.parse().ok()?)));
    let id = field("id").and_then(number);
    let data = field("data").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    Some(Event { name: field("event")?.to_owned(), id, data })
}

/// Holds a stream to I4 and I5 while it is read: within an attempt numbers follow each other from 1, and a step is told as
/// finished once. The next attempt begins anew.
#[derive(Default)]
pub struct Gapless {
    /// Attempt and number of the last event.
    pub last: Option<(u64, u64)>,
    /// Under which number each step was finished: by attempt, dish and name.
    finished: HashMap<(u64, u64, String), u64>,
    /// Events seen, by name.
    pub seen: BTreeMap<String, u64>,
    pub ended: bool,
}

impl Gapless {
    /// Takes an event.
    pub fn take(&mut self, event: &Event) -> Try<()> {
        *self.seen.entry(event.name.clone()).or_default() += 1;
        if self.ended {
            return Err(format!("{} came after the end", event.name).into());
        }
        if event.name == "gap" {
            return Err("a gap was told".into());
        }
        if let Some((attempt, seq)) = event.id {
            let expected = match self.last {
                Some((before, last)) if before == attempt => last + 1,
                Some((before, _)) if before > attempt => return Err(format!("{attempt} after attempt {before}").into()),
                _ => 1,
            };
            if seq != expected {
                return Err(format!("{} has number {attempt}.{seq}, expected {expected}", event.name).into());
            }
            self.last = Some((attempt, seq));
            if event.name == "step.finished" {
                let (dish, step) = (event.data["dish"].as_u64().unwrap_or(0), event.data["step"].as_str());
                let step = (attempt, dish, step.unwrap_or_default().to_owned());
                // Whoever was told of a gap hears all of it again, under the same numbers.
                if self.finished.insert(step.clone(), seq).is_some_and(|before| before != seq) {
                    return Err(format!("{step:?} was finished twice").into());
                }
            }
        }
        self.ended = event.name.starts_with("order.") && event.name != "order.running";
        Ok(())
    }

    /// What was told is told again from the beginning.
    pub fn anew(&mut self) {
        self.last = None;
    }
}

/// Reads the events of an order to their end; an order above 10,000 steps tells no single ones.
pub async fn whole(to: SocketAddr, order: &str) -> Try<Gapless> {
    let mut stream = Stream::open(to, order).await?;
    let mut gapless = Gapless::default();
    while let Some(event) = stream.next().await? {
        gapless.take(&event)?;
    }
    if !gapless.ended {
        return Err(format!("the stream ended without the order's end: {:?}", gapless.seen).into());
    }
    Ok(gapless)
}
