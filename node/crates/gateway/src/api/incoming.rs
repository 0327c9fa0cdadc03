//! Request bodies: bounded in size and patience.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::limits;
use crate::problem::{Kind, Problem};

/// A body read piece by piece.
pub(crate) struct Incoming {
    body: Body,
    stall: Duration,
    bytes_max: u64,
    arrived: u64,
    taken: u64,
    announced: Option<u64>,
    rest: Bytes,
}

impl Incoming {
    /// A body of at most `bytes_max`; an announced length above that is refused before a byte is read.
    pub(crate) fn new(body: Body, bytes_max: u64) -> Result<Self, Problem> {
        let announced = body.size_hint().exact();
        if announced.is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_large(bytes_max));
        }
        Ok(Self {
            body,
            stall: limits::BODY_STALL,
            bytes_max,
            arrived: 0,
            taken: 0,
            announced,
            rest: Bytes::new(),
        })
    }

    /// Bytes still to come, if the client said how many there are.
    pub(crate) fn left(&self) -> Option<u64> {
        self.announced.map(|announced| announced.saturating_sub(self.taken))
    }

    /// Waits until there is something to take; false at the body's end.
    pub(crate) async fn more(&mut self) -> Result<bool, Problem> {
        if self.rest.is_empty() {
            self.rest = self.next().await?.unwrap_or_default();
        }
        Ok(!self.rest.is_empty())
    }

    /// Fills `buffer` as far as the body goes; fewer bytes mean that it ended.
    pub(crate) async fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        let mut filled = 0;
        while filled < buffer.len() {
            if !self.more().await? {
                break;
            }
            let part = self.rest.split_to(self.rest.len().min(buffer.len() - filled));
            buffer[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
            self.taken = self.taken.saturating_add(len_of(&part));
        }
        Ok(filled)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = match timeout(self.stall, self.body.frame()).await {
                Err(_) => {
                    let seconds = self.stall.as_secs();
                    return Err(Problem::new(
                        Kind::BodyIncomplete,
                        format!("the body stalled for {seconds} s"),
                    ));
                }
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    frame.map_err(|_| Problem::new(Kind::BodyIncomplete, "the connection broke"))?
                }
            };
            let Ok(bytes) = frame.into_data() else { continue };
            self.arrived = self.arrived.saturating_add(len_of(&bytes));
            if self.arrived > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

fn len_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("at most {bytes_max} bytes are taken here"))
}

/// Reads a small JSON document.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    parse(&document(headers, body).await?)
}

/// Reads a small JSON document that may as well be left out.
pub(super) async fn json_or_default<T>(headers: &HeaderMap, body: Body) -> Result<T, Problem>
where
    T: DeserializeOwned + Default,
{
    match document(headers, body).await? {
        bytes if bytes.is_empty() => Ok(T::default()),
        bytes => parse(&bytes),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::new(Kind::InvalidBody, error.to_string()))
}

async fn document(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    if let Some(kind) = headers.get(header::CONTENT_TYPE)
        && !kind.to_str().is_ok_and(|kind| kind.starts_with("application/json"))
    {
        return Err(
            Problem::new(Kind::InvalidBody, "send `Content-Type: application/json`").field("Content-Type")
        );
    }
    let limited = Limited::new(body, limits::JSON_BYTES_MAX).collect();
    match timeout(limits::BODY_STALL, limited).await {
        Err(_) => Err(Problem::new(Kind::BodyIncomplete, "the body took too long")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(too_large(u64::try_from(limits::JSON_BYTES_MAX).unwrap_or(u64::MAX)))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BodyIncomplete, "the connection broke")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}
