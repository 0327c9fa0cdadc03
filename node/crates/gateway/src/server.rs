//! The gateway as a process: bound listeners, then everything that runs.

mod catalog;
mod errors;
mod files;
mod memory;
mod mesh;
mod run;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_mesh::{MemoryRecords, Peers, Swarm, SwarmConfig, Trust};
use datamesh_placement::SignedLayout;
use datamesh_settings::{
    AUDIT_RETENTION_SECONDS_MAX, AUDIT_RETENTION_SECONDS_MIN, DELETED_RETENTION_SECONDS_MAX,
    DELETED_RETENTION_SECONDS_MIN, Endpoint, GatewaySettings, Role, S3Settings, Settings,
};
use prometheus_client::registry::Registry;

use crate::core::{Core, CoreConfig};
use crate::group::{self, Group};
use crate::https::{Certificates, Connections, Https};
use crate::join::{JoinDesk, learn_all};
use crate::layouts::{OnGivenUp, OnLayout};
use crate::limits;
use crate::moving;
use crate::restore;
use crate::surroundings::OperatingSystem;
use crate::work::files::WatchFiles;
use crate::work::membership::KeepMembership;
use crate::work::reports::FirstLook;

use catalog::Opened;
pub use errors::GatewayError;
pub(crate) use files::Prepared;
pub(crate) use files::write_synced;
use memory::Split;
pub(crate) use mesh::certified;
use mesh::{Bulk, Mesh};
pub use waiting::Waiting;

/// Folder of the catalog in the data folder.
pub(crate) const CATALOG_DIR: &str = "catalog";
/// Budgets below this hold no two segments of a usual profile.
pub const BUFFER_BYTES_MIN: u64 = 32 << 20;
/// Caches below this hold too few segments to be one; 0 is none.
pub const CACHE_BYTES_MIN: u64 = 16 << 20;
/// Where the pod's own address stands on Kubernetes.
const ADVERTISE_HOST: &str = "ADVERTISE_HOST";

/// A gateway that listens.
pub struct Gateway {
    https: Https,
    s3: Option<(Https, axum::Router)>,
    bulk: Bulk,
    swarm: Swarm,
    peers: Peers,
    core: Core,
    files: WatchFiles,
    membership: KeepMembership,
    kept: Opened,
    addresses: Addresses,
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The HTTPS API.
    pub https: SocketAddr,
    /// S3, where it is served.
    pub s3: Option<SocketAddr>,
    /// Join requests.
    pub bulk: SocketAddr,
    /// libp2p.
    pub mesh: SocketAddr,
}

impl Addresses {
    fn of((https, s3): (&Https, Option<&(Https, axum::Router)>), bulk: SocketAddr, mesh: SocketAddr) -> Self {
        Self { https: https.local_addr(), s3: s3.map(|(s3, _)| s3.local_addr()), bulk, mesh }
    }
}

/// Says whether a gateway can work. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    catalog: EmbeddedCatalog,
    group: Option<Arc<Group>>,
    first_look: FirstLook,
}

impl Health {
    /// Whether the catalog answers, this gateway is one of those that keep it, where several do, and is to stay, and it has asked its nodes
    /// how they are.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn check(&self) -> Result<(), GatewayError> {
        // Clients are to be gone before its vote is, without which it can answer nobody.
        if self.group.as_ref().is_some_and(|group| group.leaves()) {
            return Err(GatewayError::Leaves);
        }
        self.catalog.counters().await?;
        match &self.group {
            Some(group) if !group.votes() => Err(GatewayError::NoVote),
            _ if !self.first_look.is_done() => Err(GatewayError::NotAsked),
            _ => Ok(()),
        }
    }
}

