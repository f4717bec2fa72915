//! Which store the settings name, opened.
//!
//! It deliberately holds no rule of a store: it hands each what it needs to know of this node.

use std::sync::Arc;

use crate::clock;
use crate::config::Serve;
use crate::config_store::{Storage, StoreUrl};
use crate::domain::resolve::ModelRow;
use crate::model::staff::StaffConfig;
use crate::model::{self, HoldsPlace};
use crate::store::{Archive, Backend, Bounds, Capacity, Durable, Me, Memory, MemoryArchive, NodeRow, Room, Store};

/// Orders of an event loop that a node takes up at once: they cost it memory, not threads.
const LOOP_HANDS: u32 = 2_048;
/// Orders of a pool that a node takes up at once, per core: so many that none of its threads runs dry between two looks.
const POOL_HANDS_PER_CORE: u32 = 8;

/// How a store could not be opened: a sentence for whoever starts the service.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

fn said(error: impl std::fmt::Display) -> OpenError {
    OpenError(error.to_string())
}

/// Names of the models, in the order of their ids: stores keep names, since ids are positions of a table.
#[must_use]
pub fn model_names() -> Vec<&'static str> {
    model::rows().into_iter().map(|row| row.name).collect()
}

/// This node, as others that share its store see it.
pub fn me(serve: &Serve, staff: &StaffConfig, random: u64) -> Result<NodeRow, OpenError> {
    let now_us = clock::wall_us();
    Ok(NodeRow {
        node: serve.storage.node(random),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_us: now_us,
        seen_us: now_us,
        models: offered(&serve.storage)?.into_iter().map(str::to_owned).collect(),
        capacity: Capacity {
            cores: u32::try_from(staff.cores).unwrap_or(u32::MAX),
            threads: serve.max_threads,
            children: serve.max_children,
        },
        held: 0,
    })
}

/// What a service remembers with.
pub struct Stores {
    /// Its orders.
    pub orders: Arc<dyn Store>,
    /// Its comparisons.
    pub comparisons: Arc<dyn Archive>,
}

impl Stores {
    /// In memory.
    #[must_use]
    pub fn memory(bounds: Bounds) -> Self {
        Self { orders: Arc::new(Memory::new(bounds)), comparisons: Arc::new(MemoryArchive::default()) }
    }
}

/// Opens the stores of these settings.
pub async fn open(serve: &Serve, staff: &StaffConfig, bounds: Bounds, random: u64) -> Result<Stores, OpenError> {
    let me = me(serve, staff, random)?;
    let hand = |row: &ModelRow| match model::get(row.id).info().holds_place {
        _ if !me.models.iter().any(|offered| offered == row.name) => 0,
        HoldsPlace::UntilBegun => LOOP_HANDS,
        HoldsPlace::UntilEnded => POOL_HANDS_PER_CORE * me.capacity.cores,
    };
    let hands = model::rows().iter().map(hand).collect();
    let node = me.node.clone();
    let room = Room { threads: me.capacity.threads, children: me.capacity.children };
    let (backend, comparisons): (Arc<dyn Backend>, Arc<dyn Archive>) = match &serve.storage.store {
        StoreUrl::Memory => return Ok(Stores::memory(bounds)),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => {
            let (path, node) = (path.clone(), node.clone());
            let open = move || crate::store::sqlite::Sqlite::open(&path, node, &model_names());
            let file = Arc::new(tokio::task::spawn_blocking(open).await.map_err(said)?.map_err(said)?);
            (file.clone(), file)
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let lease = serve.storage.lease();
            let database = crate::store::postgres::Postgres::connect(url, me, lease, &model_names()).await;
            let database = Arc::new(database.map_err(said)?);
            (database.clone(), database)
        }
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        other => return Err(OpenError(format!("this binary was built without the store {other}"))),
    };
    let runtime = tokio::runtime::Handle::current();
    let orders = Durable::open(backend, Me { node, hands, room }, bounds, &runtime).await.map_err(said)?;
    Ok(Stores { orders: Arc::new(orders), comparisons })
}

/// Brings a database up to date.
pub async fn migrate(store: &StoreUrl) -> Result<(), OpenError> {
    match store {
        StoreUrl::Memory => Err(OpenError("memory has nothing to migrate".to_owned())),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => crate::store::sqlite::Sqlite::migrate(path).map_err(said),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => crate::store::postgres::Postgres::migrate(url).await.map_err(said),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        other => Err(OpenError(format!("this binary was built without the store {other}"))),
    }
}

/// Names of the models this node takes up orders of.
fn offered(storage: &Storage) -> Result<Vec<&'static str>, OpenError> {
    let (all, asked) = (model_names(), &storage.models);
    if !asked.is_empty() && !storage.store.is_shared() {
        let store = &storage.store;
        return Err(OpenError(format!(
            "--models: orders of other models would wait for another node, and none can share {store}; leave it out, or take --store postgres://USER@HOST/DATABASE"
        )));
    }
    if let Some(unknown) = asked.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(OpenError(format!("--models: {unknown} is not a model of this service")));
    }
    Ok(all.into_iter().filter(|name| asked.is_empty() || asked.iter().any(|asked| asked == name)).collect())
}
