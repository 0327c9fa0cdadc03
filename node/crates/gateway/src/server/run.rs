//! A gateway that runs: listeners until it is told to stop, and what they need until the last request has ended.

use std::sync::Arc;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::moving::look;
use datamesh_mesh::{Peers, Swarm};
use datamesh_settings::CatalogBackups;
use datamesh_shard::NodeName;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::catalog::Opened;
use super::mesh::Bulk;
use super::{Gateway, GatewayError};
use crate::backup::copies::CopyBackups;
use crate::backup::{ForgetBackups, KeepBackup, Standing};
use crate::group::keep::KeepMembers;
use crate::group::leading::WhileLeading;
use crate::group::{Group, Leading};
use crate::limits;
use crate::metrics::CatalogMetrics;
use crate::moving::{CarryMove, UnderWay, left_behind};
use crate::pipeline::Context;
use crate::work::alarms::TellStewards;
use crate::work::expire::Expire;
use crate::work::follow::FollowOthers;
use crate::work::layouts::AdvanceLayouts;
use crate::work::notify::{Bound, NotifyTarget};
use crate::work::reclaim::Reclaim;
use crate::work::recode::Recode;
use crate::work::reports::PollReports;
use crate::work::shred::Shredder;
use crate::work::{self, Worker};

/// What ends where a catalog was restored in place of this one.
const REPLACED: &str = "the catalog, which one restored from a backup has replaced,";

/// And where it has gone to another engine.
const GONE: &str = "the catalog, which has gone to another engine,";

/// Tasks that say their names when they end.
#[derive(Default)]
struct Tasks(JoinSet<&'static str>);

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            task.await;
            name
        });
    }

    fn work(&mut self, name: &'static str, worker: impl Worker + 'static, stop: &CancellationToken) {
        self.spawn(name, work::run(worker, stop.clone()));
    }

    async fn join(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// Whether this gateway backs the catalog up, or has nodes let go of backups. A database has backups of its own; without any nothing waits
/// for one, and nothing ends this gateway. `in_database` says whether the catalog came there, and `leaves` whether it moves from there.
fn backups(
    backup: KeepBackup,
    (in_database, leaves): (Option<bool>, bool),
) -> (Option<KeepBackup>, Option<ForgetBackups>) {
    match (in_database, backup.wanted) {
        // Until it has left, and from then on.
        (Some(came), CatalogBackups::Mesh) if leaves => {
            let forgets = came.then(|| backup.forgets());
            (Some(backup), forgets)
        }
        // Those from before it came there are older each day, and refer to what is deleted since.
        (Some(came), _) => (None, came.then(|| backup.forgets())),
        (None, CatalogBackups::Mesh) => (Some(backup), None),
        (None, CatalogBackups::Off) => (None, Some(backup.forgets())),
    }
}

impl Gateway {
    /// Serves until stopped; running requests then have a while to end.
    ///
    /// # Errors
    /// When a part ends by itself.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let in_database = self.kept.catalog.keyspace().is_elsewhere();
        // What it acknowledged then would be lost.
        if !in_database && self.core.backup.is_replaced().await {
            return Err(GatewayError::Ended(REPLACED));
        }
        let Self { https, s3, bulk, swarm, peers, core, files, membership, kept, .. } = self;
        let Opened { catalog, group, moving } = kept;
        let (came, child) = (in_database && came(&catalog).await, stop.child_token());
        let mut tasks = Tasks::default();
        tasks.spawn("the HTTPS listener", https.run(core.router, child.clone()));
        if let Some((s3, router)) = s3 {
            tasks.spawn("the S3 listener", s3.run(router, child.clone()));
        }
        // Storage nodes, the swarm and the other gateways are needed until the last request has ended.
        let after = bulk.stop.clone();
        let mut background = Tasks::default();
        // Others may write to it.
        let moves = moving.is_some();
        let shared = group.is_some() || in_database || moves;
        let own = membership.node.clone();
        move_or_watch(&mut background, (moving, shared.then_some(own)), &core.context, &after);
        let leading = Leading::of(catalog.keyspace());
        reaching(&mut background, (bulk, swarm, peers), catalog);
        background.work("files", files, &after);
        background.work("membership", membership, &after);
        let audit = Arc::clone(&core.audit.0);
        background.work("audit", core.audit, &after);
        background.work("the audit's bound", core.cut_audit, &after);
        together(&mut background, (group.as_ref(), core.metrics.catalog), &after);
        let backups_lead = if in_database { leading.after_move() } else { leading.before_move() };
        let (backup, forget) = backups(core.backup, (in_database.then_some(came), moves));
        fenced(&mut background, backup.as_ref().map(|backup| Arc::clone(&backup.standing)), &after);
        let workers = Workers {
            follow: shared.then(|| FollowOthers(Arc::clone(&core.layouts))),
            reports: core.reports,
            reclaim: core.reclaim,
            advance: core.advance,
            alarms: core.alarms,
            recode: core.recode,
            expire: core.expire,
            shredder: core.shredder,
            copies: core.copies.filter(|_| backup.is_some()),
            backup,
            forget,
            notify: core.notify,
            bound: core.bound,
        };
        workers.wake_on_events(&core.context.catalog);
        workers.start(&mut background, (&leading, &backups_lead), &after);
        let ended = tokio::select! {
            Some(ended) = tasks.0.join_next() => Some(ended),
            Some(ended) = background.0.join_next() => Some(ended),
            () = stop.cancelled() => None,
        };
        child.cancel();
        tasks.join().await;
        core.context.tails.close();
        if timeout(limits::DRAIN_WAIT, core.context.tails.wait()).await.is_err() {
            tracing::warn!("some segments were acknowledged short and not finished in time");
        }
        // What was answered a moment ago.
        audit.flush_or_say_so().await;
        if let Some(group) = &group {
            group.hand_over().await;
        }
        after.cancel();
        background.join().await;
        // Whatever has the catalog open goes before it is closed.
        drop((audit, core.app, core.context, core.pools, core.layouts));
        if let Some(group) = group {
            Group::close(group).await;
        }
        outcome(ended, &stop)
    }
}

