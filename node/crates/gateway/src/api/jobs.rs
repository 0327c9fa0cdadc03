//! `GET /api/v1/admin/jobs`: what goes on for longer than a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use datamesh_settings::admin::{BackupOverview, ClusterStatus, Jobs};
use datamesh_shard::{NodeName, PoolName};

use super::{App, backups};
use crate::jobs::{self, Facts};
use crate::objects::refusals;
use crate::pipeline::millis;
use crate::problem::Problem;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Jobs>, Problem> {
    let status = app.status.now().await.map_err(refusals::catalog)?;
    let now_unix_ms = app.surroundings.now_unix_ms();
    let shreds = app.objects.shreddings().await?;
    let buckets = if shreds.is_empty() { Vec::new() } else { app.objects.buckets().await? };
    let fsck = app.admin.fsck.under_way();
    let facts = Facts {
        status: &status,
        now_unix_ms,
        drains_since: drains_since(&app, &status).await?,
        shreds,
        buckets: buckets.into_iter().map(|bucket| (bucket.id.0, bucket.name)).collect(),
        backup: backup(&app, &status).await?,
        copying: *app.admin.points.copying.lock(),
        fsck: fsck.map(|(begun, at)| (at, now_unix_ms.saturating_sub(millis(begun.elapsed())))),
    };
    Ok(Json(Jobs { gateway: status.gateway.clone(), items: jobs::of(&facts) }))
}

async fn drains_since(
    app: &App,
    status: &ClusterStatus,
) -> Result<BTreeMap<(PoolName, NodeName), u64>, Problem> {
    let mut all = BTreeMap::new();
    for pool in &status.pools {
        for member in pool.members.iter().filter(|member| member.drain.is_some()) {
            let since = app.status.catalog.drain_since(&pool.name, &member.node).await;
            if let Some(since) = since.map_err(refusals::catalog)? {
                all.insert((pool.name.clone(), member.node.clone()), since);
            }
        }
    }
    Ok(all)
}

/// Nodes are asked for it only where somebody wants a backup, and another gateway makes them.
async fn backup(app: &App, status: &ClusterStatus) -> Result<Option<BackupOverview>, Problem> {
    if status.catalog.backup.as_ref().is_none_or(|backup| backup.off) {
        return Ok(None);
    }
    let is_asked = app.status.catalog.backup_asked().await.map_err(refusals::catalog)?.is_some();
    let is_wanted = is_asked || app.status.backup.writing().is_some();
    if is_wanted { backups::overview(app).await.map(Some) } else { Ok(None) }
}
