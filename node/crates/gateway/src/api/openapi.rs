//! The API told to programs and people: `/api/v1/openapi.json`, `/api/v1/docs`, and `docs/openapi.json` of the repository. All of it is
//! made of the table of routes and the types that requests and answers are of.

mod document;
mod operation;
mod page;
mod parameters;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

pub use document::document;
pub(super) use operation::{Operation, does};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
static PAGE: LazyLock<Bytes> = LazyLock::new(|| page::of(&document()).into());

/// The page has a style of its own and nothing else: no script, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn answer(kind: &'static str, body: &'static LazyLock<Bytes>) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, LazyLock::force(body).clone()).into_response()
}

/// `GET /api/v1/openapi.json`: the same for all, whoever asks; it tells nothing of the cluster.
pub(super) async fn json() -> Response {
    answer("application/json", &DOCUMENT)
}

/// `GET /api/v1/docs`: the same, to read.
pub(super) async fn page() -> Response {
    answer("text/html; charset=utf-8", &PAGE)
}
