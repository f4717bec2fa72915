//! The accept loop: who may come in, who has to go, and how all of them leave at the end.
//!
//! axum's own has no time limits, no connection cap and no drain deadline. All connections are looked at a few times a
//! second instead of having timers of their own. When the house is full, whoever keeps it waiting longest makes room, so
//! a crowd of slow clients keeps nobody out. It deliberately knows no path.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;

use super::around::Around;
use super::connection;
use super::pulse::{Order, Phase, Pulse};
use super::tls::{self, Tls};
use crate::clock::{self, Ns};
use crate::config::Door;
use crate::metrics::{Cut, Metrics};

/// Descriptors kept for children, pipes and files.
const OTHER_DESCRIPTORS: u64 = 256;
/// Connections the kernel holds until they are accepted; what uvicorn and nginx ask for is of this size too.
const BACKLOG: u32 = 1_024;
/// Connections above the limit, so that probes are answered when all others are busy. Chosen.
const GUESTS: usize = 64;
/// Part of the waiting connections that makes room at once, so that a flood pays for few looks. Chosen.
const ROOM: usize = 64;
/// How long the rest of what a client sends is thrown away behind a refusal. nginx: 5 s without a byte, 30 s in all.
const LINGER: Duration = Duration::from_secs(2);
/// Time between two looks at all connections, unless a limit is shorter than a few of them.
const LOOK: Duration = Duration::from_millis(500);
/// Pause after a failed accept (out of descriptors), so that the loop does not spin.
const BREATH: Duration = Duration::from_millis(50);
/// Silence after which TCP asks whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Bytes of an answer that the kernel takes beyond what it may send. By itself it takes more than a megabyte for a client on this machine
/// that reads nothing, and a stream is asked for all of it. As much as one segment of the loopback device.
const UNSENT_BYTES: u32 = 64 * 1024;

/// Listens. Options of the listener are those of what it accepts.
pub fn listen(address: SocketAddr, door: &Door) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    sockopt::set_tcp_keepidle(&socket, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEP_ALIVE)?;
    // What hyper has handed over may still lie in the kernel, before a client that is no longer there.
    sockopt::set_tcp_user_timeout(&socket, door.write_timeout_ms)?;
    SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections at once: as set, and no more than there are descriptors for.
#[must_use]
pub fn connections(door: &Door) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = descriptors.saturating_sub(OTHER_DESCRIPTORS).max(descriptors / 8);
    (door.max_connections as usize).min(usize::try_from(room).unwrap_or(usize::MAX))
}

