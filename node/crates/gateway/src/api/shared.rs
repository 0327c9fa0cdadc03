//! `/api/v1/shared/{token}`: what everybody has who has a link ([ADR 46](../../../../../docs/adr/0046-links-are-bearer-secrets.md)).

mod dropped;
mod folder;
mod guard;
mod names;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::{ObjectKey, Shared};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use schemars::JsonSchema;
use serde::Serialize;
use zeroize::Zeroizing;

use super::listing::rfc3339;
use super::shares::Bounds;
use super::{App, files};
use crate::accounts::{OpenShare, no_share};
use crate::auth::Address;
use crate::objects::{BucketContext, Fields, Found};
use crate::problem::{Kind, Problem};
use guard::guarded;

pub(super) use dropped::{Came, take};
pub(super) use folder::{list, read, zip};
pub(super) use names::{DROPPED_NAME_BYTES_MAX, attachment, file_name, is_unsafe};

/// What a link is of.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SharedKind")]
pub(super) enum What {
    /// One file: `…/download` gives it.
    File,
    /// Many: `…/files` lists them.
    Folder,
    /// Files are put by `POST …/drop/{name}`.
    DropBox,
}

/// A link as others see it: nothing of it says what is beside what it is of.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SharedLink")]
pub(super) struct Shown {
    kind: What,
    /// Of the file or the folder; empty for a whole bucket and for a drop box.
    name: String,
    /// Bytes of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// What the drop box takes, of all who have the link together.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<Bounds>,
    expires_at: String,
}

/// The secret of a link in a path.
fn token_of(uri: &Uri) -> &str {
    uri.path().split('/').nth(4).unwrap_or_default()
}

/// The password of HTTP's Basic authentication (RFC 7617); the name before it may be any.
fn password_of(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

/// The link that a request names, if it counts and its password is right, and where it is asked from.
pub(super) struct Opened {
    open: OpenShare,
    from: Option<Address>,
}

impl FromRequestParts<Arc<App>> for Opened {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let from = parts.extensions.get::<Address>().copied();
        let open = app.accounts.open_share(token_of(&parts.uri), password_of(&parts.headers), from).await;
        open.map(|open| Self { open, from }).map_err(|problem| guarded(Err(problem)))
    }
}

/// What a link is of is there no more; what it was called is no stranger's business.
fn gone(problem: Problem) -> Problem {
    match problem.kind() {
        Kind::NoSuchObject | Kind::NoSuchBucket => no_share(),
        _ => problem,
    }
}

/// The bucket of a link, if it is the one that was shared.
async fn bucket_of(app: &App, open: &OpenShare) -> Result<Arc<BucketContext>, Problem> {
    let bucket = app.objects.bucket(&open.share.bucket_name).await.map_err(gone)?;
    if bucket.id == open.share.bucket { Ok(bucket) } else { Err(no_share()) }
}

/// An object of a link's bucket, if it is the one that was shared.
async fn found(app: &App, open: &OpenShare, key: ObjectKey) -> Result<Found, Problem> {
    let found = app.objects.find(&open.share.bucket_name, key).await.map_err(gone)?;
    if found.object.bucket == open.share.bucket { Ok(found) } else { Err(no_share()) }
}

/// What a request wants of an object.
struct Wanted<'a> {
    method: &'a Method,
    headers: &'a HeaderMap,
    from: Option<Address>,
}

/// Sends an object to be saved, or a part of it, and counts it. Of what its owner kept with it only its encoding is told.
async fn send(app: &App, open: &OpenShare, found: Found, wanted: Wanted<'_>) -> Result<Response, Problem> {
    found.readable()?;
    let (status, part) = files::judged(&found.object, wanted.headers)?;
    let object = &found.object;
    let encoding = header::CONTENT_ENCODING.as_str();
    let system =
        found.fields.system.get_key_value(encoding).map(|(name, value)| (name.clone(), value.clone()));
    let fields = Fields { system: system.into_iter().collect(), ..Fields::default() };
    let mut answer = files::head(object, &fields, &part, status)?;
    let name = names::attachment(&names::file_name(&object.key.to_string()));
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    if wanted.method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        let asked = (object.upload, part.end - part.start, object.size_bytes);
        app.accounts.has_download(open, asked, wanted.from).await?;
        // What cannot be read is not counted.
        let body = app.objects.open(found, part).await?;
        app.accounts.count_download(open, asked, wanted.from).await?;
        *answer.body_mut() = body;
    }
    Ok(answer)
}

/// `GET` of a link: what it is of.
pub(super) async fn about(State(app): State<Arc<App>>, Opened { open, .. }: Opened) -> Response {
    guarded(shown(&app, &open).await.map(|shown| Json(shown).into_response()))
}

async fn shown(app: &App, open: &OpenShare) -> Result<Shown, Problem> {
    let expires_at = rfc3339(open.share.until_unix_ms);
    Ok(match &open.share.what {
        Shared::Object { key, .. } => {
            let object = found(app, open, key.clone()).await?.object;
            let (name, size) = (names::file_name(&key.to_string()), Some(object.size_bytes));
            Shown { kind: What::File, name, size, upload: None, expires_at }
        }
        Shared::Prefix { prefix, .. } => {
            bucket_of(app, open).await?;
            let name = if prefix.is_empty() { String::new() } else { names::file_name(prefix) };
            Shown { kind: What::Folder, name, size: None, upload: None, expires_at }
        }
        Shared::Drop { files_max, bytes_max, .. } => {
            let upload = Some(Bounds { files: *files_max, bytes: *bytes_max });
            Shown { kind: What::DropBox, name: String::new(), size: None, upload, expires_at }
        }
    })
}

/// `GET` and `HEAD` of a file's bytes.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Opened { open, from }: Opened,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let sent = async {
        let Shared::Object { key, .. } = &open.share.what else {
            return Err(Problem::new(
                Kind::Conflict,
                "the link is of no single file: ask for it without `/download`",
            ));
        };
        let found = found(&app, &open, key.clone()).await?;
        send(&app, &open, found, Wanted { method: &method, headers: &headers, from }).await
    };
    guarded(sent.await)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn passwords_are_read_of_basic_authentication_alone() {
        let of = |text: &str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(text).unwrap())]);
            password_of(&headers).map(|password| password.to_string())
        };
        let basic = |text: &str| format!("basic {}", STANDARD.encode(text));
        assert_eq!(of(&basic("any:one:two")), Some("one:two".into()));
        assert_eq!(of(&basic(":")), Some(String::new()));
        for wrong in
            [basic("one"), "Basic".into(), "Basic %%".into(), format!("Bearer {}", STANDARD.encode(":x"))]
        {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_secret_stands_in_its_place() {
        assert_eq!(token_of(&Uri::from_static("/api/v1/shared/abc/files/x")), "abc");
        assert_eq!(token_of(&Uri::from_static("/api/v1/shared")), "");
    }
}
