//! The load generator: closed loops, and an open loop that sends at its rate whether or not answers come.
//!
//! In the open loop a request has an intended start, and its latency counts from there: a service that makes the
//! generator late is charged for it (no coordinated omission). It deliberately says how late it was itself, and how much
//! processor time it took, because it shares the cores with what it measures.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::figures::Samples;
use crate::ledger::Ledger;
use crate::proc;
use crate::wire::{Answer, Conn};

/// What to send.
#[derive(Clone)]
pub struct Load {
    pub to: SocketAddr,
    /// Addresses of this machine to send from, in turn.
    pub from: Vec<Ipv4Addr>,
    pub connections: usize,
    /// The request, as bytes, and what the ledger calls it.
    pub request: Arc<Vec<u8>>,
    pub key: &'static str,
    pub ledger: Arc<Ledger>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Back {
    /// From the intended start, and from the moment it was sent.
    pub accepted: Samples,
    pub accepted_from_sent: Samples,
    pub rejected: Samples,
    pub rejected_from_sent: Samples,
    /// How late the generator itself sent.
    pub late: Samples,
    /// Answers that are neither accepted nor a polite reject, by what was odd.
    pub odd: Vec<String>,
    /// Calls without an answer.
    pub lost: usize,
    pub took: Duration,
    /// Processor time of the generator.
    pub cpu: Duration,
}

impl Back {
    pub fn sent(&self) -> usize {
        self.accepted.len() + self.rejected.len() + self.odd.len() + self.lost
    }

    /// Calls per second.
    pub fn rate(&self) -> f64 {
        self.sent() as f64 / self.took.as_secs_f64()
    }

    /// Cores the generator used on average.
    pub fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }

    fn join(&mut self, other: Back) {
        self.accepted.join(other.accepted);
        self.accepted_from_sent.join(other.accepted_from_sent);
        self.rejected.join(other.rejected);
        self.rejected_from_sent.join(other.rejected_from_sent);
        self.late.join(other.late);
        self.odd.extend(other.odd);
        self.lost += other.lost;
    }

    fn take(&mut self, answer: &Answer, intended: Instant, sent: Instant) {
        match polite(answer) {
            Ok(true) => {
                self.accepted.add(intended.elapsed());
                self.accepted_from_sent.add(sent.elapsed());
            }
            Ok(false) => {
                self.rejected.add(intended.elapsed());
                self.rejected_from_sent.add(sent.elapsed());
            }
            Err(odd) => self.odd.push(odd),
        }
    }
}

/// Whether an answer accepts, or rejects as it should: 429 or 503 with `Retry-After` from 1 to 30.
pub fn polite(answer: &Answer) -> Result<bool, String> {
    let after = answer.header("retry-after").and_then(|value| value.parse::<u64>().ok());
    match answer.status {
        200 | 202 => Ok(true),
        429 | 503 if after.is_some_and(|s| (1..=30).contains(&s)) => Ok(false),
        status => Err(format!("{status} with Retry-After {after:?}")),
    }
}

/// When the n-th request is due: Poisson arrivals of a fixed seed.
struct Schedule {
    due: Vec<Duration>,
    next: AtomicUsize,
}

impl Schedule {
    fn poisson(rate: f64, during: Duration) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut at = 0.0;
        let mut due = Vec::with_capacity((rate * during.as_secs_f64() * 1.1) as usize);
        while at < during.as_secs_f64() {
            at -= (1.0 - uniform(&mut state)).ln() / rate;
            due.push(Duration::from_secs_f64(at));
        }
        Self { due, next: AtomicUsize::new(0) }
    }
}

/// A number from 0 to below 1 (splitmix64, Steele et al. 2014).
pub fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sends at this rate for this long.
pub async fn open_loop(load: &Load, rate: f64, during: Duration) -> Back {
    let schedule = Arc::new(Schedule::poisson(rate, during));
    let began = Instant::now();
    drive(load, move |worker| {
        let schedule = schedule.clone();
        async move {
            let mut back = Back::default();
            let mut conn = None;
            while let Some(due) = schedule.due.get(schedule.next.fetch_add(1, Ordering::Relaxed)) {
                let intended = began + *due;
                // When the generator is far behind, what is left would only be sent after the load's end.
                if began.elapsed() > during {
                    break;
                }
                tokio::time::sleep_until(intended.into()).await;
                back.late.add(intended.elapsed());
                one(&worker, &mut conn, intended, &mut back).await;
            }
            back
        }
    })
    .await
}

/// Each connection sends its next request when the last was answered, until time is up.
pub async fn closed_loop(load: &Load, during: Duration) -> Back {
    let until = Instant::now() + during;
    drive(load, move |worker| async move {
        let mut back = Back::default();
        let mut conn = None;
        while Instant::now() < until {
            one(&worker, &mut conn, Instant::now(), &mut back).await;
        }
        back
    })
    .await
}

/// A load as one connection sees it.
struct Worker {
    load: Load,
    from: Option<Ipv4Addr>,
    hash: u64,
}

async fn drive<F, W>(load: &Load, work: W) -> Back
where
    W: Fn(Worker) -> F,
    F: Future<Output = Back> + Send + 'static,
{
    let (began, cpu) = (Instant::now(), proc::own_cpu());
    let hash = crate::ledger::hash(&load.request);
    let worker = |n: usize| Worker {
        load: load.clone(),
        from: (!load.from.is_empty()).then(|| load.from[n % load.from.len()]),
        hash,
    };
    let tasks: Vec<_> = (0..load.connections).map(|n| tokio::spawn(work(worker(n)))).collect();
    let mut back = Back::default();
    for task in tasks {
        back.join(task.await.unwrap_or_default());
    }
    back.took = began.elapsed();
    back.cpu = proc::own_cpu().saturating_sub(cpu);
    back
}

/// One request, whatever becomes of it.
async fn one(worker: &Worker, conn: &mut Option<Conn>, intended: Instant, back: &mut Back) {
    let (load, sent, at) = (&worker.load, Instant::now(), worker.load.ledger.now());
    let open = match conn.take() {
        Some(open) => Ok(open),
        None => Conn::open(load.to, worker.from).await,
    };
    let answer = match open {
        Ok(mut open) => match open.call(&load.request).await {
            Ok(answer) => {
                if answer.header("connection") != Some("close") {
                    *conn = Some(open);
                }
                Some(answer)
            }
            Err(_) => None,
        },
        Err(_) => None,
    };
    load.ledger.placed(load.key, worker.hash, at, answer.as_ref());
    match answer {
        Some(answer) => back.take(&answer, intended, sent),
        None => {
            back.lost += 1;
            // A port that refuses would otherwise be asked as fast as the machine can.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
