//! What every answer to who has a link carries, whatever became of the request.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, header};

use crate::problem::Problem;

/// What is shared is somebody's own bytes under our name: it is saved, never shown, loads and runs nothing, is kept by no cache,
/// found by no search, and tells no other site the link that it came by.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
];

/// The answer, with all of them.
pub(super) fn guarded(answer: Result<Response, Problem>) -> Response {
    let mut answer = answer.into_response();
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, value);
    }
    answer
}
