//! A socket read through an aligned buffer: rustls asks for 4 KiB at a time, the kernel is asked for 128 KiB.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffers::{ALIGNMENT, aligned_start};

/// Bytes asked of the kernel at once: eight TLS records. Measured in docs/adr/0003-bulk-transport.md.
pub(crate) const READ_BYTES: usize = 128 << 10;

/// Reads ahead into an aligned buffer; writes go straight through.
pub(crate) struct AlignedReader<S> {
    inner: S,
    storage: Vec<u8>,
    start: usize,
    /// What is read and not yet handed out, from `start` on.
    filled: std::ops::Range<usize>,
}

impl<S> AlignedReader<S> {
    pub(crate) fn new(inner: S) -> Self {
        let storage = vec![0; READ_BYTES + ALIGNMENT];
        let start = aligned_start(&storage);
        Self { inner, storage, start, filled: 0..0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AlignedReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.filled.is_empty() {
            if out.remaining() >= READ_BYTES {
                return Pin::new(&mut this.inner).poll_read(cx, out);
            }
            let mut space = ReadBuf::new(&mut this.storage[this.start..this.start + READ_BYTES]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut space))?;
            this.filled = 0..space.filled().len();
        }
        let len = this.filled.len().min(out.remaining());
        let from = this.start + this.filled.start;
        out.put_slice(&this.storage[from..from + len]);
        this.filled.start += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AlignedReader<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_come_through_in_order_at_any_read_size() {
        let (near, mut far) = tokio::io::duplex(8 << 10);
        let sent: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
        let copy = sent.clone();
        let send = async move { far.write_all(&copy).await.unwrap() };
        let receive = async move {
            let mut reader = AlignedReader::new(near);
            let mut got = vec![0; 300_000];
            let (mut at, mut step) = (0, 1);
            while at < got.len() {
                let end = (at + step).min(got.len());
                reader.read_exact(&mut got[at..end]).await.unwrap();
                (at, step) = (end, step * 2 + 1);
            }
            got
        };
        assert!(tokio::join!(send, receive).1 == sent);
    }
}
