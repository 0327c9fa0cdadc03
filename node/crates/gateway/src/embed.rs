//! A gateway without listeners, files and mesh, for a program that brings its own: the simulation of a cluster, or a test.
//!
//! What runs is the core that [`crate::Gateway`] serves, unchanged. It starts no thread, looks at no clock but tokio's and
//! that of its [`Surroundings`], and draws no random byte but from there; on a runtime of one thread, with a catalog in
//! memory, a run follows from what net, catalog and surroundings do.
//!
//! Nodes join in the catalog (`bind_join`), then [`EmbeddedGateway::member_joined`]. Nothing happens in the background
//! until [`EmbeddedGateway::take_workers`] are run, by [`datamesh_mesh::worker::run`] or step by step.

use std::sync::Arc;

use axum::Router;
use datamesh_catalog::CatalogOptions;
use datamesh_catalog::engine::MemoryKeyspace;
use datamesh_catalog::record::RestoredRecord;
use datamesh_exchange::net::Net;
use datamesh_mesh::worker::Worker;
use datamesh_placement::SignedLayout;
use datamesh_seal::ClusterSecret;
use datamesh_settings::CatalogBackups;
use datamesh_settings::admin::PoolSpec;
use datamesh_shard::{NodeName, PeerKey, PoolName};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use crate::backup::Opener;
use crate::core::Core;
use crate::layouts::LayoutManager;
use crate::pipeline::Context;
use crate::pools::Pools;
use crate::restore::{RestoreError, Restoring, Source, Volume, Wish, when_told};

pub use crate::backup::BackupPace;
pub use crate::core::CoreConfig as EmbedConfig;
pub use crate::layouts::{AdvanceError, LoadLayoutError, NodeError, OnGivenUp, OnLayout, PutPoolError};
pub use crate::pools::plan::SpecError;
pub use crate::surroundings::{OperatingSystem, Surroundings};

/// A gateway in somebody else's program.
pub struct EmbeddedGateway {
    router: Router,
    registry: Arc<Registry>,
    context: Arc<Context>,
    pools: Arc<Pools>,
    layouts: Arc<LayoutManager>,
    workers: Mutex<Vec<Box<dyn Worker>>>,
}

impl EmbeddedGateway {
    /// Puts it together and reads the layouts of the catalog.
    ///
    /// # Errors
    /// When a layout of the catalog cannot be used.
    pub async fn assemble(config: EmbedConfig) -> Result<Self, LoadLayoutError> {
        let Core {
            router,
            app: _,
            registry,
            context,
            pools,
            layouts,
            metrics: _,
            reports,
            mut reclaim,
            advance,
            alarms,
            recode,
            expire,
            shredder,
            notify,
            bound,
            audit,
            cut_audit,
            backup,
            copies: _,
        } = Core::assemble(config).await?;
        let backups: Box<dyn Worker> = match backup.wanted {
            CatalogBackups::Mesh => {
                reclaim.backup = Some(Arc::clone(&backup.standing));
                Box::new(backup)
            }
            CatalogBackups::Off => Box::new(backup.forgets()),
        };
        let mut workers: Vec<Box<dyn Worker>> = vec![
            backups,
            Box::new(advance),
            Box::new(reports),
            Box::new(reclaim),
            Box::new(alarms),
            Box::new(recode),
            Box::new(expire),
            Box::new(shredder),
            Box::new(bound),
            Box::new(audit),
            Box::new(cut_audit),
        ];
        workers.extend(notify.into_iter().map(|worker| Box::new(worker) as Box<dyn Worker>));
        Ok(Self { router, registry, context, pools, layouts, workers: Mutex::new(workers) })
    }

    /// The API; every route asks for one of the config's tokens.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Its metrics.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Reads of segments that were answered from memory so far.
    #[must_use]
    pub fn cache_hits(&self) -> u64 {
        self.context.metrics.cache.hits.get()
    }

    /// Bytes coded anew so far, of all pools.
    #[must_use]
    pub fn recoded_bytes(&self) -> u64 {
        let pools = self.pools.all();
        pools.iter().map(|(name, _)| self.context.metrics.profiles.recoded_bytes(name.as_str())).sum()
    }

    /// Keeps the administrator's wish, and goes as far towards it as the joined members allow: what
    /// `PUT /api/v1/admin/pools/{pool}` does.
    ///
    /// # Errors
    /// Says what is wrong with the wish, or that the catalog failed.
    pub async fn put_pool(&self, name: &PoolName, spec: PoolSpec) -> Result<(), PutPoolError> {
        self.layouts.put_pool(name, spec).await
    }

    /// The newest layout of each pool that has one, as members are told it.
    #[must_use]
    pub fn layouts(&self) -> Vec<SignedLayout> {
        self.pools.signed()
    }

    /// Wakes the worker that commits layouts: the catalog has another member.
    pub fn member_joined(&self) {
        self.layouts.wake.notify_one();
    }

    /// The background work: layouts, reports, reclaiming, telling stewards of damage, coding anew, shredding, the audit,
    /// the catalog's backups. Asked a second time, none.
    #[must_use]
    pub fn take_workers(&self) -> Vec<Box<dyn Worker>> {
        std::mem::take(&mut *self.workers.lock())
    }

    /// Waits until nothing goes on behind requests: of puts that were acknowledged before they were whole, or given up.
    /// Requests that still run may begin more.
    pub async fn drain(&self) {
        self.context.tails.close();
        self.context.tails.wait().await;
        self.context.tails.reopen();
    }

    /// Ends what goes on behind requests, where it stands, as the end of the process would. Requests under way, and the
    /// workers, end with their own futures, which their owner drops.
    pub fn cut_off(&self) {
        self.context.halt.cancel();
    }
}

/// What a catalog in memory is restored from: the newest backup that nodes keep.
pub struct RestoreConfig {
    /// The cluster's name.
    pub cluster: NodeName,
    /// The cluster's secret.
    pub secret: Arc<ClusterSecret>,
    /// How storage nodes are reached.
    pub net: Arc<dyn Net>,
    /// Those that may be there.
    pub nodes: Vec<PeerKey>,
    /// Where random bytes and the time of day come from.
    pub surroundings: Arc<dyn Surroundings>,
    /// Bytes of buffers.
    pub buffer_bytes: u64,
    /// What the lost catalog was opened with.
    pub options: CatalogOptions,
    /// Becomes the catalog; what is in it goes.
    pub catalog: MemoryKeyspace,
    /// Told for what it waits.
    pub waits: Box<dyn Fn(String) + Send + Sync>,
}

/// Restores a catalog, as a gateway does that is asked for `newest` and has none; waits for the nodes that it needs.
///
/// # Errors
/// Says why there will be no catalog.
pub async fn restore(config: RestoreConfig) -> Result<RestoredRecord, RestoreError> {
    let RestoreConfig { cluster, secret, net, nodes, surroundings, .. } = config;
    let restoring = Restoring {
        opener: Opener { net, secret, cluster },
        surroundings,
        buffer_bytes: config.buffer_bytes,
        options: config.options,
        volume: Volume::Memory(&config.catalog),
        wish: (Wish::Newest, "newest".to_owned()),
        source: Source::Mesh,
    };
    Box::pin(when_told(&restoring, || nodes.clone(), config.waits)).await
}
