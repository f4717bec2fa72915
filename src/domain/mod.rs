//! Plain data used by all rooms: recipes, orders as asked and as resolved, records, states, ids.
//!
//! It deliberately does no I/O, knows no async and reads no clock: times are handed in.

pub mod arrivals;
pub mod ask;
pub mod ask_json;
pub mod ask_lab;
pub mod by_client;
pub mod client;
pub mod draw;
pub mod gil;
pub mod id;
pub mod job;
pub mod kept;
pub mod life;
pub mod limits;
pub mod line;
pub mod live;
pub mod menu;
pub mod narration;
pub mod options;
pub mod rack;
pub mod recipe;
pub mod record;
pub mod resolve;
mod resolve_lab;
mod resolve_recipe;
pub mod spec;
pub mod summary;
pub mod ticks;
pub mod trace;
pub mod turns;

/// A point on the monotonic clock, or a span on it, in nanoseconds.
pub type Ns = u64;
