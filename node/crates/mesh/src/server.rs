//! The server side: takes connections, lets each prove who it is, and hands its requests to a [`Handler`] one by one.

mod conversation;
mod strangers;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_buffers::Pool;
use datamesh_exchange::message::{Request, Response};
use datamesh_settings::BulkEncryption;
use datamesh_shard::Incarnation;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use strangers::{STRANGERS_MAX, STRANGERS_PER_SOURCE_MAX};

use crate::identity::Identity;
use crate::tls;
use crate::trust::{Caller, Trust};
use crate::wire::receive_buffers;
use strangers::Strangers;

/// Connections at a time at most, of all peers together: a thousand peers may each keep one, and a few gateways eight
/// each, within 100 MiB of TLS buffers.
pub const CONNECTIONS_MAX: usize = 1024;
/// Payload bytes being received or handled at a time at most, over all connections; more waits in the senders' sockets.
pub const INBOUND_BYTES_MAX: usize = 64 << 20;
/// Unit of that budget.
const BUDGET_UNIT: usize = 64 << 10;
/// After a failed accept (out of file descriptors, for one) the next waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests. Hello is answered before it gets here.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The payload is not proven: outside TLS anybody on the way may have changed it, so whoever takes it
    /// holds it against what the request says of it. `from` has proven its key; whether it may ask this is the handler's to say. A caller that is
    /// not [`Caller::is_known`] gets here with [`Request::Join`] alone.
    fn handle(
        &self,
        from: Caller,
        request: Request,
        payload: Bytes,
    ) -> impl Future<Output = (Response, Bytes)> + Send;

    /// Whether a payload of this request is received at all. Asked before room is taken for it, of which there is so much for all
    /// callers together: who is refused cannot take it from the others.
    fn takes_payload(&self, from: &Caller, request: &Request) -> bool {
        let _ = (from, request);
        true
    }
}

/// Why a server could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is not to be had.
    #[error("cannot listen on {address} for bulk connections: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// rustls does not take the configuration.
    #[error("TLS configuration: {0}")]
    Config(#[from] rustls::Error),
}

/// What all connections share.
struct Shared<H> {
    handler: H,
    trust: Arc<Trust>,
    incarnation: Incarnation,
    tls: Arc<ServerConfig>,
    buffers: Pool,
    connections: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    inbound: Semaphore,
}

/// A bound bulk server.
pub struct BulkServer<H> {
    listener: TcpListener,
    local_addr: SocketAddr,
    shared: Arc<Shared<H>>,
}

impl<H: Handler> BulkServer<H> {
    /// Listens on `listen` (port 0: any) as `identity`; `incarnation` is what it says of itself.
    ///
    /// # Errors
    /// Names the address that is not to be had.
    pub async fn bind(
        listen: SocketAddr,
        identity: &Identity,
        trust: Arc<Trust>,
        incarnation: Incarnation,
        handler: H,
    ) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { address: listen, source };
        let tls = tls::server_config(identity, BulkEncryption::default())?;
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            handler,
            trust,
            incarnation,
            tls,
            buffers: receive_buffers(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            strangers: Arc::default(),
            inbound: Semaphore::new(INBOUND_BYTES_MAX / BUDGET_UNIT),
        });
        Ok(Self { listener, local_addr, shared })
    }

    /// The same, with what is to be encrypted between processes; `identity` as before.
    ///
    /// # Errors
    /// rustls's.
    pub fn encrypting(
        mut self,
        identity: &Identity,
        encryption: BulkEncryption,
    ) -> Result<Self, ServerError> {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.tls = tls::server_config(identity, encryption)?;
        }
        Ok(self)
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until stopped, then lets the request each connection is at come to its end.
    pub async fn run(self, stop: CancellationToken) {
        let mut conversations = JoinSet::new();
        while let Some((stream, from, permit)) = self.accept(&stop, &mut conversations).await {
            let shared = self.shared.clone();
            let stop = stop.clone();
            conversations.spawn(async move {
                conversation::hold(&shared, stream, from, stop).await;
                drop(permit);
            });
        }
        drop(self.listener);
        while conversations.join_next().await.is_some() {}
    }

    /// The next connection, once there is room for it; `None` when stopped.
    async fn accept(
        &self,
        stop: &CancellationToken,
        conversations: &mut JoinSet<()>,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = stop.run_until_cancelled(self.shared.connections.clone().acquire_owned()).await?.ok()?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                Some(_) = conversations.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => return Some((stream, from, permit)),
                    Err(error) => {
                        tracing::warn!(%error, "accepting a bulk connection");
                        stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await?;
                    }
                },
            }
        }
    }
}
