//! The catalog's move from one engine to another while this gateway serves it
//! ([ADR 54](../../../../docs/adr/0054-the-catalog-moves-while-it-is-served.md)).
//!
//! * `open`: which of the two a gateway begins with.
//! * `target`: how the other is opened; `left_here`: makes room for it on a volume.
//! * `carry`: the worker that copies where the catalog leads, and says elsewhere that it is ready.
//! * `told`: what the status says of it.
//! * `left_behind`: ends a gateway that was not told of a move.

mod carry;
mod errors;
pub(crate) mod left_behind;
mod left_here;
mod open;
mod target;
mod told;

use std::sync::Arc;

use datamesh_catalog::engine::MovingKeyspace;
use datamesh_catalog::record::Keeper;
use datamesh_settings::{CatalogMove, GatewaySettings};
use datamesh_shard::NodeName;
use tokio::sync::Notify;

pub(crate) use carry::CarryMove;
pub use errors::MoveFault;
pub(crate) use open::{Opening, in_database, served_here};
use target::Target;
pub(crate) use told::Told;

/// A move that this gateway takes part in.
pub(crate) struct UnderWay {
    keyspace: MovingKeyspace,
    target: Target,
    to: Keeper,
    /// This gateway, and all that serve the catalog.
    own: NodeName,
    gateways: Vec<NodeName>,
    fingerprint: String,
    /// Told when this gateway must not serve any more.
    pub(crate) ends: Arc<Notify>,
    pub(crate) told: Arc<Told>,
}

impl UnderWay {
    /// What this gateway serves is not the catalog: it ends, and is judged anew when it starts.
    fn end(&self, why: &'static str) {
        tracing::error!(why, "this gateway ends");
        self.ends.notify_one();
    }
}

/// Holds a gateway's settings of this against each other.
pub(crate) fn check(gateway: &GatewaySettings) -> Result<(), MoveFault> {
    match gateway.catalog_move {
        Some(_) if gateway.catalog_database.is_none() => Err(MoveFault::NoDatabase),
        _ => Ok(()),
    }
}

/// Where it goes.
const fn keeper(to: CatalogMove) -> Keeper {
    match to {
        CatalogMove::ToDatabase => Keeper::Postgres,
        CatalogMove::FromDatabase => Keeper::Gateways,
    }
}

#[cfg(test)]
mod tests;
