//! The HTTPS listener: bounded in connections, header sizes and patience.

mod addressed;
mod certificate;
mod connections;
mod protocols;
mod stall;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::limits;
use addressed::Addressed;
use protocols::{Offer, Protocols};
use stall::StallGuard;

pub(crate) use certificate::Certificates;
pub(crate) use connections::Connections;

/// Window of one HTTP/2 stream and of a connection: a transfer over a slow line is not cut short by 64 KiB steps, and
/// uploads that wait for their buffers hold little more than an HTTP/1.1 connection does.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
const FRAME_BYTES: u32 = 128 << 10;
/// Pause after `accept` failed: the system has no descriptors left, and asking again at once would not help.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// A bound listener.
pub(crate) struct Https {
    listener: TcpListener,
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
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let protocols = Protocols::new(certificates).map_err(BindError::Tls)?;
        Ok(Self { listener, local_addr, protocols, connections })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stop`, then lets running requests end within the drain time.
    pub(crate) async fn run(self, router: Router, stop: CancellationToken) {
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
            let Some((stream, from, permit)) = accepted else { continue };
            let service = Addressed { router: TowerToHyperService::new(router.clone()), from };
            let serve = serve(self.protocols.offer(), stream, service, stop.clone());
            tasks.spawn(async move {
                serve.await;
                drop(permit);
            });
        }
        drop(self.listener);
        let drained = timeout(limits::DRAIN_WAIT, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(left = tasks.len(), "requests still run after the drain time; they are cut off");
        }
        tasks.shutdown().await;
    }

    /// The next connection, once there is room for it: what comes above the limit waits in the system's queue.
    async fn accept(&self) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
        let permit = self.connections.place().await?;
        match self.listener.accept().await {
            Ok((stream, from)) => Some((stream, from.ip(), permit)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

async fn serve(offer: Offer, stream: TcpStream, service: Addressed, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = StallGuard::new(stream, limits::WRITE_STALL);
    let stream = match timeout(limits::HEADER_WAIT, offer.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    // Told apart by ALPN, not by the first bytes: a client that sends none is then met by the protocol's own timer.
    let h2 = stream.get_ref().1.alpn_protocol() == Some(protocols::HTTP2);
    let _one_of_http2 = offer.http2.filter(|_| h2);
    let builder = if h2 { builder().http2_only() } else { builder().http1_only() };
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_WAIT)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX);
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
    builder
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
