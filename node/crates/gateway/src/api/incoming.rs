//! Request bodies: bounded in size and patience.

mod documents;

use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits;
use crate::objects::refusals;
use crate::pipeline::ReadError;
use crate::problem::{Kind, Problem};

pub(super) use documents::{escaped, json, json_of_stranger, json_or_default, small};

/// Looks at a body as it passes, and says at its end whether it is the one that was meant.
pub(crate) trait Witness: Send {
    /// The next bytes.
    fn see(&mut self, bytes: &[u8]);

    /// The body has ended. Asked once.
    fn judge(&mut self) -> Result<Told, Problem>;
}

/// What a witness found out, to be kept with the object.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The entity tag, where the body's own is known.
    pub(crate) etag: Option<String>,
    /// Fields of the object's metadata, such as checksums.
    pub(crate) fields: Vec<(String, String)>,
}

/// Hands what is known of bytes on that were stored before, and looks at nothing: a read has proven them already.
pub(crate) struct Inherited(pub(crate) Option<Told>);

impl Witness for Inherited {
    fn see(&mut self, _: &[u8]) {}

    fn judge(&mut self) -> Result<Told, Problem> {
        Ok(self.0.take().unwrap_or_default())
    }
}

/// Why whoever hands a body in gives no more of it.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
pub(crate) struct Refused(pub(crate) Kind, pub(crate) &'static str);

/// A body read piece by piece.
pub(crate) struct Incoming {
    body: Body,
    stall: Duration,
    fill_wait: Duration,
    bytes_max: u64,
    arrived: u64,
    taken: u64,
    announced: Option<u64>,
    /// A stream that has ended is not asked for more.
    has_ended: bool,
    rest: Bytes,
    witness: Option<Box<dyn Witness>>,
    told: Told,
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
            fill_wait: limits::SEGMENT_WAIT,
            bytes_max,
            arrived: 0,
            taken: 0,
            announced,
            has_ended: false,
            rest: Bytes::new(),
            witness: None,
            told: Told::default(),
        })
    }

    /// A body of which something else says how long it is.
    pub(crate) fn announced(body: Body, bytes: u64, bytes_max: u64) -> Result<Self, Problem> {
        if bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        Ok(Self { announced: Some(bytes), ..Self::new(body, bytes_max)? })
    }

    /// Gives it up when it brings nothing for so long.
    pub(crate) fn stalling(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    /// Has somebody look at it: a body that is not what was meant ends with their problem.
    pub(crate) fn witnessed(self, witness: Box<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// What the witness found out, once the body has ended.
    pub(crate) fn told(&mut self) -> Told {
        std::mem::take(&mut self.told)
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

    /// Fills `buffer` as far as the body goes; fewer bytes mean that it ended. A client that drips is given up: the
    /// buffer is everybody's.
    pub(crate) async fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        let (bytes, seconds) = (buffer.len(), self.fill_wait.as_secs());
        match timeout(self.fill_wait, self.fill_slowly(buffer)).await {
            Ok(filled) => filled,
            Err(_) => Err(Problem::new(
                Kind::BodyIncomplete,
                format!(
                    "{bytes} bytes took longer than {seconds} s; send the object in parts (POST /api/v1/uploads), which \
                     go on where they stopped"
                ),
            )),
        }
    }

    async fn fill_slowly(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        let mut filled = 0;
        while filled < buffer.len() && self.more().await? {
            filled += self.take(&mut buffer[filled..]);
        }
        Ok(filled)
    }

    /// Fills `buffer` for so long, and gives how far it came, whatever ended it. Fewer bytes than it has room for mean that the time is
    /// over, or the body, which [`Incoming::more`] tells; or that it broke off, which is told here.
    pub(crate) async fn gather(&mut self, buffer: &mut [u8], wait: Duration) -> (usize, Result<(), Problem>) {
        let (until, mut filled) = (Instant::now() + wait, 0);
        while filled < buffer.len() {
            match timeout_at(until, self.more()).await {
                Ok(Ok(true)) => filled += self.take(&mut buffer[filled..]),
                Ok(Ok(false)) | Err(_) => break,
                Ok(Err(problem)) => return (filled, Err(problem)),
            }
        }
        (filled, Ok(()))
    }

    /// Moves what has arrived, as far as it fits.
    fn take(&mut self, room: &mut [u8]) -> usize {
        let part = self.rest.split_to(self.rest.len().min(room.len()));
        room[..part.len()].copy_from_slice(&part);
        self.taken = self.taken.saturating_add(len_of(&part));
        part.len()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.has_ended {
            let frame = match timeout(self.stall, self.body.frame()).await {
                Err(_) => {
                    let seconds = self.stall.as_secs();
                    return Err(Problem::new(
                        Kind::BodyIncomplete,
                        format!("the body stalled for {seconds} s"),
                    ));
                }
                // An HTTP/2 stream may end in good order before all that was announced has come.
                Ok(None) if self.announced.is_some_and(|announced| announced != self.arrived) => {
                    return Err(Problem::new(
                        Kind::BodyIncomplete,
                        "the body ended before its announced length",
                    ));
                }
                Ok(None) => {
                    self.has_ended = true;
                    if let Some(mut witness) = self.witness.take() {
                        self.told = witness.judge()?;
                    }
                    return Ok(None);
                }
                Ok(Some(frame)) => frame.map_err(broken)?,
            };
            let Ok(bytes) = frame.into_data() else { continue };
            self.arrived = self.arrived.saturating_add(len_of(&bytes));
            if self.arrived > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            // Whoever stores it makes room for what is to come: for more there is none.
            if self.announced.is_some_and(|announced| announced < self.arrived) {
                return Err(Problem::new(
                    Kind::BodyIncomplete,
                    "the body goes on behind its announced length",
                ));
            }
            if let Some(witness) = &mut self.witness {
                witness.see(&bytes);
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// What a stream failed with: a body of it wraps that twice.
fn cause(error: axum::Error) -> BoxError {
    let mut error = error.into_inner();
    loop {
        error = match error.downcast::<axum::Error>() {
            Ok(inner) => inner.into_inner(),
            Err(error) => return error,
        };
    }
}

fn broken(error: axum::Error) -> Problem {
    let error = match cause(error).downcast::<Refused>() {
        Ok(refused) => return Problem::new(refused.0, refused.1),
        Err(error) => error,
    };
    match error.downcast::<ReadError>() {
        // The body is a copy's source: no fault of whoever asked for the copy.
        Ok(error) => refusals::read(*error),
        Err(_) => Problem::new(Kind::BodyIncomplete, "the connection broke"),
    }
}

fn len_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("at most {bytes_max} bytes are taken here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::PageError;

    fn of(body: Body, announced: Option<u64>) -> Incoming {
        Incoming { announced, ..Incoming::new(body, 1 << 20).unwrap() }
    }

    #[tokio::test]
    async fn a_body_that_drips_is_given_up() {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let mut body = of(Body::from_stream(drops), None);
        body.fill_wait = Duration::from_millis(50);
        let refused = body.fill(&mut [0; 1000]).await.unwrap_err();
        assert!(format!("{refused:?}").contains("/api/v1/uploads"), "{refused:?}");
    }

    /// A body that brings a byte each second.
    fn dripping() -> Body {
        Body::from_stream(futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_in_time_is_gathered_and_the_rest_comes_later() {
        let (mut body, mut buffer) = (of(dripping(), None), [0; 100]);
        for _ in 0..2 {
            let (came, ended) = body.gather(&mut buffer, Duration::from_millis(10_200)).await;
            assert!(ended.is_ok() && came == 10 && buffer[..came].iter().all(|byte| *byte == b'x'));
        }
        let (came, ended) =
            body.stalling(Duration::from_millis(500)).gather(&mut buffer, Duration::from_secs(60)).await;
        assert_eq!(
            (came, ended.unwrap_err().kind()),
            (0, Kind::BodyIncomplete),
            "it brought nothing for too long"
        );
        let cut = [Ok(Bytes::from_static(b"01234")), Err(std::io::Error::other("reset"))];
        let mut cut = of(Body::from_stream(futures::stream::iter(cut)), Some(10));
        let (came, ended) = cut.gather(&mut buffer, Duration::from_secs(60)).await;
        assert_eq!((&buffer[..came], ended.unwrap_err().kind()), (&b"01234"[..], Kind::BodyIncomplete));
    }

    /// Of a body that ends with this half way.
    async fn kind_of(error: impl Into<BoxError> + Send + 'static) -> Kind {
        let pieces = [Ok(Bytes::from_static(b"01234")), Err(error)];
        let body = Body::from_stream(futures::stream::iter(pieces));
        of(body, Some(10)).fill(&mut [0; 10]).await.unwrap_err().kind()
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused_for_what_broke_it() {
        let source = || ReadError::Page(PageError::Taken);
        assert_eq!(kind_of(source()).await, refusals::read(source()).kind(), "as a read of a copy's source");
        assert_eq!(kind_of(Refused(Kind::Unauthorized, "a chunk")).await, Kind::Unauthorized);
        assert_eq!(kind_of(std::io::Error::other("reset")).await, Kind::BodyIncomplete);
    }

    #[tokio::test]
    async fn a_body_that_ends_early_or_goes_on_is_not_what_was_announced() {
        for wrong in [0, 9, 11, 100] {
            let refused = of(Body::from("0123456789"), Some(wrong)).fill(&mut [0; 1000]).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::BodyIncomplete, "{wrong}");
        }
        assert!(
            of(Body::from("0123456789"), Some(0)).more().await.is_err(),
            "nobody finds that there is more"
        );
        assert_eq!(of(Body::from("0123456789"), Some(10)).fill(&mut [0; 1000]).await.unwrap(), 10);
    }
}
