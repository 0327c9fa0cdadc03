//! TLS 1.3 with raw Ed25519 public keys (RFC 7250) on both sides: no names, no authorities, the key is the identity.

use std::sync::Arc;

use datamesh_settings::BulkEncryption;
use datamesh_shard::PeerKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::identity::{Identity, peer_of_spki};

/// The protocol with everything in TLS; a later wire format takes another number.
const ALPN_EVERYTHING: &[u8] = b"datamesh-bulk/1";
/// The same frames, with TLS left after the greeting (see [`crate::wire`]).
const ALPN_REQUESTS: &[u8] = b"datamesh-bulk/1-requests";
/// Stands where TLS wants a server name; never sent, never looked at.
const NO_NAME: &str = "peer.invalid";
/// Takes any Ed25519 key its owner can sign with, or just the expected one.
#[derive(Debug)]
struct KeyVerifier {
    expected: Option<PeerKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyVerifier {
    fn check(&self, key: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let peer = peer_of_spki(key).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if !chain.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        match self.expected {
            Some(expected) if expected != peer => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
    }
}

/// TLS 1.2 is not offered; this is never reached by a correct peer.
fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled))
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn verifier(provider: &CryptoProvider, expected: Option<PeerKey>) -> Arc<KeyVerifier> {
    Arc::new(KeyVerifier { expected, algorithms: provider.signature_verification_algorithms })
}

fn own_key(identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    let pkcs8 = identity.pkcs8();
    let key = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&pkcs8[..]))?;
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(identity.spki())], key)))
}

/// How to reach one peer: `expected` is its key, if known beforehand.
///
/// # Errors
/// None that a well-formed identity can cause; rustls's own otherwise.
pub(crate) fn client_config(
    identity: &Identity,
    expected: Option<PeerKey>,
    encryption: BulkEncryption,
) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(&provider, expected);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own_key(identity)?)));
    config.alpn_protocols = protocols(encryption);
    config.enable_sni = false;
    // A resumed session would carry an identity past a change of membership.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// How to take connections: from whoever proves a key; what the key may do is decided per request.
///
/// # Errors
/// None that a well-formed identity can cause; rustls's own otherwise.
pub(crate) fn server_config(
    identity: &Identity,
    encryption: BulkEncryption,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(&provider, None);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own_key(identity)?)));
    config.alpn_protocols = protocols(encryption);
    // Nothing follows the handshake but what was asked for: see `Wire::greeted`.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The name handed to rustls where it wants one.
///
/// # Errors
/// None: the text is a constant.
pub(crate) fn no_name() -> Result<ServerName<'static>, Error> {
    ServerName::try_from(NO_NAME).map_err(|_| Error::General("constant server name".into()))
}

/// Who is on the other side, and whether it speaks this protocol.
pub(crate) fn peer_of<D>(session: &rustls::ConnectionCommon<D>) -> Option<PeerKey> {
    if ![ALPN_EVERYTHING, ALPN_REQUESTS].contains(&session.alpn_protocol()?) {
        return None;
    }
    peer_of_spki(session.peer_certificates()?.first()?)
}

/// Whether both sides agreed to leave TLS after the greeting.
pub(crate) fn seals_requests_only<D>(session: &rustls::ConnectionCommon<D>) -> bool {
    session.alpn_protocol() == Some(ALPN_REQUESTS)
}

/// What is offered or taken, best first. Whoever wants everything in TLS gets it, whatever the other wants.
fn protocols(encryption: BulkEncryption) -> Vec<Vec<u8>> {
    let agreed: &[&[u8]] = match encryption {
        BulkEncryption::Everything => &[ALPN_EVERYTHING],
        BulkEncryption::Requests => &[ALPN_REQUESTS, ALPN_EVERYTHING],
    };
    agreed.iter().map(|protocol| protocol.to_vec()).collect()
}
