//! Answers of text, made shorter for clients that take that. A route's answers are as they are unless the table of routes says
//! otherwise: how long a compressed answer is tells something of what is in it, so none that shows a secret may be.

use std::sync::Arc;

use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::MethodRouter;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate as _, SizeAbove};

use super::App;
use super::openapi::Operation;

/// Bytes of an answer from which on it is compressed: below that it costs more than it saves.
const BYTES_MIN: u16 = 1024;

/// What answers, with answers compressed where its operation says that they may be.
pub(super) fn of(answers: MethodRouter<Arc<App>>, says: &Operation) -> MethodRouter<Arc<App>> {
    if !says.is_compressed {
        return answers;
    }
    let succeeded = |status: StatusCode, _: Version, _: &HeaderMap, _: &http::Extensions| status.is_success();
    // The fastest: others win a tenth, and take several times as long and megabytes for each.
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(BYTES_MIN).and(succeeded));
    answers.layer(compression).layer(map_response(negotiated))
}

/// Says that the answer depends on what is taken, also where it is short or has no body. Its entity tag stands for what it says, not
/// for these very bytes: it is a weak one.
async fn negotiated(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_name(header::ACCEPT_ENCODING));
    if let Some(tag) = headers.get_mut(header::ETAG)
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        *tag = weak;
    }
    answer
}
