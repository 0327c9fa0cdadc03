//! The certificate an administrator gives for the gateway: whether the operator and clients will trust it, asked before
//! anything is changed. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error as TlsError, InconsistentKeys};

use crate::secrets;

/// What is wrong with the Secret; the sentence begins with its name. A parser's own words about the key are left out:
/// they may quote it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsProblem {
    /// No such Secret.
    #[error("does not exist in this namespace")]
    Absent,
    /// A field is missing, empty or binary.
    #[error("has no field {0} with PEM text")]
    NoField(&'static str),
    /// A field without a certificate.
    #[error("has no certificate in its field {0}")]
    NoCertificate(&'static str),
    /// No key the gateway could sign with.
    #[error("has no private key (RSA, ECDSA or Ed25519, not encrypted) in its field tls.key")]
    NoKey,
    /// Key and certificate are not a pair.
    #[error("has a tls.key that does not belong to the first certificate in its tls.crt")]
    NoPair,
    /// The operator asks the gateway by this name.
    #[error(
        "has a certificate in tls.crt that does not name the gateway's Service: add {0} to its subject alternative names"
    )]
    Name(String),
    /// No chain from the certificate to the CA.
    #[error(
        "has a certificate in tls.crt that the CA in ca.crt did not sign: give that CA, and intermediate certificates behind the first in tls.crt"
    )]
    Issuer,
    /// Too late.
    #[error("has a certificate in tls.crt that has expired: renew it")]
    Expired,
    /// Anything else a client would refuse.
    #[error("has a certificate in tls.crt that clients refuse: {0}")]
    Refused(TlsError),
}

/// Checks the Secret `given` for a gateway that is called `host`.
pub(super) fn check(given: Option<&Secret>, host: &str, now: UnixTime) -> Result<(), TlsProblem> {
    let given = given.ok_or(TlsProblem::Absent)?;
    let field = |name: &'static str| secrets::text_of(given, name).ok_or(TlsProblem::NoField(name));
    let (certificate, key, ca) = (field("tls.crt")?, field("tls.key")?, field("ca.crt")?);
    let chain = certificates(&certificate, "tls.crt")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    check_pair(chain.clone(), &key, &provider)?;
    let roots = roots(certificates(&ca, "ca.crt")?)?;
    check_trust(&chain, roots, host, now, provider)
}

fn certificates(pem: &str, field: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(TlsProblem::NoCertificate(field))
}

fn check_pair(
    chain: Vec<CertificateDer<'static>>,
    key: &str,
    provider: &CryptoProvider,
) -> Result<(), TlsProblem> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsProblem::NoKey)?;
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(_) => Ok(()),
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(TlsProblem::NoPair),
        Err(TlsError::InvalidCertificate(_)) => Err(TlsProblem::NoCertificate("tls.crt")),
        Err(_) => Err(TlsProblem::NoKey),
    }
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|_| TlsProblem::NoCertificate("ca.crt"))?;
    }
    Ok(roots)
}

/// As the operator's own client does it when it asks the gateway.
fn check_trust(
    chain: &[CertificateDer<'static>],
    roots: RootCertStore,
    host: &str,
    now: UnixTime,
    provider: Arc<CryptoProvider>,
) -> Result<(), TlsProblem> {
    let (leaf, intermediates) = chain.split_first().ok_or(TlsProblem::NoCertificate("tls.crt"))?;
    let name = ServerName::try_from(host).map_err(|_| TlsProblem::Name(host.to_owned()))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| TlsProblem::NoCertificate("ca.crt"))?;
    let verified = verifier.verify_server_cert(leaf, intermediates, &name, &[], now);
    verified.map(|_| ()).map_err(|error| match error {
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => TlsProblem::Name(host.to_owned()),
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            TlsProblem::Issuer
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            TlsProblem::Expired
        }
        error => TlsProblem::Refused(error),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::civil::{Date, date};

    use super::*;
    use crate::certificates::{issue, make_ca};

    const HOST: &str = "demo-gateway.datamesh.svc";

    fn day(today: Date) -> UnixTime {
        let noon = today.at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let seconds = u64::try_from(noon.timestamp().as_second()).unwrap();
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    }

    fn today() -> Date {
        date(2030, 1, 1)
    }

    /// tls.crt, tls.key and ca.crt of a gateway with these names, made at the start of 2030.
    fn parts(names: &[&str]) -> [String; 3] {
        let ca = make_ca("Their CA", None, today()).unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let leaf = issue("Their CA", &ca.key, &names, today()).unwrap();
        [leaf.certificate, leaf.key.to_string(), ca.certificate]
    }

    fn secret([certificate, key, ca]: &[String; 3]) -> Secret {
        let fields = [("tls.crt", certificate.as_str()), ("tls.key", key), ("ca.crt", ca)];
        Secret { data: secrets::data(&fields), ..Secret::default() }
    }

    /// A Secret that will do for the cluster of the fixtures, and a time at which it does.
    pub(crate) fn good() -> (Secret, UnixTime) {
        (secret(&parts(&["files.example.org", HOST])), day(date(2030, 2, 1)))
    }

    fn problem(parts: &[String; 3], now: UnixTime) -> String {
        check(Some(&secret(parts)), HOST, now).expect_err("a problem").to_string()
    }

    #[test]
    fn a_whole_secret_will_do() {
        let (secret, now) = good();
        check(Some(&secret), HOST, now).unwrap();
    }

    #[test]
    fn each_field_must_be_there_and_hold_what_it_says() {
        let now = day(date(2030, 2, 1));
        assert!(check(None, HOST, now).unwrap_err().to_string().contains("does not exist"));
        let whole = parts(&[HOST]);
        for (n, field) in ["tls.crt", "tls.key", "ca.crt"].into_iter().enumerate() {
            let mut bare = whole.clone();
            bare[n] = String::new();
            assert_eq!(problem(&bare, now), format!("has no field {field} with PEM text"));
            let mut junk = whole.clone();
            junk[n] = "-----BEGIN JUNK never show this".to_owned();
            let said = problem(&junk, now);
            assert!(said.contains(field) && !said.contains("never show"), "{said}");
        }
    }

    #[test]
    fn key_certificate_and_ca_must_belong_together() {
        let now = day(date(2030, 2, 1));
        let ([certificate, key, ca], [_, other_key, other_ca]) = (parts(&[HOST]), parts(&[HOST]));
        let no_pair = [certificate.clone(), other_key, ca.clone()];
        assert!(problem(&no_pair, now).contains("tls.key that does not belong"));
        assert!(problem(&[certificate, key, other_ca], now).contains("the CA in ca.crt did not sign"));
    }

    #[test]
    fn the_certificate_must_name_the_service_and_be_in_time() {
        let elsewhere = problem(&parts(&["files.example.org"]), day(date(2030, 2, 1)));
        assert!(elsewhere.contains(&format!("add {HOST} to its subject alternative names")), "{elsewhere}");
        assert!(problem(&parts(&[HOST]), day(date(2031, 1, 1))).contains("has expired"));
        assert!(problem(&parts(&[HOST]), day(date(2029, 1, 1))).contains("clients refuse"));
    }
}
