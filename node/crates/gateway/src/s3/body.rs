//! Bodies on their way in and out.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures::TryStreamExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::dto::StreamingBlob;
use s3s::stream::ByteStream as _;
use s3s::{S3Result, StdError, s3_error};
use tokio::time::{Instant, Sleep};

use super::chunks::Wrong;
use crate::api::{Incoming, Refused};
use crate::limits;
use crate::problem::Kind;

/// A request's body: the library undoes chunks and signatures piece by piece, the rest is as with every other put.
pub(super) fn incoming(
    blob: Option<StreamingBlob>,
    bytes: Option<i64>,
    bytes_max: u64,
) -> S3Result<Incoming> {
    // Chunks say themselves how long they are without their frames; the header is of what travels, or is not there.
    let inside = blob.as_ref().and_then(|blob| blob.remaining_length().exact());
    let bytes = inside.and_then(|bytes| u64::try_from(bytes).ok()).or_else(|| u64::try_from(bytes?).ok());
    let bytes = bytes.ok_or_else(|| s3_error!(MissingContentLength, "say how long the body is"))?;
    let body = blob.map_or_else(Body::empty, |blob| Body::from_stream(blob.map_err(refused)));
    Ok(Incoming::announced(body, bytes, bytes_max)?)
}

/// An answer's body.
pub(super) fn outgoing(body: Body) -> StreamingBlob {
    StreamingBlob::from(s3s::Body::http_body_unsync(body))
}

/// What the library says of a body that is not what was signed. Its errors have no public types, so their names are read.
fn refused(error: StdError) -> Refused {
    let text = error.to_string();
    if let Some(wrong) = Wrong::told_in(&text) {
        wrong.refused()
    } else if text.contains("SignatureMismatch") {
        Refused(Kind::Unauthorized, "the signature of a chunk does not match")
    } else if text.contains("Sha256Mismatch") {
        Refused(Kind::BadDigest, "the body does not have the hash of x-amz-content-sha256")
    } else if text.contains("FormatError") {
        Refused(Kind::InvalidBody, "the body is not in chunks of aws-chunked")
    } else {
        Refused(Kind::BodyIncomplete, "the connection broke, or the body ended early")
    }
}

/// A body that fails once it has brought nothing for too long: the library waits for documents without end.
pub(super) struct Patient {
    body: Body,
    /// What is known of its length.
    bytes: SizeHint,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) fn new(body: Body, bytes: SizeHint) -> Self {
        Self { body, bytes, waiting: None }
    }
}

/// A body that stalled.
#[derive(Debug, thiserror::Error)]
#[error("the body stalled")]
pub(super) struct Stalled;

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            let came = came.map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            if let Some(bytes) = self.bytes.exact() {
                self.bytes = SizeHint::with_exact(bytes.saturating_sub(came));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(StdError::from)));
        }
        let timer = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limits::BODY_STALL)));
        timer.as_mut().poll(cx).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    /// One that brings so many pieces, each after such a while.
    fn dripping(pieces: usize, pause: Duration) -> Patient {
        let pieces = futures::stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, StdError>(Bytes::from_static(b"<"))
        });
        Patient::new(Body::from_stream(pieces), SizeHint::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_ends_and_one_that_drips_is_read_whole() {
        let second = Duration::from_secs(1);
        let whole = dripping(10, limits::BODY_STALL - second).collect().await.unwrap();
        assert_eq!(whole.to_bytes().len(), 10, "patience begins anew with each piece");
        let began = Instant::now();
        let error = dripping(10, limits::BODY_STALL + second).collect().await.unwrap_err();
        assert!(error.is::<Stalled>(), "{error}");
        assert_eq!(began.elapsed().as_secs(), limits::BODY_STALL.as_secs());
    }
}
