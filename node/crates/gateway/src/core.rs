//! Everything behind the listeners, put together: from a catalog and a way to reach storage nodes to the HTTP routes
//! and the background work.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use datamesh_catalog::EmbeddedCatalog;
use datamesh_exchange::net::Net;
use datamesh_seal::ClusterSecret;
use datamesh_settings::CatalogBackups;
use datamesh_settings::request_limits::RequestLimits;
use datamesh_shard::NodeName;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;

use crate::access_keys::AccessKeys;
use crate::accounts::Accounts;
use crate::api::{self, Admin, App, Archives, Once, Quotas};
use crate::audit::{Audit, CutAudit, ENTRIES_KEPT, WriteAudit};
use crate::auth::Tokens;
use crate::backup::copies::{CopyBackups, Place};
use crate::backup::{BackupPace, KeepBackup, Points, Standing};
use crate::cache::SegmentCache;
use crate::fsck::Fsck;
use crate::group::Group;
use crate::layouts::{LayoutManager, LoadLayoutError, OnGivenUp, OnLayout};
use crate::mail::Mailer;
use crate::mesh_status::MeshSource;
use crate::metrics::Metrics;
use crate::moving::Told;
use crate::notifications::{Target, Targets};
use crate::objects::{BucketsSource, Objects};
use crate::oidc::Providers;
use crate::owned::Tasks;
use crate::pipeline::{Budget, Context};
use crate::pools::Pools;
use crate::status::StatusSource;
use crate::surroundings::Surroundings;
use crate::work::alarms::TellStewards;
use crate::work::expire::{Expire, NewRules};
use crate::work::layouts::AdvanceLayouts;
use crate::work::notify::{Bound, NotifyTarget, PENDING_MAX};
use crate::work::reclaim::Reclaim;
use crate::work::recode::Recode;
use crate::work::reports::PollReports;
use crate::work::shred::Shredder;

/// What a core is made of.
pub struct CoreConfig {
    /// The cluster's name.
    pub cluster: NodeName,
    /// This gateway's own.
    pub gateway: NodeName,
    /// The cluster's secret; the catalog was opened with its fingerprint.
    pub secret: Arc<ClusterSecret>,
    /// Whom the API lets in.
    pub tokens: Arc<Tokens>,
    /// The names, and everything that opens what they stand for.
    pub catalog: EmbeddedCatalog,
    /// How storage nodes are reached.
    pub net: Arc<dyn Net>,
    /// Where random bytes and the time of day come from.
    pub surroundings: Arc<dyn Surroundings>,
    /// Bytes of buffers that all transfers share.
    pub buffer_bytes: u64,
    /// Bytes of hot segments kept besides them; 0: none.
    pub cache_bytes: u64,
    /// How many requests are taken of whom.
    pub request_limits: RequestLimits,
    /// Told of each pool's newest layout, at the start and when one is committed.
    pub on_layout: OnLayout,
    /// Told of each volume that was given up for lost, at the start and when one is.
    pub on_given_up: OnGivenUp,
    /// What sends mail; none: nothing does.
    pub mailer: Option<Mailer>,
    /// Webhooks that events of buckets may be sent to.
    pub targets: Vec<Target>,
    /// Where users may sign in besides.
    pub providers: Providers,
    /// How long what a plain put left behind waits to be reclaimed when its gateway died; a put that lives renews it.
    pub put_lease: Duration,
    /// How long entries of the audit are kept, where there are not too many of them.
    pub audit_retention: Duration,
    /// Where the catalog is backed up to, where a gateway serves it.
    pub catalog_backups: CatalogBackups,
    /// How fast.
    pub backup_pace: BackupPace,
    /// Where copies of those backups go besides.
    pub backup_copies: Option<Arc<Place>>,
    /// Binary logarithm of the number of partitions of each pool that has not more already. Absent: by the number of members.
    pub partitions_log2: Option<u8>,
}

