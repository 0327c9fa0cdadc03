//! `/api/v1/admin/backup`: how backups of the catalog stand, what there is to come back to, and asking for one
//! ([ADR 60](../../../../../docs/adr/0060-a-backup-is-asked-for-by-a-row.md)).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use datamesh_catalog::backup::reach_ms;
use datamesh_settings::admin::{
    AskedBackup, BackupOverview, BackupPoint, BackupPoints, BackupStatus, WritingSnapshot,
};
use http::StatusCode;

use super::App;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// How they stand.
pub(super) async fn show(State(app): State<Arc<App>>) -> Result<Json<BackupOverview>, Problem> {
    overview(&app).await.map(Json)
}

pub(super) async fn overview(app: &App) -> Result<BackupOverview, Problem> {
    let newest = newest(app).await?;
    let asked = app.status.catalog.backup_asked().await.map_err(refusals::catalog)?;
    let asked = asked.filter(|_| !newest.off).map(|(revision, asked_unix_ms)| {
        let done = newest.last_unix_ms.is_some() && newest.revision >= revision.0;
        AskedBackup { revision: revision.0, asked_unix_ms, done }
    });
    let writing = app.status.backup.writing().map(|writing| WritingSnapshot {
        since_unix_ms: writing.since_unix_ms,
        pieces: u64::try_from(writing.pieces).unwrap_or(u64::MAX),
    });
    Ok(BackupOverview {
        gateway: app.status.gateway.clone(),
        newest,
        reach_seconds: reach_ms(app.status.catalog.options().retention_ms) / 1000,
        asked,
        writing,
        next_snapshot_seconds: app.status.backup.until_next_snapshot().map(|rest| rest.as_secs()),
    })
}

/// As the gateway knows it that makes them; of another, as nodes prove it.
async fn newest(app: &App) -> Result<BackupStatus, Problem> {
    let known = app.status.backup().await.map_err(refusals::catalog)?.ok_or_else(in_a_database)?;
    if known.off || known.last_unix_ms.is_some() {
        return Ok(known);
    }
    let Some((id, anchor)) = app.admin.points.newest().await else { return Ok(known) };
    let behind_ms = app.surroundings.now_unix_ms().saturating_sub(id.at_unix_ms);
    Ok(BackupStatus {
        last_unix_ms: Some(id.at_unix_ms),
        behind_seconds: Some(behind_ms / 1000),
        revision: id.revision,
        bytes: anchor.bytes(),
        segments: u64::try_from(anchor.segments()).unwrap_or(u64::MAX),
        ..known
    })
}

/// Asks whichever gateway makes them.
pub(super) async fn ask(State(app): State<Arc<App>>) -> Result<(StatusCode, Json<AskedBackup>), Problem> {
    let known = app.status.backup().await.map_err(refusals::catalog)?.ok_or_else(in_a_database)?;
    if known.off {
        return Err(Problem::new(
            Kind::Conflict,
            "there shall be no backups: set gateway.catalogBackups to Mesh first",
        ));
    }
    let asked_unix_ms = app.surroundings.now_unix_ms();
    let revision = app.status.catalog.ask_for_backup(asked_unix_ms).await.map_err(refusals::catalog)?;
    app.status.backup.asked.notify_one();
    Ok((StatusCode::ACCEPTED, Json(AskedBackup { revision: revision.0, asked_unix_ms, done: false })))
}

/// What there is to come back to.
pub(super) async fn points(State(app): State<Arc<App>>) -> Result<Json<BackupPoints>, Problem> {
    let (in_mesh, in_copies) = tokio::join!(app.admin.points.in_mesh(), app.admin.points.in_copies());
    let (mut points, silent) = in_mesh;
    let (copies, copies_error) = match in_copies {
        Ok(copies) => (copies, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let noted = app.status.catalog.copies().await.map_err(refusals::catalog)?.newest;
    points.extend(copies.into_iter().map(|copy| BackupPoint {
        bytes: noted.filter(|noted| noted.revision == copy.revision).map(|noted| noted.bytes),
        ..copy
    }));
    Ok(Json(BackupPoints { points, silent_nodes: u32::try_from(silent).unwrap_or(u32::MAX), copies_error }))
}

fn in_a_database() -> Problem {
    Problem::new(
        Kind::Conflict,
        "the catalog is in PostgreSQL, whose own administrator backs it up: there are no backups of it here",
    )
}
