//! `/api/v1/metadata/{key}`: an object's type and metadata, read and changed without its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Condition, Lock, RetentionMode};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::META_PREFIX;
use super::listing::rfc3339;
use super::target::ObjectPath;
use super::{App, conditional, incoming};
use crate::objects::{Fields, Found, Meta};
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
    /// What keeps this version of the object; absent: nothing was ever said of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<ShownLock>,
}

/// What keeps a version from being lost. It is set by S3.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ObjectLock")]
struct ShownLock {
    /// Until when it is retained, whether that is over or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    retained_until: Option<String>,
    /// Whether the retention may be ended before, by whoever is allowed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<ShownMode>,
    /// Whether it is kept until somebody lifts the hold.
    legal_hold: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RetentionMode")]
pub(super) enum ShownMode {
    Governance,
    Compliance,
}

impl From<RetentionMode> for ShownMode {
    fn from(mode: RetentionMode) -> Self {
        match mode {
            RetentionMode::Governance => Self::Governance,
            RetentionMode::Compliance => Self::Compliance,
        }
    }
}

impl From<Lock> for ShownLock {
    fn from(Lock { retention, legal_hold }: Lock) -> Self {
        Self {
            retained_until: retention.map(|retention| rfc3339(retention.until_unix_ms)),
            mode: retention.map(|retention| retention.mode.into()),
            legal_hold: legal_hold == Some(true),
        }
    }
}

/// What it shall be: what can be said in headers, and whatever is there already.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Change {
    #[schemars(regex(pattern = "^[ -~]{1,255}$"))]
    content_type: String,
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": "^[a-z0-9!#$%&'*+.^_`|~-]+$" }, "additionalProperties" = { "type": "string", "pattern": "^[\\t -~]*$" }))]
    meta: BTreeMap<String, String>,
}

fn shown(found: Found) -> Result<Response, Problem> {
    let etag = [(header::ETAG, conditional::quoted(&found.metadata_tag())?)];
    let meta = found.fields.user.into_iter().collect();
    let lock = Some(found.object.lock).filter(|lock| !lock.is_none()).map(ShownLock::from);
    Ok((etag, Json(Metadata { content_type: found.object.content_type, meta, lock })).into_response())
}

/// `GET`.
pub(super) async fn read(State(app): State<Arc<App>>, path: ObjectPath) -> Result<Response, Problem> {
    shown(app.objects.find(&path.bucket, path.key).await?)
}

/// `PUT`: all of it, in place of what there was. The object's own entity tag stays, for it is of the bytes.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    path: ObjectPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tag = required_tag(&headers)?;
    let Change { content_type, meta } = incoming::json(&headers, body).await?;
    let found = app.objects.find(&path.bucket, path.key).await?;
    if found.metadata_tag() != tag {
        return Err(changed());
    }
    let is_type = !content_type.is_empty() && content_type.bytes().all(is_printable);
    if !is_type && content_type != found.object.content_type {
        let detail = "a type is printable ASCII, as in `image/png`";
        return Err(Problem::new(Kind::InvalidBody, detail).in_body("contentType"));
    }
    let is_kept = |name: &str, value: &str| found.fields.user.iter().any(|(n, v)| n == name && v == value);
    if let Some((name, _)) =
        meta.iter().find(|(name, value)| !is_header(name, value) && !is_kept(name, value))
    {
        let detail = "a name is what a header may be called, in lower case, and a value plain ASCII";
        let place = format!("meta/{}", incoming::escaped(crate::accounts::cut(name, 64)));
        return Err(Problem::new(Kind::InvalidBody, detail).in_body(place));
    }
    let fields = Fields { user: meta.into_iter().collect(), ..found.fields.clone() };
    let meta = Meta::new(content_type, fields).map_err(|error| error.in_body())?;
    shown(app.objects.set_metadata(found, meta).await?.ok_or_else(changed)?)
}

fn changed() -> Problem {
    let detail = "the object or its metadata has changed since this tag was shown: read it again";
    Problem::new(Kind::PreconditionFailed, detail).in_header("If-Match")
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
    let is_name = !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    is_name
        && HeaderName::try_from(format!("{META_PREFIX}{name}")).is_ok()
        && HeaderValue::from_str(value).is_ok()
}
