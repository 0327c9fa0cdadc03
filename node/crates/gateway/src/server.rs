//! The gateway as a process: bound listeners, then everything that runs.

mod errors;
mod files;

use std::net::SocketAddr;
use std::sync::Arc;

use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_mesh::{BulkServer, MemoryRecords, Peers, Swarm, SwarmConfig, Trust};
use datamesh_placement::SignedLayout;
use datamesh_settings::{
    DELETED_RETENTION_SECONDS_MAX, DELETED_RETENTION_SECONDS_MIN, Endpoint, GatewaySettings, Role,
    S3Settings, Settings,
};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::core::{Core, CoreConfig};
use crate::https::{Certificates, Https};
use crate::join::{JoinDesk, learn};
use crate::layouts::{OnGivenUp, OnLayout};
use crate::limits;
use crate::surroundings::OperatingSystem;
use crate::work;
use crate::work::files::WatchFiles;
use crate::work::membership::KeepMembership;

pub use errors::GatewayError;
use files::Prepared;

/// Folder of the catalog in the data folder.
const CATALOG_DIR: &str = "catalog";
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
    bulk: BulkServer<JoinDesk>,
    swarm: Swarm,
    peers: Peers,
    core: Core,
    files: WatchFiles,
    membership: KeepMembership,
    catalog: EmbeddedCatalog,
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
}

impl Health {
    /// Whether the catalog answers.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn check(&self) -> Result<(), GatewayError> {
        self.catalog.counters().await?;
        Ok(())
    }
}

impl Gateway {
    /// Reads files, opens the catalog and listens. Serves nothing before [`Gateway::run`].
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub async fn bind(settings: &Settings) -> Result<Self, GatewayError> {
        let Role::Gateway(gateway) = &settings.role else { return Err(GatewayError::Role) };
        if gateway.buffer_bytes < BUFFER_BYTES_MIN {
            return Err(GatewayError::BufferBytes(gateway.buffer_bytes));
        }
        if (1..CACHE_BYTES_MIN).contains(&gateway.cache_bytes) {
            return Err(GatewayError::CacheBytes(gateway.cache_bytes));
        }
        let options = kept_for(gateway.deleted_retention_seconds)?;
        let (for_files, path) = (Box::clone(gateway), gateway.data_dir.clone());
        let prepared = tokio::task::spawn_blocking(move || Prepared::read(&for_files)).await;
        let mut prepared =
            prepared.map_err(|error| GatewayError::DataDir { path, source: error.into() })??;
        if prepared.secret.signing_key().public() != settings.cluster.public_key {
            return Err(GatewayError::OtherSecret);
        }
        let fingerprint = prepared.secret.fingerprint();
        let catalog = match prepared.database.take() {
            Some(database) => EmbeddedCatalog::open_postgres(database, &fingerprint, options).await?,
            None => EmbeddedCatalog::open(&gateway.data_dir.join(CATALOG_DIR), &fingerprint, options).await?,
        };
        Box::pin(Self::assemble(settings, gateway, prepared, catalog)).await
    }