/// The gateway without its listeners.
pub(crate) struct Core {
    pub(crate) router: Router,
    pub(crate) app: Arc<App>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) context: Arc<Context>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) layouts: Arc<LayoutManager>,
    pub(crate) metrics: Metrics,
    pub(crate) reports: PollReports,
    pub(crate) reclaim: Reclaim,
    pub(crate) advance: AdvanceLayouts,
    pub(crate) alarms: TellStewards,
    pub(crate) recode: Recode,
    pub(crate) expire: Expire,
    pub(crate) shredder: Shredder,
    pub(crate) notify: Vec<NotifyTarget>,
    pub(crate) bound: Bound,
    pub(crate) audit: WriteAudit,
    pub(crate) cut_audit: CutAudit,
    pub(crate) backup: KeepBackup,
    pub(crate) copies: Option<CopyBackups>,
}

impl Core {
    /// Puts it together and reads the layouts of the catalog.
    pub(crate) async fn assemble(config: CoreConfig) -> Result<Self, LoadLayoutError> {
        Self::assemble_with(config, (None, None)).await
    }

    /// The same for one of several gateways that keep the catalog, and where it moves.
    pub(crate) async fn assemble_with(
        config: CoreConfig,
        (group, moving): (Option<Arc<Group>>, Option<Arc<Told>>),
    ) -> Result<Self, LoadLayoutError> {
        let CoreConfig { cluster, gateway, secret, tokens, catalog, net, surroundings, .. } = config;
        let budget = Budget::new(config.buffer_bytes);
        let (metrics, registry) = Metrics::register(budget.clone());
        let cache = Arc::new(SegmentCache::new(config.cache_bytes, metrics.cache.clone()));
        let pools = Arc::new(Pools::new(Arc::clone(&net)));
        let outside = (Arc::clone(&net), Arc::clone(&surroundings));
        let context = Context::new(
            (budget, Arc::clone(&cache)),
            metrics.clone(),
            catalog.clone(),
            Arc::clone(&pools),
            outside.clone(),
            config.put_lease,
        );
        let told = (config.on_layout, config.on_given_up);
        let layouts = layout_manager(&context, (cluster.clone(), &secret), told, config.partitions_log2);
        layouts.load().await?;
        let (reclaim, abandoned) = Reclaim::new(catalog.clone(), Arc::clone(&pools), outside, cache);
        let audit = audit_of(&gateway, (&catalog, &secret), &surroundings);
        let (names, copies) = ((cluster.clone(), gateway), others(group.as_ref()));
        let backup =
            keep_backup(&context, &secret, (names.clone(), config.catalog_backups, config.backup_pace));
        let (place, targets) = (config.backup_copies, Arc::new(Targets::new(config.targets)));
        let copier = copy_backups(&backup, (&context, &secret), (&names.0, place.as_ref()));
        let copying = copier.as_ref().map(|copier| Arc::clone(&copier.under_way)).unwrap_or_default();
        let points = Points::new(Arc::clone(&context), backup.opener.clone(), (place.clone(), copying));
        let status = status_source(&context, names, (&secret, &targets), (group, &backup, (place, moving)));
        let (shredder, shreds) = Shredder::new(Arc::clone(&context), copies);
        let app = Arc::new(App {
            tokens,
            accounts: Accounts::new(&context, Arc::clone(&secret), (config.mailer, config.providers)),
            audit: Arc::clone(&audit),
            keys: AccessKeys::new(context.catalog.clone(), Arc::clone(&secret), Arc::clone(&surroundings)),
            once: Once::new(catalog, Arc::clone(&secret)),
            metrics: metrics.clone(),
            objects: Objects::new(Arc::clone(&context), buckets_source(&context, &secret), abandoned, shreds),
            status,
            notifications: Arc::clone(&targets),
            admin: admin((cluster, secret), &layouts, (&context, points)),
            new_rules: NewRules::default(),
            surroundings,
            quotas: Quotas::new(&config.request_limits.rest, "user"),
            s3_quotas: Quotas::new(&config.request_limits.s3, "user or key"),
            archives: Archives::default(),
            appends: Tasks::default(),
        });
        Ok(Self {
            router: api::router(Arc::clone(&app)),
            registry,
            metrics: metrics.clone(),
            alarms: TellStewards(Arc::clone(&context)),
            recode: Recode::new(Arc::clone(&context)),
            expire: Expire::new(Arc::clone(&context), Arc::clone(&app)),
            app,
            notify: NotifyTarget::all(&context, &targets),
            bound: Bound::new(Arc::clone(&context), Arc::clone(&targets), PENDING_MAX),
            shredder,
            cut_audit: CutAudit::new(Arc::clone(&audit), (ENTRIES_KEPT, config.audit_retention)),
            audit: WriteAudit(audit),
            backup,
            copies: copier,
            context,
            advance: AdvanceLayouts(Arc::clone(&layouts)),
            reports: PollReports::new(Arc::clone(&layouts), net, metrics),
            pools,
            layouts,
            reclaim,
        })
    }
}

