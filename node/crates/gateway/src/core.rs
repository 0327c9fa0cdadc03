//! Everything behind the listeners, put together: from a catalog and a way to reach storage nodes to the HTTP routes
//! and the background work.

use std::sync::Arc;

use axum::Router;
use datamesh_catalog::EmbeddedCatalog;
use datamesh_seal::ClusterSecret;
use datamesh_shard::NodeName;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;

use crate::api::{self, Admin, App};
use crate::auth::Tokens;
use crate::layouts::{LayoutManager, LoadLayoutError, OnLayout};
use crate::metrics::Metrics;
use crate::objects::{BucketsSource, Objects};
use crate::pipeline::{Budget, Context};
use crate::pools::Pools;
use crate::shards::Shards;
use crate::status::StatusSource;
use crate::work::layouts::AdvanceLayouts;
use crate::work::reclaim::Reclaim;
use crate::work::reports::PollReports;

/// What a core is made of.
pub(crate) struct CoreConfig {
    pub(crate) cluster: NodeName,
    pub(crate) gateway: NodeName,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) shards: Arc<dyn Shards>,
    pub(crate) buffer_bytes: u64,
    pub(crate) on_layout: OnLayout,
}

/// The gateway without its listeners.
pub(crate) struct Core {
    pub(crate) router: Router,
    pub(crate) registry: Arc<Registry>,
    pub(crate) context: Arc<Context>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) layouts: Arc<LayoutManager>,
    pub(crate) reports: PollReports,
    pub(crate) reclaim: Reclaim,
    pub(crate) advance: AdvanceLayouts,
}

impl Core {
    /// Puts it together and reads the layouts of the catalog.
    pub(crate) async fn assemble(config: CoreConfig) -> Result<Self, LoadLayoutError> {
        let CoreConfig { cluster, gateway, secret, tokens, catalog, shards, buffer_bytes, on_layout } =
            config;
        let budget = Budget::new(buffer_bytes);
        let (metrics, registry) = Metrics::register(budget.clone());
        let pools = Arc::new(Pools::new(Arc::clone(&shards)));
        let context =
            Context::new(budget, metrics.clone(), catalog.clone(), Arc::clone(&shards), Arc::clone(&pools));
        let layouts = Arc::new(LayoutManager {
            cluster: cluster.clone(),
            catalog: catalog.clone(),
            pools: Arc::clone(&pools),
            shards: Arc::clone(&shards),
            key: secret.signing_key(),
            on_layout,
            wake: Arc::new(Notify::new()),
            one: tokio::sync::Mutex::new(()),
        });
        layouts.load().await?;
        let (reclaim, abandoned) = Reclaim::new(catalog.clone(), Arc::clone(&pools), Arc::clone(&shards));
        let source = BucketsSource {
            catalog: catalog.clone(),
            pools: Arc::clone(&pools),
            secret: Arc::clone(&secret),
        };
        let status = StatusSource {
            cluster: cluster.clone(),
            gateway,
            key_fingerprint: secret.fingerprint(),
            catalog,
            pools: Arc::clone(&pools),
            damage: Arc::clone(&context.damage),
        };
        let app = App {
            tokens,
            metrics: metrics.clone(),
            objects: Objects::new(Arc::clone(&context), source, abandoned),
            status,
            admin: Admin { cluster, secret, layouts: Arc::clone(&layouts) },
        };
        let reports =
            PollReports { pools: Arc::clone(&pools), shards, layouts: Arc::clone(&layouts), metrics };
        Ok(Self {
            router: api::router(Arc::new(app)),
            registry,
            context,
            pools,
            advance: AdvanceLayouts(Arc::clone(&layouts)),
            layouts,
            reports,
            reclaim,
        })
    }
}
