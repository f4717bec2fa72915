//! The contract of backends, over Postgres.
//!
//! It deliberately says nothing of its own: what only Postgres has is in `postgres_nodes.rs` and `postgres_schema.rs`.

use crate::backend_contract::exercise;
use crate::pg_server::Kitchen;

#[test]
fn postgres_keeps_the_contract_of_a_backend() {
    exercise(&|| Box::new(Kitchen::new()));
}
