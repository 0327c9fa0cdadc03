//! `/api/v1/metadata/{key}`: an object's type and metadata, read and changed without its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use datamesh_catalog::Condition;
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::ObjectPath;
use super::{App, conditional, incoming};
use crate::objects::Found;
use crate::problem::{Kind, Problem};

/// What is known of an object besides its bytes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ObjectMetadata")]
pub(super) struct Metadata {
    /// What `GET` of the object says its type is.
    content_type: String,
    /// The user's own: each is the header `x-datamesh-meta-NAME` of the object.
    meta: BTreeMap<String, String>,
}

/// What it shall be: what can be said in headers.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Change {
    #[schemars(regex(pattern = "^[ -~]{1,255}$"))]
    content_type: String,
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": "^[a-z0-9-]+$" }, "additionalProperties" = { "type": "string", "pattern": "^[ -~]*$" }))]
    meta: BTreeMap<String, String>,
}

fn shown(found: Found) -> Result<Response, Problem> {
    let etag = [(header::ETAG, conditional::quoted(&found.object.etag)?)];
    let meta = found.fields.user.into_iter().collect();
    Ok((etag, Json(Metadata { content_type: found.object.content_type, meta })).into_response())
}

/// `GET`.
pub(super) async fn read(State(app): State<Arc<App>>, path: ObjectPath) -> Result<Response, Problem> {
    shown(app.objects.find(&path.bucket, path.key).await?)
}

/// `PUT`: all of it, in place of what there was. The entity tag stays, for it is of the bytes.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    path: ObjectPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tag = required_tag(&headers)?;
    let Change { content_type, meta } = incoming::json(&headers, body).await?;
    if content_type.is_empty() || !content_type.bytes().all(is_printable) {
        let detail = "a type is printable ASCII, as in `image/png`";
        return Err(Problem::new(Kind::InvalidBody, detail).in_body("contentType"));
    }
    if let Some((name, _)) = meta.iter().find(|(name, value)| !is_header(name, value)) {
        let detail = "names are a-z, 0-9 and `-`, values plain ASCII: both become a header";
        return Err(Problem::new(Kind::InvalidBody, detail)
            .in_body(format!("meta/{}", crate::accounts::cut(name, 64))));
    }
    let found = app.objects.find(&path.bucket, path.key.clone()).await?;
    if found.object.etag != tag {
        let detail = format!("the object's entity tag is \"{}\"", found.object.etag);
        return Err(Problem::new(Kind::PreconditionFailed, detail).in_header("If-Match"));
    }
    if !app.objects.set_metadata(&found, content_type, meta.into_iter().collect()).await? {
        let detail = "somebody else changed the object meanwhile: read it again";
        return Err(Problem::new(Kind::PreconditionFailed, detail).in_header("If-Match"));
    }
    shown(app.objects.find(&path.bucket, path.key).await?)
}

/// Who overwrites without having looked may take away what another just wrote: a tag is asked for.
fn required_tag(headers: &HeaderMap) -> Result<String, Problem> {
    match conditional::of_write(headers)? {
        Condition::IfMatch(tag) => Ok(tag),
        _ => {
            let detail = "send `If-Match` with the entity tag that `GET` of this path shows";
            Err(Problem::new(Kind::PreconditionRequired, detail).in_header("If-Match"))
        }
    }
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

fn is_header(name: &str, value: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(known) && value.bytes().all(is_printable)
}
