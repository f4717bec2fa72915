//! The rate limit: a bucket of writes for each client, filled at a constant rate.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm), so there is
//! nothing to refill and no upkeep task. It deliberately counts requests, not orders: a batch is one write.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use axum::response::IntoResponse;

use super::problem::{self, Problem};
use crate::clock;
use crate::config_access::RateLimit;
use crate::domain::Ns;
use crate::domain::client::Client;

/// Buckets at once, about 2 MB; chosen. Above it the one nearest to full goes, and a full one equals none.
const BUCKETS: usize = 10_000;
/// Full buckets dropped with each write, so that they do not stay for ever; more than one, so that they get fewer.
const DROPPED_EACH: usize = 2;
const NS_PER_S: Ns = 1_000_000_000;

/// The limit and the bucket of each client.
pub struct Rate {
    limit: RateLimit,
    /// Time after which one write comes back.
    interval: Ns,
    policy: HeaderValue,
    buckets: Mutex<Buckets>,
}

/// When each client's bucket is full again, by client and by time. The two always hold the same pairs.
#[derive(Default)]
struct Buckets {
    by_client: HashMap<Client, Ns>,
    by_time: BTreeSet<(Ns, Client)>,
}

/// What a client has left, for the headers of its answer.
pub struct Standing {
    policy: HeaderValue,
    left: u64,
    /// Seconds until the next write comes back, rounded up.
    next_s: u64,
}

impl Rate {
    /// Buckets that are all full.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        // The quota is the burst, within the time it takes to come back: at most as much as is really granted.
        let window_s = limit.burst.div_ceil(limit.per_s);
        let policy = HeaderValue::try_from(format!(r#""writes";q={};w={window_s}"#, limit.burst));
        Self {
            limit,
            interval: NS_PER_S / Ns::from(limit.per_s),
            policy: policy.unwrap_or_else(|_| HeaderValue::from_static(r#""writes""#)),
            buckets: Mutex::default(),
        }
    }

    /// Takes one write from the client's bucket, or answers when to come back.
    pub fn take(&self, client: &Client) -> Result<Standing, Response<Body>> {
        let now = clock::now();
        let size = self.interval * Ns::from(self.limit.burst);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.by_client.get(client).map_or(now, |at| now.max(*at)) + self.interval;
        let used = full_at - now;
        if used > size {
            drop(buckets);
            return Err(self.refusal(used - size));
        }
        buckets.put(client, full_at, now);
        drop(buckets);
        let next = match used % self.interval {
            0 => self.interval,
            part => part,
        };
        Ok(Standing {
            policy: self.policy.clone(),
            left: (size - used) / self.interval,
            next_s: next.div_ceil(NS_PER_S),
        })
    }

    fn refusal(&self, wait: Ns) -> Response<Body> {
        let next_s = wait.div_ceil(NS_PER_S);
        let RateLimit { per_s, burst } = self.limit;
        let detail = format!("at most {burst} writes at once and {per_s} per second; try again in {next_s} s");
        let mut response = Problem::new(&problem::RATE_LIMITED, detail).into_response();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(next_s));
        Standing { policy: self.policy.clone(), left: 0, next_s }.stamp(response.headers_mut());
        response
    }
}

impl Buckets {
    fn put(&mut self, client: &Client, full_at: Ns, now: Ns) {
        if let Some(before) = self.by_client.insert(client.clone(), full_at) {
            self.by_time.remove(&(before, client.clone()));
        }
        for _ in 0..DROPPED_EACH {
            let is_full = self.by_time.first().is_some_and(|(at, _)| *at <= now);
            if is_full || self.by_time.len() >= BUCKETS {
                self.drop_first();
            }
        }
        self.by_time.insert((full_at, client.clone()));
    }

    fn drop_first(&mut self) {
        if let Some((_, client)) = self.by_time.pop_first() {
            self.by_client.remove(&client);
        }
    }
}

impl Standing {
    /// Writes it into the headers of draft-ietf-httpapi-ratelimit-headers-10.
    pub fn stamp(self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("ratelimit-policy"), self.policy);
        if let Ok(value) = HeaderValue::try_from(format!(r#""writes";r={};t={}"#, self.left, self.next_s)) {
            headers.insert(HeaderName::from_static("ratelimit"), value);
        }
    }
}
