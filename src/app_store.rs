//! Which store the settings name, opened.
//!
//! It deliberately holds no rule of a store: it hands each what it needs to know of this node.

use std::sync::Arc;

use crate::config::Serve;
use crate::config_store::StoreUrl;
use crate::model::staff::StaffConfig;
use crate::model::{self, HoldsPlace};
use crate::store::{Backend, Bounds, Capacity, Durable, Me, Memory, Store};

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

/// Opens the store of these settings.
pub async fn open(
    serve: &Serve,
    staff: &StaffConfig,
    bounds: Bounds,
    random: u64,
) -> Result<Arc<dyn Store>, OpenError> {
    let node = serve.storage.node(random);
    let backend: Arc<dyn Backend> = match &serve.storage.store {
        StoreUrl::Memory => return Ok(Arc::new(Memory::new(bounds))),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => {
            let (path, node) = (path.clone(), node.clone());
            let open = move || crate::store::sqlite::Sqlite::open(&path, node, model_names());
            Arc::new(tokio::task::spawn_blocking(open).await.map_err(said)?.map_err(said)?)
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let capacity = Capacity {
                cores: u32::try_from(staff.cores).unwrap_or(u32::MAX),
                threads: serve.max_threads,
                children: serve.max_children,
            };
            let me = crate::store::postgres::Me {
                node: node.clone(),
                version: env!("CARGO_PKG_VERSION"),
                models: offered(&serve.storage.models)?.iter().map(|(name, _)| (*name).to_owned()).collect(),
                capacity,
                lease: serve.storage.lease(),
            };
            Arc::new(crate::store::postgres::Postgres::connect(url, me, model_names()).await.map_err(said)?)
        }
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        other => return Err(OpenError(format!("this binary was built without the store {other}"))),
    };
    let hands = offered(&serve.storage.models)?;
    let hand = |(name, holds): (&str, HoldsPlace)| match holds {
        _ if !hands.iter().any(|(offered, _)| *offered == name) => 0,
        HoldsPlace::UntilBegun => LOOP_HANDS,
        HoldsPlace::UntilEnded => POOL_HANDS_PER_CORE * u32::try_from(staff.cores).unwrap_or(1),
    };
    let me = Me { node, hands: all().into_iter().map(hand).collect() };
    let durable = Durable::open(backend, me, bounds, &tokio::runtime::Handle::current()).await.map_err(said)?;
    Ok(Arc::new(durable))
}

/// Brings a database up to date.
pub async fn migrate(store: &StoreUrl) -> Result<(), OpenError> {
    match store {
        StoreUrl::Memory => Err(OpenError("memory has nothing to migrate".to_owned())),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => crate::store::sqlite::migrate(path).map_err(said),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => crate::store::postgres::migrate(url).await.map_err(said),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        other => Err(OpenError(format!("this binary was built without the store {other}"))),
    }
}

/// All models: name, and how long an order of one holds its place.
fn all() -> Vec<(&'static str, HoldsPlace)> {
    model::rows().into_iter().map(|row| (row.name, model::get(row.id).info().holds_place)).collect()
}

/// Those this node offers.
fn offered(asked: &[String]) -> Result<Vec<(&'static str, HoldsPlace)>, OpenError> {
    let all = all();
    if let Some(unknown) = asked.iter().find(|name| !all.iter().any(|(known, _)| known == name)) {
        return Err(OpenError(format!("--models: {unknown} is not a model of this service")));
    }
    Ok(all.into_iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name)).collect())
}