/// Why it ended.
fn outcome(
    ended: Option<Result<&'static str, JoinError>>,
    stop: &CancellationToken,
) -> Result<(), GatewayError> {
    match ended {
        // Told to stop, a part may have ended before we looked.
        Some(Ok(name)) if !stop.is_cancelled() => Err(GatewayError::Ended(name)),
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => Ok(()),
    }
}

/// The ways to others, and the catalog's volume.
fn reaching(background: &mut Tasks, (bulk, swarm, peers): (Bulk, Swarm, Peers), catalog: EmbeddedCatalog) {
    let after = bulk.stop.clone();
    let (probing, watching) = (after.clone(), after.clone());
    background.spawn("the bulk server", bulk.ended());
    background.spawn("the swarm", swarm.run(after));
    background.spawn("probing", async move { peers.run(probing).await });
    background.spawn("the catalog's volume", async move {
        watching.run_until_cancelled(catalog.write_failed()).await;
    });
}

/// Whether a database has the catalog from elsewhere.
async fn came(catalog: &EmbeddedCatalog) -> bool {
    match look(catalog.keyspace()).await {
        Ok(standing) => standing.open().flatten().is_some(),
        Err(_) => false,
    }
}

/// Moves the catalog where that is asked for. Else others may move it, and this gateway would not know.
fn move_or_watch(
    background: &mut Tasks,
    (moving, own): (Option<UnderWay>, Option<NodeName>),
    context: &Context,
    after: &CancellationToken,
) {
    match (moving, own) {
        (Some(moving), _) => {
            let (ends, until) = (Arc::clone(&moving.ends), after.clone());
            background.spawn(GONE, async move {
                until.run_until_cancelled(ends.notified()).await;
            });
            let (catalog, surroundings) = (context.catalog.clone(), Arc::clone(&context.surroundings));
            background.work("the catalog's move", CarryMove::new(moving, catalog, surroundings), after);
        }
        (None, Some(own)) => {
            let (catalog, after) = (context.catalog.clone(), after.clone());
            background.spawn(GONE, async move {
                after.run_until_cancelled(left_behind::until_gone(catalog, own)).await;
            });
        }
        (None, None) => {}
    }
}

