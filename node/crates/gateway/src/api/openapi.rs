//! The API told to programs and people: `/api/v1/openapi.json`, `/api/v1/docs`, and `docs/openapi.json` of the repository. All of it is
//! made of the table of routes and the types that requests and answers are of.

mod document;
mod operation;
mod page;
mod parameters;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::conditional::{self, Read};
use crate::problem::Problem;

pub use document::document;
pub(super) use operation::{Operation, does};

/// What is sent, with its entity tag.
struct Text {
    bytes: Bytes,
    etag: String,
}

impl Text {
    fn new(text: String) -> Self {
        Self { etag: blake3::hash(text.as_bytes()).to_hex().to_string(), bytes: text.into() }
    }
}

static DOCUMENT: LazyLock<Text> = LazyLock::new(|| Text::new(document().to_string()));
static PAGE: LazyLock<Text> = LazyLock::new(|| Text::new(page::of(&document())));

/// The page has a style of its own and nothing else: no script, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// It is large, and changes with the gateway's version alone: whoever has it is not sent it again.
fn answer(asked: &HeaderMap, kind: &'static str, text: &'static Text) -> Result<Response, Problem> {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=300")),
        (header::ETAG, conditional::quoted(&text.etag)?),
    ];
    Ok(match conditional::of_read(asked, &text.etag)? {
        Read::NotModified => (StatusCode::NOT_MODIFIED, headers).into_response(),
        Read::Send | Read::SendWhole => (headers, text.bytes.clone()).into_response(),
    })
}

/// `GET /api/v1/openapi.json`: the same for all, whoever asks; it tells nothing of the cluster.
pub(super) async fn json(headers: HeaderMap) -> Result<Response, Problem> {
    answer(&headers, "application/json", &DOCUMENT)
}

/// `GET /api/v1/docs`: the same, to read.
pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    answer(&headers, "text/html; charset=utf-8", &PAGE)
}
