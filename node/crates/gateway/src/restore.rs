//! A catalog out of a backup in the mesh, on a gateway that has none ([ADR 39](../../../../docs/adr/0039-backups-of-the-catalog.md)), or out of
//! a copy of one at another S3 ([ADR 59](../../../../docs/adr/0059-restoring-from-copies.md)).
//! Only where that is asked for.
//!
//! * `wish`: what is asked for.
//! * `told`: what the nodes say, and when that suffices; decided without I/O.
//! * `desk`: answers joins meanwhile, which say where nodes are.
//! * `others`: which of several gateways restores.
//! * `source`: what is read, the nodes' backups or copies elsewhere.
//! * `run`: asks, and chooses what is restored.
//! * `folder`: reads it, and writes what becomes the catalog; `empty`: where that comes to be.

mod desk;
mod empty;
mod errors;
mod folder;
mod others;
mod run;
mod source;
pub(crate) mod told;
mod wish;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::CatalogOptions;
use datamesh_catalog::record::RestoredRecord;
use datamesh_mesh::Peers;
use datamesh_settings::{CatalogMove, GatewaySettings, RestoreFrom, Settings};
use datamesh_shard::PeerKey;
use tokio::time::Instant;

use crate::backup::Opener;
use crate::group::volume;
use crate::server::{CATALOG_DIR, GatewayError, Prepared, Waiting};
use crate::surroundings::OperatingSystem;

pub(crate) use empty::Volume;
pub use errors::RestoreError;
use others::{Whose, whose};
pub(crate) use run::Restoring;
pub(crate) use source::Source;
use told::{Enough, enough, enough_beside};
pub(crate) use wish::Wish;

/// Between two looks at whether enough nodes have answered.
const LOOK: Duration = Duration::from_secs(1);
/// After a try that nodes which do not answer were in the way of.
const RETRY: Duration = Duration::from_secs(10);

/// Restores the catalog if the settings ask for that and the volume has none. Returns when it is there.
pub(crate) async fn if_wanted(
    (settings, gateway): (&Settings, &GatewaySettings),
    prepared: &Prepared,
    (options, waiting): (CatalogOptions, &Waiting),
) -> Result<(), GatewayError> {
    let Some(text) = &gateway.restore else { return Ok(()) };
    let wish: Wish = text.parse().map_err(|_| GatewayError::Restore(text.clone()))?;
    if gateway.catalog_database.is_some() && gateway.catalog_move != Some(CatalogMove::ToDatabase) {
        return Err(GatewayError::RestoreElsewhere);
    }
    let dir = gateway.data_dir.clone();
    if has_catalog(&dir) {
        tracing::info!("a restore is asked for, and this volume has a catalog: nothing is done");
        return Ok(());
    }
    let source = match (gateway.restore_from, &prepared.copies) {
        (RestoreFrom::Mesh, _) => Source::Mesh,
        (RestoreFrom::Copies, Some(place)) => Source::Copies(Arc::clone(place)),
        (RestoreFrom::Copies, None) => return Err(GatewayError::RestoreNoCopies),
    };
    let incarnation = volume::next_incarnation(&dir)?;
    let desk = desk::Listening::start((settings, gateway), prepared, incarnation).await?;
    let restoring = Restoring {
        opener: Opener {
            net: Arc::<Peers>::new(desk.peers.clone()),
            secret: Arc::clone(&prepared.secret),
            cluster: settings.cluster.name.clone(),
        },
        surroundings: Arc::new(OperatingSystem),
        buffer_bytes: gateway.buffer_bytes,
        options,
        volume: Volume::Folder(&dir),
        wish: (wish, text.clone()),
        source,
    };
    let outcome = match is_own((settings, gateway), &desk, waiting).await {
        true => {
            let told = when_told(&restoring, || desk.known(), |reason| waiting.tell(reason));
            Box::pin(told).await.map(drop).map_err(GatewayError::from)
        }
        false => Ok(()),
    };
    desk.end().await;
    outcome
}

/// Whether it is for this gateway to restore; waits until the others have said what they have.
async fn is_own(
    (settings, gateway): (&Settings, &GatewaySettings),
    desk: &desk::Listening,
    waiting: &Waiting,
) -> bool {
    let members: Vec<_> = gateway.catalog_gateways().cloned().collect();
    let others = members.iter().filter(|member| member.node != settings.node);
    let gateways = desk.gateways(others.clone().cloned());
    let mut said = BTreeMap::new();
    loop {
        match whose(&settings.node, &members, |node| said.get(node).copied()) {
            Whose::Own => return true,
            Whose::Others(why) => {
                tracing::info!(why, "a restore is asked for, and not of this gateway");
                return false;
            }
            Whose::Unknown(node) => waiting.tell(format!("for gateway {node} to say that it has no catalog")),
        }
        tokio::time::sleep(LOOK).await;
        said.clear();
        for other in others.clone() {
            said.extend(others::ask(&gateways, &other.node).await.map(|has| (other.node.clone(), has)));
        }
    }
}

/// Restores once enough of the nodes that are known have answered; says for what it waits.
pub(crate) async fn when_told(
    restoring: &Restoring<'_>,
    known: impl Fn() -> Vec<PeerKey>,
    waits: impl Fn(String),
) -> Result<RestoredRecord, RestoreError> {
    let (begun, for_time) = (Instant::now(), restoring.wish.0 != Wish::Newest);
    loop {
        let told = restoring.ask(known()).await;
        let suffices = match restoring.source {
            Source::Mesh => enough(&told, begun.elapsed(), for_time),
            Source::Copies(_) => enough_beside(&told, begun.elapsed(), for_time),
        };
        let (reason, pause) = match suffices {
            Enough::Yes => match restoring.restore(&told).await {
                Err(RestoreError::NotYet(reason)) => (reason, RETRY),
                outcome => return outcome,
            },
            Enough::NotYet(reason) => (reason, LOOK),
        };
        waits(reason);
        tokio::time::sleep(pause).await;
    }
}

/// A time of day for people, and to be asked for.
pub(crate) fn time(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| unix_ms.to_string(), |time| time.to_string())
}

/// Whether a volume has one of any kind, or a part of one.
fn has_catalog(dir: &Path) -> bool {
    dir.join(CATALOG_DIR).exists() || volume::has_part(dir)
}
