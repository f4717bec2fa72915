//! What writing one wait down costs, alone: the same calls on the same books as a dish of the event loop makes, without
//! the loop, its timers or its futures.
//!
//! Prints one line of JSON for `scripts/bench`. It deliberately measures a run beyond the sampling limit (a million
//! dishes of one wait), where the figure of the design applies, and a small one that keeps and announces everything.

use std::hint::black_box;
use std::sync::Arc;

use pasta_fasta::clock;
use pasta_fasta::domain::draw;
use pasta_fasta::domain::id::Ids;
use pasta_fasta::domain::recipe::StepRef;
use pasta_fasta::domain::resolve::{self, House};
use pasta_fasta::domain::spec::Spec;
use pasta_fasta::model::run::{Finisher, Run, RunEnd};
use pasta_fasta::model::{self, tune};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Nobody;

impl Finisher for Nobody {
    fn finished(&self, _: &Run, _: RunEnd) {}
}

fn spec(dishes: u32) -> Spec {
    let text = format!(
        r#"{{"model":"asyncio","dishes":{dishes},
            "recipe":{{"name":"n","steps":[{{"name":"n","work":{{"kind":"wait","ms":1000}}}}]}}}}"#
    );
    let ask = serde_json::from_str(&text).expect("an order");
    let models = model::rows();
    resolve::order(ask, House { models: &models, allow_faults: false, seed: 7 }).expect("a good order")
}

/// Nanoseconds a dish of one wait costs its books, and how many records were kept.
fn cost_ns(dishes: u32) -> (f64, usize) {
    let run = Run::new(Ids::new(draw::mix(1)).next(0), Arc::new(spec(dishes)), Arc::new(Nobody));
    let began = clock::now();
    for dish in 1..=dishes {
        let at = black_box(StepRef { dish, step: 0 });
        let started = clock::now();
        let seq = run.recorder.started(0, at, run.offset(started));
        run.waited(at, 0, seq, started);
    }
    let took_ns = clock::now() - began;
    assert_eq!(run.recorder.progress(), (u64::from(dishes), dishes), "not every dish was written down");
    (took_ns as f64 / f64::from(dishes), run.recorder.records_so_far().len())
}

#[expect(clippy::print_stdout, reason = "its output is the result")]
fn main() {
    tune::small_pages();
    cost_ns(100_000);
    let (large_ns, sampled) = cost_ns(1_000_000);
    let (small_ns, kept) = cost_ns(10_000);
    println!(r#"{{"per_wait_ns":{large_ns:.1},"sampled":{sampled},"per_kept_wait_ns":{small_ns:.1},"kept":{kept}}}"#);
}
