//! Queueing theory against the simulation: M/M/1, M/D/1, M/M/c (Erlang C) and Little's law, within 3 %.
//!
//! A server is a thread of a pool whose service is a wait of drawn length; arrivals are Poisson.

use std::sync::Arc;
use std::time::Duration;

use super::laws::{free, order};
use super::{Crew, Forecast};
use crate::domain::arrivals::{Arrivals, Process};
use crate::domain::draw::Spread;
use crate::domain::recipe::Work;
use crate::domain::spec::Spec;

const DISHES: u32 = 400_000;
const MEAN: Duration = Duration::from_millis(8);

/// So many servers of 8 ms a dish, and arrivals so that each is busy for `load` of the time.
fn queue(servers: u32, rate_per_s: u32, spread: Spread) -> Forecast {
    let mut spec = order(&[Work::Wait(MEAN)], DISHES);
    Arc::make_mut(&mut spec.recipe).steps[0].spread = spread;
    let spec = Spec { arrivals: Some(Box::new(Arrivals::new(rate_per_s, Process::Poisson))), seed: 5, ..spec };
    free(&spec, Crew::Pool { threads: servers, at_once: true }, 64.0)
}

fn close(found: f64, expected: f64, what: &str) {
    assert!((found / expected - 1.0).abs() < 0.03, "{what}: found {found:.4}, expected {expected:.4}");
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[test]
fn one_server_with_memoryless_service_is_m_m_1() {
    for (rate, load) in [(50, 0.4), (100, 0.8)] {
        let there = queue(1, rate, Spread::Exponential { mean: MEAN });
        close(ms(there.mean_dish), 8.0 / (1.0 - load), "time in an M/M/1 system");
        // The time in the system is exponential.
        close(ms(there.p50_dish), 8.0 / (1.0 - load) * std::f64::consts::LN_2, "its median");
    }
}

#[test]
fn one_server_with_constant_service_is_m_d_1() {
    for (rate, load) in [(50, 0.4), (100, 0.8)] {
        let there = queue(1, rate, Spread::Constant);
        close(ms(there.mean_dish), 8.0 + 8.0 * load / (2.0 * (1.0 - load)), "time in an M/D/1 system");
    }
}

#[test]
fn servers_with_memoryless_service_are_m_m_c() {
    for (servers, rate) in [(2, 200), (4, 400), (8, 900)] {
        let there = queue(servers, rate, Spread::Exponential { mean: MEAN });
        let (c, offered) = (f64::from(servers), f64::from(rate) * 0.008);
        let mut blocking = 1.0;
        for k in 1..=servers {
            blocking = offered * blocking / (f64::from(k) + offered * blocking);
        }
        let waits = blocking / (1.0 - offered / c * (1.0 - blocking));
        close(ms(there.mean_dish), 8.0 + waits * 8.0 / (c - offered), "time in an M/M/c system");
        // Little: those who wait are the time they wait, at the rate they come.
        let seconds = ms(there.makespan) / 1e3;
        let in_queue = there.queue as f64 / 1e9 / seconds;
        close(in_queue, f64::from(rate) * (ms(there.mean_dish) - 8.0) / 1e3, "Little's law for the queue");
        let busy = there.path.sum();
        assert!(busy == there.makespan, "{there:?}");
    }
}
