//! Event streams as a client reads them, and the proof that one has no gap.
//!
//! It deliberately believes no event: numbers must follow each other, and a step may be told as done once.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use serde_json::Value;

use crate::Try;
use crate::wire::{Conn, request};

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    /// Its number within the attempt; the attempt is the first part of the id.
    pub seq: Option<u64>,
    pub data: Value,
}

/// A stream that is being read.
pub struct Stream {
    conn: Conn,
    text: String,
}

impl Stream {
    /// Follows an order.
    pub async fn open(to: SocketAddr, order: &str) -> Try<Self> {
        let mut conn = Conn::open(to, None).await?;
        use tokio::io::AsyncWriteExt;
        conn.stream.write_all(&request("GET", &format!("/orders/{order}/events"), &[], "")).await?;
        let head = conn.head().await?;
        if head.status != 200 {
            return Err(format!("events of {order}: {}", head.status).into());
        }
        Ok(Self { conn, text: String::new() })
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
    let seq = field("id").and_then(|id| id.split_once('.')?.1.parse().ok());
    let data = field("data").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    Some(Event { name: field("event")?.to_owned(), seq, data })
}

/// Holds a stream to I4 and I5 while it is read.
#[derive(Default)]
pub struct Gapless {
    last: Option<u64>,
    finished: HashSet<(u64, String)>,
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
        if let Some(seq) = event.seq {
            let expected = self.last.map_or(1, |last| last + 1);
            if seq != expected {
                return Err(format!("{} has number {seq}, expected {expected}", event.name).into());
            }
            self.last = Some(seq);
        }
        if event.name == "step.finished" {
            let step = (event.data["dish"].as_u64().unwrap_or(0), event.data["step"].as_str().unwrap_or("").to_owned());
            if !self.finished.insert(step.clone()) {
                return Err(format!("{step:?} was finished twice").into());
            }
        }
        self.ended = event.name.starts_with("order.") && event.name != "order.running";
        Ok(())
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
