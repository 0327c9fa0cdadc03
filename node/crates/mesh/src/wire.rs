//! Frames over one stream: eight bytes of lengths, a head, a raw payload. Lengths are checked before anything is
//! allocated for them.
//!
//! A connection begins in TLS. Where both sides agreed to it in the handshake, it leaves TLS after the first Hello was
//! answered: heads are sealed by keys of that handshake from then on ([`seals`]), payloads travel as they are. They are
//! shards, sealed by the gateway and proven by whoever takes them.

#[cfg(test)]
mod decoders;
mod seals;

use std::io::{self, IoSlice};

use bytes::Bytes;
use datamesh_buffers::Pool;
use datamesh_exchange::frame::{FRAME_HEADER_BYTES, FrameError, FrameHeader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::tls;
pub use seals::NotSealed;
pub(crate) use seals::Side;
use seals::{Seals, TAG_BYTES};

/// Bytes read ahead outside TLS: lengths and head come with one system call, payloads go by it.
const READ_AHEAD_BYTES: usize = 4096;
/// Bytes kept for the next payload at most: 32 of the usual shards of 1 MiB; beyond it buffers are given back.
const RECEIVED_BYTES_KEPT: usize = 32 << 20;

/// Where payloads land for which nobody has given a place.
pub(crate) fn receive_buffers() -> Pool {
    Pool::keeping(RECEIVED_BYTES_KEPT)
}

/// What one side takes at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    pub(crate) head_bytes: usize,
    pub(crate) payload_bytes: usize,
}

/// A frame's lengths, within their limits, and its head. The payload is still to be read.
#[derive(Debug)]
pub(crate) struct FrameStart {
    pub(crate) head: Vec<u8>,
    pub(crate) payload_bytes: usize,
}

impl FrameStart {
    /// Checks the payload's length once the head says what it may be.
    pub(crate) fn check_payload(&self, max: usize) -> Result<(), WireError> {
        within("payload", self.payload_bytes, max).map(|_| ())
    }
}