fn audit_of(
    gateway: &NodeName,
    (catalog, secret): (&EmbeddedCatalog, &ClusterSecret),
    surroundings: &Arc<dyn Surroundings>,
) -> Arc<Audit> {
    let signing = (catalog.clone(), secret.signing_key());
    Arc::new(Audit::new(gateway.as_str(), signing, Arc::clone(surroundings)))
}

fn layout_manager(
    context: &Context,
    (cluster, secret): (NodeName, &ClusterSecret),
    (on_layout, on_given_up): (OnLayout, OnGivenUp),
    partitions_log2: Option<u8>,
) -> Arc<LayoutManager> {
    Arc::new(LayoutManager {
        cluster,
        catalog: context.catalog.clone(),
        pools: Arc::clone(&context.pools),
        net: Arc::clone(&context.net),
        key: secret.signing_key(),
        on_layout,
        on_given_up,
        partitions_log2,
        wake: Arc::new(Notify::new()),
        one: tokio::sync::Mutex::new(()),
    })
}

/// The gateways that have the catalog besides this one.
fn others(group: Option<&Arc<Group>>) -> Vec<NodeName> {
    group.map(|group| group.others()).unwrap_or_default()
}

fn keep_backup(
    context: &Arc<Context>,
    secret: &Arc<ClusterSecret>,
    (names, wanted, pace): ((NodeName, NodeName), CatalogBackups, BackupPace),
) -> KeepBackup {
    let standing = Arc::new(Standing::new(context.metrics.backup.clone()).with_margin(pace.margin));
    let mut backup = KeepBackup::new(Arc::clone(context), (Arc::clone(secret), names, standing)).at(pace);
    backup.wanted = wanted;
    backup
}

fn copy_backups(
    backup: &KeepBackup,
    (context, secret): (&Arc<Context>, &Arc<ClusterSecret>),
    (cluster, place): (&NodeName, Option<&Arc<Place>>),
) -> Option<CopyBackups> {
    let of = (Arc::clone(secret), cluster.clone());
    place.map(|place| CopyBackups::new(Arc::clone(context), of, (Arc::clone(place), backup.newest())))
}

fn buckets_source(context: &Context, secret: &Arc<ClusterSecret>) -> BucketsSource {
    BucketsSource {
        catalog: context.catalog.clone(),
        pools: Arc::clone(&context.pools),
        secret: Arc::clone(secret),
        surroundings: Arc::clone(&context.surroundings),
    }
}

/// Where copies of backups go, and how far the catalog's move is.
type Elsewhere = (Option<Arc<Place>>, Option<Arc<Told>>);

fn status_source(
    context: &Context,
    (cluster, gateway): (NodeName, NodeName),
    (secret, targets): (&ClusterSecret, &Arc<Targets>),
    (group, backup, (copies, moving)): (Option<Arc<Group>>, &KeepBackup, Elsewhere),
) -> StatusSource {
    StatusSource {
        cluster,
        gateway,
        key_fingerprint: secret.fingerprint(),
        catalog: context.catalog.clone(),
        group,
        backup: Arc::clone(&backup.standing),
        backups: backup.wanted,
        copies,
        moving,
        pools: Arc::clone(&context.pools),
        damage: Arc::clone(&context.damage),
        targets: Arc::clone(targets),
        surroundings: Arc::clone(&context.surroundings),
    }
}

fn admin(
    (cluster, secret): (NodeName, Arc<ClusterSecret>),
    layouts: &Arc<LayoutManager>,
    (context, points): (&Arc<Context>, Points),
) -> Admin {
    let (mesh, fsck) = (mesh_source(context), Fsck::new(Arc::clone(context)));
    Admin { cluster, secret, layouts: Arc::clone(layouts), mesh, fsck, points }
}

fn mesh_source(context: &Context) -> MeshSource {
    MeshSource {
        pools: Arc::clone(&context.pools),
        net: Arc::clone(&context.net),
        surroundings: Arc::clone(&context.surroundings),
    }
}