impl Gateway {
    /// Reads files, opens the catalog and listens. Serves no client before [`Gateway::run`]. Where several gateways keep the catalog,
    /// it answers them, and returns when they have let it in.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub async fn bind(settings: &Settings) -> Result<Self, GatewayError> {
        Box::pin(Self::bind_telling(settings, &Waiting::default())).await
    }

    /// The same, and says meanwhile what it waits for.
    ///
    /// # Errors
    /// As above.
    pub async fn bind_telling(settings: &Settings, waiting: &Waiting) -> Result<Self, GatewayError> {
        let Role::Gateway(gateway) = &settings.role else { return Err(GatewayError::Role) };
        if gateway.buffer_bytes < BUFFER_BYTES_MIN {
            return Err(GatewayError::BufferBytes(gateway.buffer_bytes));
        }
        if (1..CACHE_BYTES_MIN).contains(&gateway.cache_bytes) {
            return Err(GatewayError::CacheBytes(gateway.cache_bytes));
        }
        moving::check(gateway)?;
        group::check(&settings.node, gateway)?;
        let options = kept_for(gateway.deleted_retention_seconds)?;
        check_audit_retention(gateway.audit_retention_seconds)?;
        let (for_files, path) = (Box::clone(gateway), gateway.data_dir.clone());
        let prepared = tokio::task::spawn_blocking(move || Prepared::read(&for_files)).await;
        let prepared = prepared.map_err(|error| GatewayError::DataDir { path, source: error.into() })??;
        if prepared.secret.signing_key().public() != settings.cluster.public_key {
            return Err(GatewayError::OtherSecret);
        }
        Box::pin(restore::if_wanted((settings, gateway), &prepared, (options, waiting))).await?;
        let with = catalog::With { settings, gateway, options, waiting };
        let alone = Box::pin(catalog::open_alone(with, &prepared)).await?;
        let incarnation = match &alone {
            Some(alone) => group::volume::incarnation_alone(&gateway.data_dir, alone.catalog.incarnation())?,
            None => group::volume::next_incarnation(&gateway.data_dir)?,
        };
        let mesh = Mesh::start(settings, gateway, &prepared, incarnation).await?;
        let opened = match alone {
            Some(alone) => alone,
            None => Box::pin(catalog::open_together(&mesh, with, &prepared)).await?,
        };
        Box::pin(Self::assemble((settings, gateway), prepared, mesh, opened)).await
    }

    async fn assemble(
        (settings, gateway): (&Settings, &GatewaySettings),
        prepared: Prepared,
        mesh: Mesh,
        Opened { catalog, group, moving }: Opened,
    ) -> Result<Self, GatewayError> {
        let Prepared { secret, tokens, certificates, identity, book, .. } = prepared;
        let Prepared { mailer, targets, providers, copies, .. } = prepared;
        let (cluster, Mesh { trust, peers, desk, incarnation, bulk }) = (&settings.cluster, mesh);
        let config = CoreConfig {
            cluster: cluster.name.clone(),
            gateway: settings.node.clone(),
            secret: Arc::clone(&secret),
            tokens: Arc::clone(&tokens),
            catalog: catalog.clone(),
            net: Arc::new(peers.clone()),
            surroundings: Arc::new(OperatingSystem),
            buffer_bytes: gateway.buffer_bytes,
            cache_bytes: gateway.cache_bytes,
            request_limits: gateway.request_limits,
            on_layout: believe(Arc::clone(&trust)),
            on_given_up: disbelieve(Arc::clone(&trust)),
            mailer,
            targets,
            providers,
            put_lease: limits::PUT_LEASE,
            audit_retention: Duration::from_secs(gateway.audit_retention_seconds),
            partitions_log2: None,
            catalog_backups: gateway.catalog_backups,
            backup_pace: Default::default(),
            backup_copies: copies,
        };
        let told = moving.as_ref().map(|moving| Arc::clone(&moving.told));
        let core = Core::assemble_with(config, (group.clone(), told)).await?;
        learn_all(&peers, &book);
        desk.lets_in(JoinDesk {
            catalog: catalog.clone(),
            key: secret.signing_key(),
            secret: Arc::clone(&secret),
            pools: Arc::clone(&core.pools),
            peers: peers.clone(),
            trust: Arc::clone(&trust),
            book,
            gateways: cluster.gateways.clone(),
            wake: Arc::clone(&core.layouts.wake),
        });
        let announce = Endpoint { host: host_of(gateway), mesh_port: 0, bulk_port: bulk.address.port() };
        let swarm = Box::pin(Swarm::bind(SwarmConfig {
            identity: identity.clone(),
            node: settings.node.clone(),
            listen: gateway.listen.mesh,
            announce,
            incarnation,
            bootstrap: cluster.gateways.clone(),
            trust: Arc::clone(&trust),
            peers: peers.clone(),
            records: Arc::new(MemoryRecords::default()),
        }))
        .await?;
        let membership = KeepMembership {
            key: secret.signing_key(),
            node: settings.node.clone(),
            peer: identity.peer(),
            trust,
            swarm: swarm.handle(),
            pools: Arc::clone(&core.pools),
            own: None,
        };
        let (https, s3) = bind_for_clients(gateway, &core, &certificates).await?;
        let addresses = Addresses::of((&https, s3.as_ref()), bulk.address, swarm.local_addr());
        let (files, kept) = (WatchFiles { tokens, certificates }, Opened { catalog, group, moving });
        Ok(Self { https, s3, bulk, swarm, peers, core, files, membership, kept, addresses })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its metrics.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.core.registry)
    }

    /// For the readiness probe.
    #[must_use]
    pub fn health(&self) -> Health {
        let first_look = self.core.reports.first_look.clone();
        let Opened { catalog, group, .. } = &self.kept;
        Health { catalog: catalog.clone(), group: group.clone(), first_look }
    }
}

