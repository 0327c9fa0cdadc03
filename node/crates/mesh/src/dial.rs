//! Making one authenticated connection to a peer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_buffers::{Payload, Place, Pool};
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_settings::BulkEncryption;
use datamesh_shard::limits::{MESSAGE_BYTES_MAX, SHARD_BYTES_MAX};
use datamesh_shard::{Incarnation, PeerKey};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::Identity;
use crate::tls;
use crate::trust::{Caller, NotTrusted, Trust};
use crate::wire::{Channel, FrameLimits, Wire, WireError};

/// Patience with connecting and proving who one is, both together.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

const RESPONSE_LIMITS: FrameLimits =
    FrameLimits { head_bytes: MESSAGE_BYTES_MAX, payload_bytes: SHARD_BYTES_MAX };

/// Why no connection to a peer came to be.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not reached.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The handshake failed: another key than expected, another protocol, or no TLS at all.
    #[error("TLS with {address}: {source}")]
    Tls {
        /// Where to.
        address: SocketAddr,
        /// rustls's reason.
        source: io::Error,
    },
    /// The other side showed no Ed25519 key or speaks another protocol.
    #[error("{0} does not speak this version's bulk protocol")]
    Protocol(SocketAddr),
    /// No answer in time.
    #[error("{0} did not answer within {CONNECT_TIMEOUT:?}")]
    Timeout(SocketAddr),
    /// The conversation broke.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The other side does not prove what it must.
    #[error("peer {peer:?} is not trusted: {source}")]
    NotTrusted {
        /// Its key.
        peer: PeerKey,
        /// What it lacks.
        source: NotTrusted,
    },
    /// The other side does not let us in.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// rustls does not take the configuration.
    #[error("TLS configuration: {0}")]
    Config(#[from] rustls::Error),
}

/// Whom a connection must lead to.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    /// The holder of this key.
    Peer(PeerKey),
    /// Anyone with a gateway's certificate of the cluster: before joining, a node knows no more.
    Gateway,
}

/// Who connects and what it trusts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) identity: Identity,
    pub(crate) trust: Arc<Trust>,
    pub(crate) incarnation: Incarnation,
    pub(crate) buffers: Pool,
    pub(crate) encryption: BulkEncryption,
}

/// One authenticated connection: one request at a time.
pub(crate) struct Link {
    wire: Wire<Channel<TlsStream<TcpStream>>>,
    /// Who is on the other side.
    pub(crate) peer: Caller,
    /// The own certificate shown on it, if any, holds until then.
    pub(crate) own_until_unix: u64,
    pub(crate) used: Instant,
}

impl Dialer {
    /// The TLS side of reaching `expect`; made once per peer.
    pub(crate) fn config(&self, expect: &Expect) -> Result<Arc<ClientConfig>, rustls::Error> {
        let key = match expect {
            Expect::Peer(key) => Some(*key),
            Expect::Gateway => None,
        };
        tls::client_config(&self.identity, key, self.encryption)
    }

    /// Connects, proves both sides and exchanges Hello.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        expect: &Expect,
        config: Arc<ClientConfig>,
    ) -> Result<Link, DialError> {
        let dialing = Box::pin(self.dial_patiently(address, expect, config));
        tokio::time::timeout(CONNECT_TIMEOUT, dialing).await.map_err(|_| DialError::Timeout(address))?
    }

    async fn dial_patiently(
        &self,
        address: SocketAddr,
        expect: &Expect,
        config: Arc<ClientConfig>,
    ) -> Result<Link, DialError> {
        let connect = |source| DialError::Connect { address, source };
        let stream = TcpStream::connect(address).await.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let stream = TlsConnector::from(config)
            .connect(tls::no_name()?, stream)
            .await
            .map_err(|source| DialError::Tls { address, source })?;
        let Some(peer) = tls::peer_of(stream.get_ref().1) else {
            return Err(DialError::Protocol(address));
        };
        let wire = Wire::new(Channel::Left(stream), self.buffers.clone());
        let mut link = Link { wire, peer: Caller::stranger(peer), own_until_unix: 0, used: Instant::now() };
        self.hello(&mut link, expect).await?;
        Ok(Link { wire: link.wire.greeted()?, ..link })
    }

    /// Exchanges certificates; also the liveness probe of a connection at rest.
    pub(crate) async fn hello(&self, link: &mut Link, expect: &Expect) -> Result<(), DialError> {
        let (certificate, until) = match self.trust.own() {
            Some((bytes, until)) => (Some(bytes), until),
            None => (None, u64::MAX),
        };
        let hello = Request::Hello { certificate, incarnation: self.incarnation };
        let (certificate, incarnation) = match link.exchange(&hello, &Bytes::new(), &mut None).await? {
            (Response::Hello { certificate, incarnation }, _) => (certificate, incarnation),
            (Response::Refused(refusal), _) => return Err(DialError::Refused(refusal)),
            _ => return Err(WireError::Unexpected("to Hello").into()),
        };
        let peer = link.peer.peer;
        let untrusted = |source| DialError::NotTrusted { peer, source };
        link.peer = self.trust.accepts(peer, certificate.as_deref(), incarnation).map_err(untrusted)?;
        if matches!(expect, Expect::Gateway) && !link.peer.is_gateway() {
            return Err(untrusted(NotTrusted::NoGateway));
        }
        // Whom the caller expects by key is believed for it; its incarnation counts all the same.
        self.trust.observe(peer, incarnation).map_err(untrusted)?;
        link.own_until_unix = until;
        Ok(())
    }
}

impl Link {
    /// One request and its answer, whose payload goes into `place` if it fills that. After an error, or when dropped half-way, the
    /// connection is of no more use.
    pub(crate) async fn exchange(
        &mut self,
        request: &Request,
        payload: &Bytes,
        place: &mut Option<Place>,
    ) -> Result<(Response, Payload), WireError> {
        let start = request.encode(payload.len())?;
        self.wire.write(&start, payload).await?;
        let first = self.wire.first_byte().await?;
        let start = self.wire.read_start(first, RESPONSE_LIMITS).await?;
        let response = Response::decode(&start.head)?;
        start.check_payload(response.payload_bytes_max())?;
        let payload = self.receive(start.payload_bytes, place).await?;
        self.used = Instant::now();
        Ok((response, payload))
    }

    async fn receive(&mut self, bytes: usize, place: &mut Option<Place>) -> Result<Payload, WireError> {
        if let Some(there) = place.as_mut().filter(|place| place.len() == bytes) {
            self.wire.read_into(there.as_mut()).await?;
            // Not before: what fails half-way may be asked for on another connection.
            if let Some(there) = place.take() {
                return Ok(Payload::There(there));
            }
        }
        Ok(Payload::Elsewhere(self.wire.read_payload(bytes).await?))
    }

    pub(crate) async fn close(mut self) {
        self.wire.close().await;
    }
}
