//! Which nodes share the store, and what each has.
//!
//! It deliberately asks no node: what the store has heard of them is told, by the store's clock.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::orders::{down, json};
use super::problem::Problem;
use super::request::NoParams;
use super::wire::At;
use crate::clock;
use crate::store::NodeRow;

/// All nodes.
#[derive(Serialize, ToSchema)]
pub struct Nodes {
    /// By name. A node that was not heard of for a while is no longer here.
    #[schema(max_items = 10_000)]
    pub data: Vec<Node>,
}

/// A node.
#[derive(Serialize, ToSchema)]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Its version of this software.
    pub version: String,
    /// Whether it is the one that answers.
    pub is_this: bool,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: At,
    /// When it was last heard of.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: At,
    /// Models whose orders it takes up.
    #[schema(max_items = 100)]
    pub models: Vec<String>,
    /// What it has.
    pub capacity: CapacityView,
    /// Orders it holds: they wait there for staff, or run.
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub held_orders: u64,
}

/// What a node has.
#[derive(Serialize, ToSchema)]
#[schema(as = Capacity)]
pub struct CapacityView {
    /// Cores it may use.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub cores: u32,
    /// Threads that orders may have of their own at once.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub threads: u32,
    /// Child processes that orders may have of their own at once.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub children: u32,
}

/// Which nodes are there?
#[utoipa::path(get, path = "/nodes", operation_id = "listNodes", tag = "house",
    responses(
        (status = 200, description = "The nodes that share this node's store; itself if nobody can", body = Nodes),
        (status = 422, description = "A query parameter, of which there is none", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<AppState>, _: NoParams) -> Result<Response<Body>, Problem> {
    let shared = app.kitchen.store.nodes().await.map_err(down)?;
    let here = app.kitchen.store.here();
    let alone = || NodeRow {
        seen_us: clock::wall_us(),
        held: u32::try_from(here.queued + here.running).unwrap_or(u32::MAX),
        ..app.me.clone()
    };
    let nodes = if shared.is_empty() { vec![alone()] } else { shared };
    let node = |row: NodeRow| Node {
        is_this: row.node == app.me.node,
        node: row.node.to_string(),
        version: row.version,
        started_at: At(row.started_us),
        seen_at: At(row.seen_us),
        models: row.models,
        capacity: CapacityView {
            cores: row.capacity.cores,
            threads: row.capacity.threads,
            children: row.capacity.children,
        },
        held_orders: u64::from(row.held),
    };
    // A file knows its one node by name only.
    let known = |row: NodeRow| match row.node == app.me.node {
        true => NodeRow { models: app.me.models.clone(), capacity: app.me.capacity, ..row },
        false => row,
    };
    Ok(json(StatusCode::OK, &Nodes { data: nodes.into_iter().map(known).map(node).collect() }))
}