/// What keeps several gateways together.
fn together(
    background: &mut Tasks,
    (group, metrics): (Option<&Arc<Group>>, CatalogMetrics),
    after: &CancellationToken,
) {
    if let Some(group) = group {
        background.work("the catalog's members", KeepMembers::new(Arc::clone(group), metrics), after);
    }
}

/// Ends with this gateway's catalog, once one that was restored has taken its place.
fn fenced(background: &mut Tasks, standing: Option<Arc<Standing>>, after: &CancellationToken) {
    if let Some(standing) = standing {
        let after = after.clone();
        background.spawn(REPLACED, async move {
            after.run_until_cancelled(standing.superseded()).await;
        });
    }
}

/// What runs behind requests.
struct Workers {
    follow: Option<FollowOthers>,
    reports: PollReports,
    reclaim: Reclaim,
    advance: AdvanceLayouts,
    alarms: TellStewards,
    recode: Recode,
    expire: Expire,
    shredder: Shredder,
    backup: Option<KeepBackup>,
    copies: Option<CopyBackups>,
    /// In its place, where there shall be none.
    forget: Option<ForgetBackups>,
    notify: Vec<NotifyTarget>,
    bound: Bound,
}

impl Workers {
    /// Whoever tells targets of events is woken by each that this gateway commits.
    fn wake_on_events(&self, catalog: &EmbeddedCatalog) {
        catalog.wake_on_events(self.notify.iter().filter_map(Worker::wakes).collect());
    }

    /// What each gateway does, and what one does for all.
    fn start(
        mut self,
        background: &mut Tasks,
        (leading, backups_lead): (&Leading, &Leading),
        after: &CancellationToken,
    ) {
        self.reclaim.leading = leading.clone();
        self.reclaim.backup = self.backup.as_ref().map(|backup| Arc::clone(&backup.standing));
        let forgets_lead = if self.backup.is_some() { leading.before_move() } else { leading.clone() };
        let backup = self.backup.map(|backup| WhileLeading::new(backups_lead, backup));
        let copies = self.copies.map(|copies| WhileLeading::new(backups_lead, copies).giving_up());
        let forget = self.forget.map(|forget| WhileLeading::new(&forgets_lead, forget));
        let advance = WhileLeading::new(leading, self.advance);
        let recode = WhileLeading::new(leading, self.recode);
        let expire = WhileLeading::new(leading, self.expire);
        let shredder = WhileLeading::new(leading, self.shredder);
        let bound = WhileLeading::new(leading, self.bound);
        let notify: Vec<_> =
            self.notify.into_iter().map(|worker| WhileLeading::new(leading, worker)).collect();
        let mut wakes = vec![advance.wake(), recode.wake(), expire.wake(), shredder.wake(), bound.wake()];
        wakes.extend(notify.iter().map(WhileLeading::wake));
        wakes.extend(self.reclaim.wakes());
        wakes.extend(backup.iter().map(WhileLeading::wake));
        wakes.extend(copies.iter().map(WhileLeading::wake));
        wakes.extend(forget.iter().map(WhileLeading::wake));
        background.spawn("the lead", leading.clone().wake(wakes, after.clone()));
        if let Some(follow) = self.follow {
            background.work("following", follow, after);
        }
        if let Some(backup) = backup {
            background.work("backup", backup, after);
        }
        if let Some(copies) = copies {
            background.work("copies of backups", copies, after);
        }
        if let Some(forget) = forget {
            background.work("forgetting backups", forget, after);
        }
        background.work("layouts", advance, after);
        background.work("reports", self.reports, after);
        background.work("reclaim", self.reclaim, after);
        background.work("recode", recode, after);
        background.work("expire", expire, after);
        background.work("alarms", self.alarms, after);
        background.work("shredding", shredder, after);
        background.work("the bound of notifications", bound, after);
        for worker in notify {
            background.work("notifications", worker, after);
        }
    }
}
