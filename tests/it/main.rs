//! Behaviour through real HTTP against the real binary, and the contracts that every model and every store keeps.
//!
//! One binary on purpose: each further one would link the whole library again. It deliberately contains no timed
//! figure; those are in `scripts/bench`.

#![expect(missing_docs, reason = "a test's name is its documentation")]

mod events;
mod harness;
mod ledger;
mod orders_api;
mod orders_list;
mod orders_waiting;
mod refusals;
mod refusals_of_meaning;
mod seed_asyncio;
mod seed_processes;
mod seed_rows;
mod seed_threads;
mod sse;
mod tidy;
