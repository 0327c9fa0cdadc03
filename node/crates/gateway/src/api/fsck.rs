//! `POST /api/v1/admin/fsck`: a check of the catalog and the nodes, told line by line while it runs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use datamesh_settings::admin::{ClusterStatus, FsckEvent, FsckRequest};
use futures::StreamExt;
use http::{HeaderMap, header};

use super::{App, admin, incoming};
use crate::audit::Note;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// JSON, one value a line.
const LINES: &str = "application/x-ndjson";

pub(super) async fn check(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let FsckRequest { repair } = incoming::json_or_default(&headers, body).await?;
    note.detail(format!("repair={repair:?}"));
    // What is in no row of a restored catalog may be in those of a later point.
    if repair && app.status.catalog.holds_deletion().await.map_err(refusals::catalog)? {
        return Err(Problem::new(
            Kind::Conflict,
            "this catalog came out of copies, and deletes nothing before you say that it is the one you want: check it without repair first, and \
             then say so (`datamesh fsck --confirm-restored`)",
        ));
    }
    let events = app.admin.fsck.begin(repair).ok_or_else(|| {
        Problem::new(
            Kind::Conflict,
            "a check is under way on this gateway: wait for it, or end the connection that asked for it",
        )
    })?;
    let lines = events.map(|event| Ok::<_, Infallible>(line(&event)));
    Ok(([(header::CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response())
}

/// `POST /api/v1/admin/restored/confirm`: somebody has looked at a catalog that came out of copies, and it may delete again. Answers with
/// the status.
pub(super) async fn confirm(State(app): State<Arc<App>>) -> Result<Json<ClusterStatus>, Problem> {
    app.status.catalog.let_delete().await.map_err(refusals::catalog)?;
    admin::status(State(app)).await
}

fn line(event: &FsckEvent) -> Bytes {
    let mut text = serde_json::to_vec(event).unwrap_or_else(|error| {
        tracing::error!(%error, "a line of a check cannot be written");
        Vec::new()
    });
    text.push(b'\n');
    text.into()
}
