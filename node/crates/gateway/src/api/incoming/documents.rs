//! Bodies that are a small JSON document, or small.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use tokio::time::timeout;

use super::too_large;
use crate::limits;
use crate::problem::{Kind, Problem};

/// Bytes of the place of an error in a body that are told; what the client made longer it knows.
const PATH_BYTES_MAX: usize = 256;

/// Reads a small JSON document.
pub(in crate::api) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    parse(&document(headers, body).await?)
}

/// Reads a JSON document of somebody who needs to be nobody.
pub(in crate::api) async fn json_of_stranger<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    is_json(headers)?;
    parse(&at_most(limits::STRANGERS_JSON_BYTES_MAX, body).await?)
}

/// Reads a small JSON document that may as well be left out.
pub(in crate::api) async fn json_or_default<T>(headers: &HeaderMap, body: Body) -> Result<T, Problem>
where
    T: DeserializeOwned + Default,
{
    match small(body).await? {
        bytes if bytes.is_empty() => Ok(T::default()),
        bytes => {
            is_json(headers)?;
            parse(&bytes)
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Derived readers take a list for an object's fields, in their order: nothing that is promised.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::new(Kind::InvalidBody, "send a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| wrong(&error))?;
    reader.end().map_err(|error| Problem::new(Kind::InvalidBody, error.to_string()))?;
    Ok(read)
}

/// What is wrong with a document, and where in it.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let steps = error.path().iter().filter_map(|step| match step {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(escaped(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    let path = steps.collect::<Vec<_>>().join("/");
    let problem = Problem::new(Kind::InvalidBody, error.inner().to_string());
    if path.is_empty() || path.len() > PATH_BYTES_MAX { problem } else { problem.in_body(path) }
}

/// A name as a step of a JSON pointer (RFC 6901).
pub(in crate::api) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

async fn document(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    is_json(headers)?;
    small(body).await
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(kind) = headers.get(header::CONTENT_TYPE)
        && !kind.to_str().is_ok_and(|kind| kind.starts_with("application/json"))
    {
        return Err(Problem::new(Kind::InvalidBody, "send `Content-Type: application/json`")
            .in_header("Content-Type"));
    }
    Ok(())
}

/// Reads a body that is small.
pub(in crate::api) async fn small(body: Body) -> Result<Bytes, Problem> {
    at_most(limits::JSON_BYTES_MAX, body).await
}

async fn at_most(bytes_max: usize, body: Body) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, bytes_max).collect();
    match timeout(limits::BODY_STALL, limited).await {
        Err(_) => Err(Problem::new(Kind::BodyIncomplete, "the body took too long")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(too_large(u64::try_from(bytes_max).unwrap_or(u64::MAX)))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BodyIncomplete, "the connection broke")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_an_object_and_what_is_wrong_in_it_has_a_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Document {
            numbers: Vec<u8>,
        }
        assert_eq!(parse::<Document>(b" {\"numbers\": [1]} ").unwrap().numbers, [1]);
        for wrong in [b"[[1]]" as &[u8], b"", b"{\"numbers\": [1]} {}"] {
            assert_eq!(parse::<Document>(wrong).unwrap_err().kind(), Kind::InvalidBody);
        }
        let wrong = parse::<Document>(b"{\"numbers\": [1, \"x\"]}").unwrap_err();
        assert!(format!("{wrong:?}").contains("numbers/1"), "{wrong:?}");
    }
}