    async fn assemble(
        settings: &Settings,
        gateway: &GatewaySettings,
        prepared: Prepared,
        catalog: EmbeddedCatalog,
    ) -> Result<Self, GatewayError> {
        let Prepared { secret, tokens, certificates, identity, book, .. } = prepared;
        let cluster = &settings.cluster;
        // Layouts come from the catalog, so nothing has to be kept.
        let trust = Arc::new(Trust::new(cluster.name.clone(), cluster.public_key, Box::new(|_, _| {})));
        let encryption = cluster.bulk_encryption;
        let peers =
            Peers::new(identity.clone(), Arc::clone(&trust), catalog.incarnation()).encrypting(encryption);
        let core = Core::assemble(CoreConfig {
            cluster: cluster.name.clone(),
            gateway: settings.node.clone(),
            secret: Arc::clone(&secret),
            tokens: Arc::clone(&tokens),
            catalog: catalog.clone(),
            net: Arc::new(peers.clone()),
            surroundings: Arc::new(OperatingSystem),
            buffer_bytes: gateway.buffer_bytes,
            cache_bytes: gateway.cache_bytes,
            on_layout: believe(Arc::clone(&trust)),
            on_given_up: disbelieve(Arc::clone(&trust)),
            put_lease: limits::PUT_LEASE,
            partitions_log2: None,
        })
        .await?;
        for (peer, endpoint, incarnation) in book.all() {
            learn(&peers, peer, endpoint, incarnation);
        }
        let desk = JoinDesk {
            catalog: catalog.clone(),
            key: secret.signing_key(),
            secret: Arc::clone(&secret),
            pools: Arc::clone(&core.pools),
            peers: peers.clone(),
            trust: Arc::clone(&trust),
            book,
            gateways: cluster.gateways.clone(),
            wake: Arc::clone(&core.layouts.wake),
        };
        let bulk =
            BulkServer::bind(gateway.listen.bulk, &identity, Arc::clone(&trust), catalog.incarnation(), desk)
                .await?
                .encrypting(&identity, encryption)?;
        let announce = Endpoint { host: host_of(gateway), mesh_port: 0, bulk_port: bulk.local_addr().port() };
        let swarm = Box::pin(Swarm::bind(SwarmConfig {
            identity: identity.clone(),
            node: settings.node.clone(),
            listen: gateway.listen.mesh,
            announce,
            incarnation: catalog.incarnation(),
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
        // Without it no storage node would talk to this gateway.
        membership.renewed()?;
        let https = Https::bind(gateway.https, Arc::clone(&certificates)).await?;
        let s3 = bind_s3(gateway, &core, Arc::clone(&certificates)).await?;
        let addresses = Addresses::of((&https, s3.as_ref()), bulk.local_addr(), swarm.local_addr());
        let files = WatchFiles { tokens, certificates };
        Ok(Self { https, s3, bulk, swarm, peers, core, files, membership, catalog, addresses })
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
        Health { catalog: self.catalog.clone() }
    }

    /// Serves until stopped; running requests then have a while to end.
    ///
    /// # Errors
    /// When a part ends by itself.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let Self { https, s3, bulk, swarm, peers, core, files, membership, catalog, .. } = self;
        let child = stop.child_token();
        let mut tasks: JoinSet<&'static str> = JoinSet::new();
        spawn(&mut tasks, "the HTTPS listener", https.run(core.router, child.clone()));
        if let Some((s3, router)) = s3 {
            spawn(&mut tasks, "the S3 listener", s3.run(router, child.clone()));
        }
        // Storage nodes and the swarm are needed until the last request has ended.
        let after = CancellationToken::new();
        let mut background: JoinSet<&'static str> = JoinSet::new();
        let (probing, watching) = (after.clone(), after.clone());
        spawn(&mut background, "the bulk server", bulk.run(after.clone()));
        spawn(&mut background, "the swarm", swarm.run(after.clone()));
        spawn(&mut background, "probing", async move { peers.run(probing).await });
        spawn(&mut background, "the catalog's volume", async move {
            watching.run_until_cancelled(catalog.write_failed()).await;
        });
        spawn(&mut background, "layouts", work::run(core.advance, after.clone()));
        spawn(&mut background, "reports", work::run(core.reports, after.clone()));
        spawn(&mut background, "reclaim", work::run(core.reclaim, after.clone()));
        spawn(&mut background, "recode", work::run(core.recode, after.clone()));
        spawn(&mut background, "expire", work::run(core.expire, after.clone()));
        spawn(&mut background, "alarms", work::run(core.alarms, after.clone()));
        spawn(&mut background, "shredding", work::run(core.shredder, after.clone()));
        spawn(&mut background, "files", work::run(files, after.clone()));
        spawn(&mut background, "membership", work::run(membership, after.clone()));
        let ended = tokio::select! {
            Some(ended) = tasks.join_next() => Some(ended),
            Some(ended) = background.join_next() => Some(ended),
            () = stop.cancelled() => None,
        };
        child.cancel();
        while tasks.join_next().await.is_some() {}
        core.context.tails.close();
        if timeout(limits::DRAIN_WAIT, core.context.tails.wait()).await.is_err() {
            tracing::warn!("some segments were acknowledged short and not finished in time");
        }
        after.cancel();
        while background.join_next().await.is_some() {}
        match ended {
            // Told to stop, a part may have ended before we looked.
            Some(Ok(name)) if !stop.is_cancelled() => Err(GatewayError::Ended(name)),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => Ok(()),
        }
    }
}

/// S3 behind the same certificate, within limits of its own.
async fn bind_s3(
    gateway: &GatewaySettings,
    core: &Core,
    certificates: Arc<Certificates>,
) -> Result<Option<(Https, axum::Router)>, GatewayError> {
    let Some(S3Settings { listen, domain }) = &gateway.s3 else { return Ok(None) };
    let https = Https::bind(*listen, certificates).await?;
    Ok(Some((https, crate::s3::router(Arc::clone(&core.app), domain.clone()))))
}

fn spawn(
    tasks: &mut JoinSet<&'static str>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        task.await;
        name
    });
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
}
