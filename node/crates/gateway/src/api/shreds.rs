//! `/api/v1/shreds`: deletes that leave nothing on the disks. `DELETE` of a file with `?shred=true` begins one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::UploadId;
use datamesh_catalog::catalog::Shred;
use datamesh_catalog::record::ShredState;
use datamesh_shard::NodeName;
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use super::listing::rfc3339;
use crate::problem::{Kind, Problem};
use crate::work::shred::{Progress, Step};

/// What stays whatever was done. All of it is sealed, and what opens it is the cluster secret; without the keys, which were sealed in
/// the catalog, the shards are noise even to whoever has that.
const STAYS: [&str; 6] = [
    "backups, and snapshots of volumes",
    "volumes that are not of members any more: given up for lost, or kept when their node left",
    "what file systems and drives keep of files that were removed",
    "copies that whoever read the object made of it",
    "the object's name in events, and in the catalog's files while these have what was told: never its bytes or keys",
    "in a private bucket segments that another object has too: equal sealed bytes are one segment there, and stay until the last one goes",
];

/// How far a shredding is, and what it may claim.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Shred")]
pub(super) struct Shown {
    id: String,
    /// While it goes on: afterwards it is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    begun: String,
    /// `deleting`: nodes delete the shards. `emptying`: keys are out of the catalog's files, nodes empty theirs. `over`.
    state: &'static str,
    /// Nodes whose files are empty of it, and nodes there are; absent once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Nodes>,
    /// Nodes that do not answer: it goes on once they do, or are given up.
    waits_for: Vec<NodeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<String>,
    /// Nodes of which some log file could not be emptied, for lack of room or because it is damaged.
    partly: Vec<NodeName>,
    stays: [&'static str; 6],
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShredNodes")]
pub(super) struct Nodes {
    done: usize,
    of: usize,
}

/// All of them.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShredList")]
pub(super) struct All {
    items: Vec<Shown>,
}

fn shown((Shred { id, record }, progress): (Shred, Progress)) -> Shown {
    let Progress { step, nodes_done, nodes, waits_for } = progress;
    let (state, key, finished, partly) = match record.state {
        ShredState::Going { key, .. } => {
            let state = if step == Step::Deleting { "deleting" } else { "emptying" };
            (state, Some(key.to_string()), None, Vec::new())
        }
        ShredState::Over { at_unix_ms, partly } => ("over", None, Some(rfc3339(at_unix_ms)), partly),
    };
    Shown {
        id: id.to_string(),
        nodes: finished.is_none().then_some(Nodes { done: nodes_done, of: nodes }),
        key,
        begun: rfc3339(record.begun_unix_ms),
        state,
        waits_for,
        finished,
        partly,
        stays: STAYS,
    }
}

/// The answer to a delete that begins one: 202, and where to ask how far it is.
pub(super) fn begun(shredding: (Shred, Progress)) -> Response {
    let place = format!("/api/v1/shreds/{}", shredding.0.id);
    (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(shown(shredding))).into_response()
}

fn id_of(text: &str) -> Result<UploadId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(Kind::NoSuchUpload, "an id is 32 hexadecimal digits").in_parameter("id"))
}

/// Shows all.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<All>, Problem> {
    Ok(Json(All { items: app.objects.shreddings().await?.into_iter().map(shown).collect() }))
}

/// Shows one.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    app.objects.one(id_of(&id)?).await.map(shown).map(Json)
}

/// Calls one off, or forgets it once it is over; the object stays deleted.
pub(super) async fn forget(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.objects.forget_shred(id_of(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