/// The HTTPS API, and S3 behind the same certificate where it is served. They share the room for connections.
async fn bind_for_clients(
    gateway: &GatewaySettings,
    core: &Core,
    certificates: &Arc<Certificates>,
) -> Result<(Https, Option<(Https, axum::Router)>), GatewayError> {
    let budgets = gateway.buffer_bytes.saturating_add(gateway.cache_bytes);
    let split = Split::here(budgets, gateway.s3.is_some());
    let connections = Connections::within(split.connections);
    let https = Https::bind(gateway.https, Arc::clone(certificates), connections.clone()).await?;
    let Some(S3Settings { listen, domain }) = &gateway.s3 else { return Ok((https, None)) };
    let s3 = Https::bind(*listen, Arc::clone(certificates), connections).await?;
    let router = crate::s3::router(Arc::clone(&core.app), domain.clone(), split.s3_intake);
    Ok((https, Some((s3, router))))
}

/// The mesh believes the members of every committed layout.
fn believe(trust: Arc<Trust>) -> OnLayout {
    Box::new(move |signed: &SignedLayout| {
        if let Err(error) = trust.learn_layout(signed) {
            tracing::error!(%error, "the mesh refuses our own layout");
        }
    })
}

/// How long the catalog keeps what was deleted.
fn kept_for(seconds: u64) -> Result<CatalogOptions, GatewayError> {
    let may_be = DELETED_RETENTION_SECONDS_MIN..=DELETED_RETENTION_SECONDS_MAX;
    if !may_be.contains(&seconds) {
        return Err(GatewayError::DeletedRetention(seconds));
    }
    Ok(CatalogOptions { retention_ms: seconds * 1000 })
}

/// Entries of the audit neither go before anybody could read them, nor stay for ever.
fn check_audit_retention(seconds: u64) -> Result<(), GatewayError> {
    let may_be = AUDIT_RETENTION_SECONDS_MIN..=AUDIT_RETENTION_SECONDS_MAX;
    if may_be.contains(&seconds) { Ok(()) } else { Err(GatewayError::AuditRetention(seconds)) }
}

/// Nor any more a volume that was given up.
fn disbelieve(trust: Arc<Trust>) -> OnGivenUp {
    Box::new(move |peer| trust.give_up(peer))
}

fn host_of(settings: &GatewaySettings) -> String {
    settings
        .advertise_host
        .clone()
        .or_else(|| std::env::var(ADVERTISE_HOST).ok())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| settings.listen.bulk.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_kept_for_ten_minutes_to_a_year() {
        assert_eq!(kept_for(600).unwrap().retention_ms, 600_000);
        assert_eq!(kept_for(365 * 24 * 3600).unwrap().retention_ms, 31_536_000_000);
        for seconds in [0, 599, 365 * 24 * 3600 + 1, u64::MAX] {
            let error = kept_for(seconds).unwrap_err().to_string();
            assert!(
                error.contains(&format!("deletedRetentionSeconds is {seconds}: write 600 to")),
                "{error}"
            );
        }
    }

    #[test]
    fn the_audit_is_kept_for_a_day_to_ten_years() {
        for seconds in [24 * 3600, 30 * 24 * 3600, 10 * 365 * 24 * 3600] {
            check_audit_retention(seconds).unwrap();
        }
        for seconds in [0, 24 * 3600 - 1, 10 * 365 * 24 * 3600 + 1, u64::MAX] {
            let error = check_audit_retention(seconds).unwrap_err().to_string();
            let expected = format!("auditRetentionSeconds is {seconds}: write 86400 to 315360000");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
