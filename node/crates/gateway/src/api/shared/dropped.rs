//! Drop boxes: files come in, and whoever sent them sees nothing of what there is.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use datamesh_catalog::{Cause, Condition, Shared};
use http::{StatusCode, Uri};
use hyper::body::Body as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::target::{decode, object_key};
use super::super::{App, Incoming};
use super::names::{dropped_name, file_name};
use super::{Opened, bucket_of, guarded};
use crate::accounts::OpenShare;
use crate::audit::{Actor, Note};
use crate::auth::Address;
use crate::objects::{Fields, Meta};
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// Strangers do not say what their bytes are: as a page they would run under our name in the browser of whoever looks at them.
const TYPE: &str = "application/octet-stream";

/// A file that came.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DroppedFile")]
pub(in crate::api) struct Came {
    /// Its name, as far as it is kept. It is stored behind a time and a number, so it replaces nothing.
    name: String,
    size: u64,
}

/// `POST` of a file.
pub(in crate::api) async fn take(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    Opened { open, from }: Opened,
    uri: Uri,
    body: Body,
) -> Response {
    let cause = cause(&open, from);
    guarded(taken(&app, &open, (&note, name_of(&uri), &cause), body).await)
}

fn name_of(uri: &Uri) -> String {
    let last = uri.path().splitn(7, '/').nth(6).unwrap_or_default();
    let decoded = decode(last).unwrap_or_else(|_| last.as_bytes().to_vec());
    file_name(&String::from_utf8_lossy(&decoded))
}

/// By which link, and from where: as events tell it.
fn cause(open: &OpenShare, from: Option<Address>) -> Arc<Cause> {
    let address = from.map(|Address(address)| address.to_string()).unwrap_or_default();
    Arc::new(Cause { by: format!("link:{}", open.id), address, ..Cause::default() })
}

async fn taken(
    app: &App,
    open: &OpenShare,
    (note, name, cause): (&Note, String, &Arc<Cause>),
    body: Body,
) -> Result<Response, Problem> {
    let Shared::Drop { prefix, .. } = &open.share.what else {
        return Err(Problem::new(Kind::Conflict, "the link takes no files"));
    };
    let bucket = &open.share.bucket_name;
    let stored = dropped_name(&name, app.surroundings.now_unix_ms(), random(&*app.surroundings));
    let key = object_key(format!("{prefix}{stored}").as_bytes())?;
    let (user, credential) = (open.owner.id.to_string(), open.id.to_string());
    // The path has the secret in it: the audit names what is stored.
    note.target(format!("/{bucket}/{key}"));
    note.actor(Actor { name: format!("link:{credential}"), user, credential });
    let announced = body.size_hint().exact();
    let size =
        announced.ok_or_else(|| Problem::request_header("Content-Length", "say how long the file is"))?;
    let into = bucket_of(app, open).await?;
    let room = app.accounts.take_room(open, size).await?;
    // What has no room is in the metrics alone: strangers must not fill the audit.
    note.count();
    let meta = Meta::new(TYPE.to_owned(), Fields::default())?;
    let incoming = Incoming::new(body, size)?.witnessed(Box::new(room));
    app.objects.put_in((into, key), meta, incoming, Condition::IfAbsent, cause).await?;
    Ok((StatusCode::CREATED, Json(Came { name, size })).into_response())
}
