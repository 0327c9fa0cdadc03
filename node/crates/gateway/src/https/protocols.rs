//! Which versions of HTTP a client is offered: both, as long as there is room for one more connection with HTTP/2.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::{Certificates, Connections};

/// HTTP/2 by its name in ALPN.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The TLS of a listener.
pub(super) struct Protocols {
    both: TlsAcceptor,
    http1: TlsAcceptor,
}

/// To one connection.
pub(super) struct Offer {
    pub(super) acceptor: TlsAcceptor,
    /// Room for HTTP/2, if it is offered: to be kept while it is spoken.
    pub(super) http2: Option<OwnedSemaphorePermit>,
}

impl Protocols {
    pub(super) fn new(certificates: Arc<Certificates>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut http1 = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        http1.alpn_protocols = vec![HTTP1.to_vec()];
        let mut both = http1.clone();
        both.alpn_protocols.insert(0, HTTP2.to_vec());
        Ok(Self { both: TlsAcceptor::from(Arc::new(both)), http1: TlsAcceptor::from(Arc::new(http1)) })
    }

    pub(super) fn offer(&self, connections: &Connections) -> Offer {
        let http2 = connections.place_of_http2();
        let acceptor = if http2.is_some() { &self.both } else { &self.http1 };
        Offer { acceptor: acceptor.clone(), http2 }
    }
}
