//! Behaviour through real HTTP against the real binary, and the contracts that every model and every store keeps.
//!
//! One binary on purpose: each further one would link the whole library again. It deliberately contains no timed
//! figure; those are in `scripts/bench`.

#![expect(unreachable_pub, reason = "what tests share is public among them")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed expectation is a panic")]
#![expect(clippy::disallowed_methods, reason = "tests start and signal the service as a stranger would")]

mod access_keys;
mod access_orders;
mod access_rate;
mod access_routes;
#[cfg(feature = "tls")]
mod access_tls;
mod archive_contract;
mod arrivals;
mod attempts;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod backend_contract;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod backend_contract_door;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod backend_contract_kept;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod backend_contract_life;
mod books;
mod children_broken;
mod children_death;
mod children_hang;
mod children_init;
mod children_limits;
mod children_spawn;
mod cluster;
#[cfg(feature = "postgres")]
mod cluster_away;
#[cfg(feature = "postgres")]
mod cluster_events;
#[cfg(feature = "postgres")]
mod cluster_quiet;
mod comparison_command;
mod comparison_ranking;
mod comparisons_advice;
mod comparisons_api;
mod comparisons_kept;
mod comparisons_life;
mod counter;
mod edge_connections;
mod edge_counted;
mod edge_drain;
mod edge_guard;
mod edge_logs;
mod edge_malformed;
mod edge_raw;
mod edge_times;
mod edge_writes;
mod equipment;
mod equipment_kitchens;
mod equipment_rack;
mod events;
mod exchange;
mod faults;
mod forecasts;
mod fuzz_corpus;
#[path = "../../fuzz/src/lib.rs"]
mod fuzz_targets;
mod gil;
mod gil_laws;
mod harness;
mod house_views;
mod laboratory;
mod ledger;
mod log_lines;
mod models;
mod openapi;
mod openapi_door;
mod orders_api;
mod orders_batch;
mod orders_door;
mod orders_list;
mod orders_waiting;
mod packed;
#[cfg(feature = "postgres")]
mod pg_server;
#[cfg(feature = "postgres")]
mod postgres_contract;
#[cfg(all(feature = "postgres", feature = "tls"))]
mod postgres_hosts;
#[cfg(feature = "postgres")]
mod postgres_nodes;
#[cfg(feature = "postgres")]
mod postgres_schema;
mod random_orders;
mod refusals;
mod refusals_of_meaning;
mod report;
mod seed_assistants;
mod seed_asyncio;
mod seed_processes;
mod seed_rows;
mod seed_table;
mod seed_threads;
mod seed_waits;
mod simulate;
#[cfg(feature = "sqlite")]
mod sqlite_file;
mod sse;
mod store_contract;
mod store_contract_again;
mod store_contract_door;
mod store_contract_kept;
mod store_contract_life;
mod survives;
mod tidy;
mod trace;
mod views;
