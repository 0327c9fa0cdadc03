//! What a request without a signature may not say, whatever policies allow.

use http::{HeaderMap, Uri, header};
use s3s::{S3Result, s3_error};

/// Parameters that make the answer another one.
const OVERRIDES: &str = "response-";
/// Say that the body is in chunks.
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const TRAILER: &str = "x-amz-trailer";
const PAYLOAD_HASH: &str = "x-amz-content-sha256";
const STREAMING: &[u8] = b"STREAMING-";

/// Refuses it.
///
/// # Errors
/// `InvalidRequest` where it wants other headers in the answer than the object has: whoever makes up a URL would have it shown as a
/// page. `NotImplemented` where the body is in chunks: the library undoes those of signed requests only, and frames are no data.
pub(super) fn only_plain(headers: &HeaderMap, uri: &Uri) -> S3Result<()> {
    let decoded = |pair: &str| percent_encoding::percent_decode_str(pair).decode_utf8_lossy().into_owned();
    if uri.query().is_some_and(|query| query.split('&').any(|pair| decoded(pair).starts_with(OVERRIDES))) {
        return Err(s3_error!(InvalidRequest, "sign the request to have other headers in the answer"));
    }
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|value| {
        String::from_utf8_lossy(value.as_bytes()).split(',').any(|coding| coding.trim() == "aws-chunked")
    });
    let streaming = headers.get(PAYLOAD_HASH).is_some_and(|hash| hash.as_bytes().starts_with(STREAMING));
    if encoded || streaming || headers.contains_key(DECODED_LENGTH) || headers.contains_key(TRAILER) {
        return Err(s3_error!(
            NotImplemented,
            "a body in chunks (aws-chunked) must be signed: send it as it is, with a checksum in a header or none"
        ));
    }
    Ok(())
}
