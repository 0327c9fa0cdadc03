//! What a request without a signature may not say, whatever policies allow; and its body in chunks, which the library would take for data.

use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, HeaderValue, Uri, header};
use s3s::{S3Result, s3_error};

use super::chunks::Frames;
use super::coverage::is_unsigned;
use super::fields::at_rest;
use super::intake::Intake;

/// Parameters that make the answer another one.
const OVERRIDES: &str = "response-";
/// Say that the body is in chunks.
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const TRAILER: &str = "x-amz-trailer";
const PAYLOAD_HASH: &str = "x-amz-content-sha256";
const STREAMING: &[u8] = b"STREAMING-";
/// The one kind of chunks that nothing has to sign.
const UNDOABLE: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Undoes the chunks of a request that nobody signs, as SDKs send what has a checksum behind it; from here on it is one without chunks.
pub(super) fn undo(request: &mut Request, intake: &Arc<Intake>) {
    let (headers, uri) = (request.headers(), request.uri());
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bytes = said(DECODED_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let all = said(PAYLOAD_HASH) == Some(UNDOABLE) && headers.contains_key(TRAILER);
    let Some(bytes) = bytes.filter(|_| all && is_unsigned(headers, uri)) else { return };
    let codings = headers.get_all(header::CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let encoding = at_rest(Some(&codings.collect::<Vec<_>>().join(",")));
    let (frames, trailers) = Frames::undone();
    let headers = request.headers_mut();
    for name in [PAYLOAD_HASH, DECODED_LENGTH, header::CONTENT_ENCODING.as_str()] {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    if let Some(Ok(encoding)) = encoding.filter(|encoding| !encoding.is_empty()).map(HeaderValue::try_from) {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    request.extensions_mut().insert(trailers);
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = frames.guard(body, Arc::clone(intake));
}

/// Refuses it. `undone`: its chunks were undone.
///
/// # Errors
/// `InvalidRequest` where it wants other headers in the answer than the object has: whoever makes up a URL would have it shown as a
/// page. `NotImplemented` where the body is in chunks that are not undone: frames are no data.
pub(super) fn only_plain(headers: &HeaderMap, uri: &Uri, undone: bool) -> S3Result<()> {
    let decoded = |pair: &str| percent_encoding::percent_decode_str(pair).decode_utf8_lossy().into_owned();
    if uri.query().is_some_and(|query| query.split('&').any(|pair| decoded(pair).starts_with(OVERRIDES))) {
        return Err(s3_error!(InvalidRequest, "sign the request to have other headers in the answer"));
    }
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|value| {
        String::from_utf8_lossy(value.as_bytes()).split(',').any(|coding| coding.trim() == "aws-chunked")
    });
    let streaming = headers.get(PAYLOAD_HASH).is_some_and(|hash| hash.as_bytes().starts_with(STREAMING));
    let trailer = headers.contains_key(TRAILER) && !undone;
    if encoded || streaming || headers.contains_key(DECODED_LENGTH) || trailer {
        return Err(s3_error!(
            NotImplemented,
            "without a signature a body in chunks (aws-chunked) is STREAMING-UNSIGNED-PAYLOAD-TRAILER, and says \
             x-amz-decoded-content-length and x-amz-trailer"
        ));
    }
    Ok(())
}
