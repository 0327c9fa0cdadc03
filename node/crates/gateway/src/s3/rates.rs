//! How many requests may come: who signs none is counted by address, who signs one by the owner of the key once the signature is right, and
//! by address until then. More are answered with `SlowDown`, which clients wait out by themselves.

use axum::response::Response;
use datamesh_catalog::AccessKeyId;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use s3s::{S3Error, S3ErrorCode};

use super::refusals::document;
use crate::accounts::FILE_OWNER;
use crate::api::{App, Share};
use crate::auth::Address;

/// What signed URLs of both versions have in their query.
const SIGNED: [&str; 2] = ["X-Amz-Signature=", "Signature="];

/// What a request was counted as when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Nothing signs it, or the fields of a form do.
    Stranger,
    /// Something signs it that was not looked at yet.
    Unproven,
}

/// How a request is to be counted.
pub(super) fn shown(headers: &HeaderMap, uri: &Uri) -> Counted {
    let query = uri.query().unwrap_or_default();
    let in_query = query.split('&').any(|pair| SIGNED.iter().any(|name| pair.starts_with(name)));
    if headers.contains_key(header::AUTHORIZATION) || in_query {
        Counted::Unproven
    } else {
        Counted::Stranger
    }
}

/// Counts a request that came from there; gives what it is answered with when it came too early.
pub(super) fn refused(app: &App, counted: Counted, from: Option<Address>) -> Option<Response> {
    let from = from?;
    let now = app.surroundings.now_unix_ms();
    let share = match counted {
        Counted::Stranger => app.s3_quotas.of_stranger(from, now),
        Counted::Unproven => app.s3_quotas.of_address(from, now),
    };
    share.refusal().map(|(seconds, why)| slow_down(seconds, &why))
}

/// Nobody signed it after all, whatever it showed: it is counted as what it is.
///
/// # Errors
/// `SlowDown`.
pub(super) fn of_nobody(app: &App, counted: (Counted, Option<Address>)) -> Result<(), S3Error> {
    let (Counted::Unproven, Some(from)) = counted else { return Ok(()) };
    app.s3_quotas.give_back(from);
    allowed(app.s3_quotas.of_stranger(from, app.surroundings.now_unix_ms()))
}

/// Whom a key counts as: its owner, folded. Keys of the administrator's file are everybody's who was given one, and count each by itself;
/// their ids are in capital letters, so no owner is called so.
pub(super) fn counts_as(key: &AccessKeyId, owner: &str) -> String {
    if owner.eq_ignore_ascii_case(FILE_OWNER) { key.to_string() } else { owner.to_ascii_lowercase() }
}

/// The signature is right: whom its key counts as is counted in place of its address.
///
/// # Errors
/// `SlowDown`.
pub(super) fn of_key(
    app: &App,
    (key, owner): (&AccessKeyId, &str),
    counted: (Counted, Option<Address>),
) -> Result<(), S3Error> {
    if let (Counted::Unproven, Some(from)) = counted {
        app.s3_quotas.give_back(from);
    }
    allowed(app.s3_quotas.of_known(&counts_as(key, owner), app.surroundings.now_unix_ms()))
}

fn allowed(share: Share) -> Result<(), S3Error> {
    share.refusal().map_or(Ok(()), |(_, why)| Err(S3Error::with_message(S3ErrorCode::SlowDown, why)))
}

/// The refusal, which says when to come again.
fn slow_down(seconds: u64, why: &str) -> Response {
    let mut response = document(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
