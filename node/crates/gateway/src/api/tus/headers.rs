//! What requests say in headers.

use datamesh_shard::limits::OBJECT_BYTES_MAX;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{LENGTH, MEDIA_TYPE, METADATA, OFFSET, RESUMABLE, VERSION, VERSIONS};
use crate::objects::UploadMetadata;
use crate::problem::{Kind, Problem};

/// Ways of uploading that are not offered: whoever took them for this one would store something else.
const NOT_OFFERED: [&str; 2] = ["Upload-Defer-Length", "Upload-Concat"];

/// Whether the client speaks this version.
pub(super) fn speaks(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(RESUMABLE).is_some_and(|version| version == VERSION) {
        return Ok(());
    }
    let problem = Problem::new(Kind::UnsupportedVersion, format!("send `Tus-Resumable: {VERSION}`"));
    Err(problem.in_header("Tus-Resumable").header(VERSIONS, HeaderValue::from_static(VERSION)))
}

/// How long the whole will be.
pub(super) fn length(headers: &HeaderMap) -> Result<u64, Problem> {
    for name in NOT_OFFERED {
        if headers.contains_key(name) {
            return Err(Problem::request_header(name, "this extension is not offered: see OPTIONS"));
        }
    }
    let length = number(headers, &LENGTH, "Upload-Length")?;
    if length > OBJECT_BYTES_MAX {
        let detail = format!("an upload has at most {OBJECT_BYTES_MAX} bytes");
        return Err(Problem::new(Kind::TooLarge, detail).in_header("Upload-Length"));
    }
    Ok(length)
}

/// Where the client thinks that the upload is.
pub(super) fn offset(headers: &HeaderMap) -> Result<u64, Problem> {
    number(headers, &OFFSET, "Upload-Offset")
}

fn number(headers: &HeaderMap, name: &HeaderName, called: &'static str) -> Result<u64, Problem> {
    let wrong = || Problem::request_header(called, "it is needed, and is a number of bytes");
    let text = headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(wrong)?;
    // `+1` is a number for some.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// What is said of the object to be.
pub(super) fn metadata(headers: &HeaderMap) -> Result<UploadMetadata, Problem> {
    let mut given = headers.get_all(METADATA).iter();
    let text = given.next().map_or(Ok(""), HeaderValue::to_str);
    let (Ok(text), None) = (text, given.next()) else {
        return Err(Problem::request_header("Upload-Metadata", "send it once, in ASCII"));
    };
    Ok(UploadMetadata::parse(text)?)
}

/// Whether the body is said to be bytes that go behind others.
pub(super) fn is_appended(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MEDIA_TYPE) {
        return Ok(());
    }
    Err(Problem::new(Kind::WrongMediaType, format!("send `Content-Type: {MEDIA_TYPE}`"))
        .in_header("Content-Type"))
}
