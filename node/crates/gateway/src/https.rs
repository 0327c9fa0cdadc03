//! The HTTPS listener: bounded in connections, header sizes and patience.

mod addressed;
mod certificate;
mod connections;
mod idle;
mod listen;
mod protocols;
mod stall;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::limits;
use addressed::Addressed;
use idle::{Count, HeadTimer};
use listen::Tcp;
use protocols::{Offer, Protocols};
use stall::StallGuard;

pub(crate) use certificate::Certificates;
pub(crate) use connections::Connections;

/// Window of one HTTP/2 stream and of a connection: a transfer over a slow line is not cut short by 64 KiB steps, and
/// uploads that wait for their buffers hold little more than an HTTP/1.1 connection does.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
const FRAME_BYTES: u32 = 128 << 10;

/// A bound listener.
pub(crate) struct Https<L = Tcp> {
    listener: L,
    local_addr: SocketAddr,
    protocols: Protocols,
    connections: Connections,
}

impl Https {
    /// Binds; nothing is accepted before [`Self::run`].
    pub(crate) async fn bind(
        address: SocketAddr,
        certificates: Arc<Certificates>,
        connections: Connections,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { address, source };
        let listener = Tcp(TcpListener::bind(address).await.map_err(failed)?);
        let local_addr = listener.local_addr().map_err(failed)?;
        Self::over(listener, local_addr, certificates, connections).map_err(BindError::Tls)
    }
}

impl<L: Listener<Addr = SocketAddr>> Https<L> {
    /// Serves whom this listener lets in.
    pub(crate) fn over(
        listener: L,
        local_addr: SocketAddr,
        certificates: Arc<Certificates>,
        connections: Connections,
    ) -> Result<Self, rustls::Error> {
        let protocols = Protocols::new(certificates)?;
        Ok(Self { listener, local_addr, protocols, connections })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stop`, then lets running requests end within the drain time.
    pub(crate) async fn run(mut self, router: Router, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!("a connection's task panicked");
                    }
                    continue;
                }
                accepted = self.accept() => accepted,
            };
            let Some((stream, from, place)) = accepted else { continue };
            let router = TowerToHyperService::new(router.clone());
            let service = Addressed { router, from, requests: Count::default() };
            let offer = self.protocols.offer(&self.connections);
            tasks.spawn(serve((offer, self.connections.clone(), place), stream, service, stop.clone()));
        }
        drop(self.listener);
        let drained = timeout(limits::DRAIN_WAIT, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(left = tasks.len(), "requests still run after the drain time; they are cut off");
        }
        tasks.shutdown().await;
    }

    /// The next connection, once there is room for it: what comes above the limit waits in the system's queue.
    async fn accept(&mut self) -> Option<(L::Io, IpAddr, OwnedSemaphorePermit)> {
        let place = self.connections.place().await?;
        let (stream, from) = self.listener.accept().await;
        Some((stream, from.ip(), place))
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    (offer, connections, place): (Offer, Connections, OwnedSemaphorePermit),
    stream: S,
    service: Addressed,
    stop: CancellationToken,
) {
    let _taken = place;
    let stream = StallGuard::new(stream, limits::WRITE_STALL);
    let (heard, requests) = (stream.heard(), Arc::clone(&service.requests));
    let stream = match timeout(limits::HEADER_WAIT, offer.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    // Told apart by ALPN, not by the first bytes: a client that sends none is then met by the protocol's own timer.
    let h2 = stream.get_ref().1.alpn_protocol() == Some(protocols::HTTP2);
    let _one_of_http2 = offer.http2.filter(|_| h2);
    let mut builder = Builder::new(TokioExecutor::new());
    let builder = if h2 {
        http2(&mut builder);
        builder.http2_only()
    } else {
        http1(&mut builder, HeadTimer::new(heard, connections.crowded()));
        builder.http1_only()
    };
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = idle::quiet(&requests), if h2 => {
            connection.as_mut().graceful_shutdown();
            if requests.load(Ordering::Relaxed) == 0 {
                // Not even the preface may have come, and hyper waits for that without end.
                let _ = timeout(limits::HEADER_WAIT, connection).await;
                return;
            }
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn http1(builder: &mut Builder<TokioExecutor>, timer: HeadTimer) {
    builder
        .http1()
        .timer(timer)
        .header_read_timeout(limits::HEADER_WAIT)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX);
}

fn http2(builder: &mut Builder<TokioExecutor>) {
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits::HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .keep_alive_interval(limits::WRITE_STALL / 3)
        .keep_alive_timeout(limits::HEADER_WAIT);
}

/// Why the listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
}