/// Why a frame could not be sent or received. The connection is of no more use after any of these.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream failed or ended.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The other side ended the connection between two frames.
    #[error("the peer closed the connection")]
    Closed,
    /// The frame or its head cannot be read, or written within its limits.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame announces more than it may.
    #[error("frame of {found} bytes of {part} where at most {max} are taken")]
    TooLarge {
        /// Head or payload.
        part: &'static str,
        /// What the frame announces.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// Somebody else's head, or one that was changed on the way.
    #[error(transparent)]
    Sealed(#[from] NotSealed),
    /// rustls gave no keys.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A message that does not fit the conversation.
    #[error("unexpected answer: {0}")]
    Unexpected(&'static str),
}

/// One stream that carries frames.
pub(crate) struct Wire<S> {
    stream: S,
    buffers: Pool,
    seals: Option<Box<Seals>>,
}

/// TLS, or what it was agreed to leave it for.
pub(crate) type Channel<T> = Either<T, BufReader<TcpStream>>;

/// TLS over TCP, of either side.
pub(crate) trait Tls: AsyncRead + AsyncWrite + Unpin {
    /// Whether both sides agreed to leave it.
    fn is_to_be_left(&self) -> bool;

    /// The connection under it, and keys of its handshake.
    ///
    /// # Errors
    /// rustls's, before the handshake is done.
    fn leave(self) -> Result<(TcpStream, Seals), rustls::Error>;
}

impl Tls for tokio_rustls::client::TlsStream<TcpStream> {
    fn is_to_be_left(&self) -> bool {
        tls::seals_requests_only(self.get_ref().1)
    }

    fn leave(self) -> Result<(TcpStream, Seals), rustls::Error> {
        let seals = Seals::of(self.get_ref().1, Side::Client)?;
        Ok((self.into_inner().0, seals))
    }
}

impl Tls for tokio_rustls::server::TlsStream<TcpStream> {
    fn is_to_be_left(&self) -> bool {
        tls::seals_requests_only(self.get_ref().1)
    }

    fn leave(self) -> Result<(TcpStream, Seals), rustls::Error> {
        let seals = Seals::of(self.get_ref().1, Side::Server)?;
        Ok((self.into_inner().0, seals))
    }
}

impl<T: Tls> Wire<Channel<T>> {
    /// After the first Hello was answered: leaves TLS if that was agreed. Neither side has said anything more by then: the
    /// client waits for that answer, and the server for the next request.
    pub(crate) fn greeted(self) -> Result<Self, WireError> {
        let Self { stream, buffers, seals } = self;
        match stream {
            Either::Left(tls) if tls.is_to_be_left() => {
                let (stream, seals) = tls.leave()?;
                let stream = Either::Right(BufReader::with_capacity(READ_AHEAD_BYTES, stream));
                Ok(Self { stream, buffers, seals: Some(Box::new(seals)) })
            }
            stream => Ok(Self { stream, buffers, seals }),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, buffers: Pool) -> Self {
        Self { stream, buffers, seals: None }
    }

    /// Whether payloads are protected too.
    pub(crate) fn is_in_tls(&self) -> bool {
        self.seals.is_none()
    }

    /// Waits for the first byte of a frame, so that a caller can give waiting and receiving different patience.
    pub(crate) async fn first_byte(&mut self) -> Result<u8, WireError> {
        let mut byte = [0];
        if self.stream.read(&mut byte).await? == 0 {
            return Err(WireError::Closed);
        }
        Ok(byte[0])
    }

    /// Reads lengths and head of the frame that begins with `first`.
    pub(crate) async fn read_start(
        &mut self,
        first: u8,
        limits: FrameLimits,
    ) -> Result<FrameStart, WireError> {
        let mut lengths = [first; FRAME_HEADER_BYTES];
        self.stream.read_exact(&mut lengths[1..]).await?;
        let header = FrameHeader::decode(lengths);
        // What nobody has proven yet says nothing about what the peer meant.
        let header = if self.seals.is_some() { header.map_err(|_| NotSealed)? } else { header? };
        let head_bytes = within("head", header.head_bytes(), limits.head_bytes)?;
        let payload_bytes = within("payload", header.payload_bytes(), limits.payload_bytes)?;
        let tag_bytes = if self.seals.is_some() { TAG_BYTES } else { 0 };
        let mut head = vec![0; head_bytes + tag_bytes];
        self.stream.read_exact(&mut head).await?;
        if let Some(seals) = &mut self.seals {
            head = seals.open(&lengths, head)?;
        }
        Ok(FrameStart { head, payload_bytes })
    }

    /// Reads a payload into an aligned, pooled buffer. `len` has passed [`Wire::read_start`].
    pub(crate) async fn read_payload(&mut self, len: usize) -> Result<Bytes, WireError> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = self.buffers.take(len);
        self.read_into(buffer.as_mut()).await?;
        Ok(buffer.freeze())
    }

    /// Reads a payload of just that length.
    pub(crate) async fn read_into(&mut self, place: &mut [u8]) -> Result<(), WireError> {
        self.stream.read_exact(place).await?;
        Ok(())
    }

    /// Writes lengths and head (`start`) and the payload, together and without copying the payload.
    pub(crate) async fn write(&mut self, start: &[u8], payload: &[u8]) -> Result<(), WireError> {
        let sealed = self.seals.as_mut().map(|seals| seals.seal(start)).transpose()?;
        let (mut start, mut payload) = (sealed.as_deref().unwrap_or(start), payload);
        while !start.is_empty() {
            let written = self.stream.write_vectored(&[IoSlice::new(start), IoSlice::new(payload)]).await?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            let of_start = written.min(start.len());
            start = &start[of_start..];
            payload = &payload[written - of_start..];
        }
        self.stream.write_all(payload).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Says goodbye. Errors are of no interest any more.
    pub(crate) async fn close(&mut self) {
        if let Err(error) = self.stream.shutdown().await {
            tracing::trace!(%error, "closing a connection");
        }
    }
}

fn within(part: &'static str, found: usize, max: usize) -> Result<usize, WireError> {
    if found > max { Err(WireError::TooLarge { part, found, max }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_taken_for_a_frame_that_is_too_large() {
        let limits = FrameLimits { head_bytes: 64, payload_bytes: 1000 };
        for (head, payload, fits) in [(65_u32, 0_u32, false), (10, 1001, false), (64, 1000, true)] {
            let (near, mut far) = tokio::io::duplex(4096);
            let buffers = receive_buffers();
            let mut wire = Wire::new(near, buffers.clone());
            far.write_all(&head.to_le_bytes()).await.unwrap();
            far.write_all(&payload.to_le_bytes()).await.unwrap();
            far.write_all(&[0; 64]).await.unwrap();
            let first = wire.first_byte().await.unwrap();
            let start = wire.read_start(first, limits).await;
            assert_eq!(start.is_ok(), fits, "{start:?}");
            if let Err(error) = start {
                assert!(matches!(error, WireError::TooLarge { .. }), "{error}");
                let mut unread = [0; 64];
                wire.stream.read_exact(&mut unread).await.unwrap();
                assert_eq!(buffers.idle_bytes(), 0);
            }
        }
    }

    #[tokio::test]
    async fn lengths_that_nobody_proved_are_no_message_of_the_peer() {
        for seals in [None, Some(Box::new(Seals::for_tests()))] {
            let (near, mut far) = tokio::io::duplex(4096);
            let mut wire = Wire { seals, ..Wire::new(near, receive_buffers()) };
            far.write_all(&[0; FRAME_HEADER_BYTES]).await.unwrap();
            let first = wire.first_byte().await.unwrap();
            let limits = FrameLimits { head_bytes: 300, payload_bytes: 10_000 };
            let error = wire.read_start(first, limits).await.unwrap_err();
            assert_eq!(matches!(error, WireError::Sealed(_)), wire.seals.is_some(), "{error}");
            assert_eq!(matches!(error, WireError::Frame(_)), wire.seals.is_none(), "{error}");
        }
    }

    #[tokio::test]
    async fn start_and_payload_arrive_whole_through_a_narrow_pipe() {
        let (near, far) = tokio::io::duplex(100);
        let (mut sender, mut receiver) =
            (Wire::new(near, receive_buffers()), Wire::new(far, receive_buffers()));
        let payload: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut start = vec![];
        start.extend(300_u32.to_le_bytes());
        start.extend(10_000_u32.to_le_bytes());
        start.extend([5; 300]);
        let sending = sender.write(&start, &payload);
        let receiving = async {
            let first = receiver.first_byte().await.unwrap();
            let limits = FrameLimits { head_bytes: 300, payload_bytes: 10_000 };
            let start = receiver.read_start(first, limits).await.unwrap();
            (start.head, receiver.read_payload(start.payload_bytes).await.unwrap())
        };
        let (sent, (head, received)) = tokio::join!(sending, receiving);
        sent.unwrap();
        assert!(head == [5; 300] && received == payload);
    }
}