/// Serves until `closing` turns true, then answers what has begun, at most for `grace`.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    door: Around,
    settings: Door,
    mut closing: watch::Receiver<bool>,
    grace: Duration,
) {
    let running_on = door.running_on().clone();
    let mut hall = Hall::new(door, tls, settings, closing.clone());
    let mut looks = tokio::time::interval(hall.look());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = closed(&mut closing) => break,
            Some(ended) = hall.tasks.join_next_with_id() => {
                hall.left(ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            _ = looks.tick() => hall.look_around(clock::now()),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => hall.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
    drop(listener);
    for slot in hall.slots.values() {
        slot.pulse.tell(Order::Leave);
    }
    let done = async {
        while hall.tasks.join_next().await.is_some() {}
        while running_on.count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(grace, done).await.is_err() {
        tracing::warn!(grace_ms = grace.as_millis(), "connections cut off at the end of the grace period");
    }
}

/// The stream inside TLS; the handshake counts as the head of a request.
async fn opened(
    stream: TcpStream,
    tls: Tls,
    at_most: Duration,
    mut closing: watch::Receiver<bool>,
    metrics: &Metrics,
) -> Option<tls::Opened> {
    let opened = tokio::select! {
        opened = tokio::time::timeout(at_most, tls::open(stream, Some(tls))) => opened,
        () = closed(&mut closing) => return None,
    };
    match opened {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
        Err(_) => {
            tracing::debug!("no TLS in time");
            metrics.cut(Cut::Head);
        }
    }
    None
}

/// Resolves when the service is about to end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

struct Slot {
    pulse: Arc<Pulse>,
    is_guest: bool,
    is_leaving: bool,
}

/// Everybody who is connected.
struct Hall {
    door: Around,
    tls: Option<Tls>,
    settings: Door,
    closing: watch::Receiver<bool>,
    seats: usize,
    slots: HashMap<Id, Slot>,
    guests: usize,
    leaving: usize,
    tasks: JoinSet<()>,
}

impl Hall {
    fn new(door: Around, tls: Option<Tls>, settings: Door, closing: watch::Receiver<bool>) -> Self {
        let (seats, slots, tasks) = (connections(&settings), HashMap::new(), JoinSet::new());
        Self { door, tls, settings, closing, seats, slots, guests: 0, leaving: 0, tasks }
    }

    fn look(&self) -> Duration {
        let limits = [self.settings.header_time(), self.settings.idle_time(), self.settings.write_time()];
        limits.into_iter().min().map_or(LOOK, |shortest| (shortest / 4).clamp(Duration::from_millis(5), LOOK))
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let taken = |hall: &Self| hall.slots.len() - hall.leaving;
        if taken(self) >= self.seats {
            self.make_room();
        }
        let is_guest = taken(self) >= self.seats;
        if is_guest && self.guests >= GUESTS {
            // Nothing to say to so many: the reset is the answer.
            return;
        }
        let pulse = Arc::<Pulse>::default();
        let door = self.door.at(peer.ip(), pulse.clone(), is_guest);
        let task = match self.tls.clone() {
            None => self.tasks.spawn(connection::serve(stream, door, pulse.clone())),
            Some(tls) => {
                let (served, closing, limit) = (pulse.clone(), self.closing.clone(), self.settings.header_time());
                self.tasks.spawn(async move {
                    if let Some(stream) = opened(stream, tls, limit, closing, door.metrics()).await {
                        connection::serve(stream, door, served).await;
                    }
                })
            }
        };
        self.guests += usize::from(is_guest);
        self.slots.insert(task.id(), Slot { pulse, is_guest, is_leaving: false });
    }

    fn left(&mut self, id: Id) {
        if let Some(slot) = self.slots.remove(&id) {
            self.guests -= usize::from(slot.is_guest);
            self.leaving -= usize::from(slot.is_leaving);
        }
    }

    /// Those who have kept the service waiting longest go, a few at once. If nobody does, those whose answers are held back
    /// get them now: who waits in comfort must not keep out who has something to say.
    fn make_room(&mut self) {
        let mut waiting = self.since(Pulse::waits_since);
        if waiting.is_empty() {
            waiting = self.since(Pulse::held_since);
        }
        let room = waiting.len().div_ceil(ROOM);
        if room == 0 {
            return;
        }
        waiting.select_nth_unstable_by_key(room - 1, |(since, _)| *since);
        for (_, id) in &waiting[..room] {
            if let Some(slot) = self.slots.get_mut(id) {
                let ends_well = matches!(slot.pulse.phase().0, Phase::Idle | Phase::Held);
                slot.pulse.tell(if ends_well { Order::Leave } else { Order::Cut });
                slot.is_leaving = true;
                self.leaving += 1;
                self.door.metrics().cut(Cut::Room);
            }
        }
        tracing::debug!(room, "made room for new connections");
    }

    /// Who could go because of this, and since when.
    fn since(&self, what: impl Fn(&Pulse) -> Option<Ns>) -> Vec<(Ns, Id)> {
        let stays = |slot: &Slot| !slot.is_leaving && !slot.is_guest;
        self.slots
            .iter()
            .filter(|(_, slot)| stays(slot))
            .filter_map(|(id, slot)| Some((what(&slot.pulse)?, *id)))
            .collect()
    }

    /// Ends whoever has used up its time.
    fn look_around(&mut self, now: Ns) {
        for slot in self.slots.values_mut() {
            let over = |since: Ns, limit: Duration| now.saturating_sub(since) > clock::ns(limit);
            let (order, reason) = match slot.pulse.phase() {
                _ if slot.pulse.stalled_since().is_some_and(|since| over(since, self.settings.write_time())) => {
                    (Order::Cut, Some(Cut::Stalled))
                }
                (Phase::Idle, since) if over(since, self.settings.idle_time()) => (Order::Leave, Some(Cut::Idle)),
                (Phase::Head, since) if over(since, self.settings.header_time()) => (Order::Late, Some(Cut::Head)),
                // Why it is leaving has been counted, or was the client's own wish.
                (Phase::Leaving, since) if over(since, LINGER) => (Order::Cut, None),
                _ => continue,
            };
            slot.pulse.tell(order);
            if !std::mem::replace(&mut slot.is_leaving, true) {
                self.leaving += 1;
                reason.into_iter().for_each(|reason| self.door.metrics().cut(reason));
            }
        }
    }
}
