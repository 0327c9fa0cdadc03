//! The cluster's own CA and the gateway's certificate. Dates are passed in; keys come from the operating system.

use jiff::ToSpan as _;
use jiff::civil::Date;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use zeroize::Zeroizing;

/// Years a CA is valid. Clients keep its certificate, so it outlives many leaves.
const CA_YEARS: i32 = 10;
/// Days before its end at which a CA is renewed, with the same key, so that clients with the old one go on.
const CA_RENEW_DAYS: i32 = 365;
/// Days a gateway's certificate is valid.
const LEAF_DAYS: i32 = 90;
/// Days before its end at which a gateway's certificate is renewed.
const LEAF_RENEW_DAYS: i32 = 30;
/// Days a certificate is valid before it was made, for clocks that are late.
const CLOCK_SKEW_DAYS: i32 = 1;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// Key, names or signature.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A date out of the calendar.
    #[error("cannot date a certificate: {0}")]
    Date(#[from] jiff::Error),
}

/// A certificate and its key, PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: Zeroizing<String>,
    pub(crate) not_after: Date,
}

/// Makes the CA named `name`, with `key` if there is one.
pub(crate) fn make_ca(name: &str, key: Option<&str>, today: Date) -> Result<Issued, CertificateError> {
    let key = match key {
        Some(pem) => KeyPair::from_pem(pem)?,
        None => KeyPair::generate()?,
    };
    let not_after = today.checked_add(CA_YEARS.years())?;
    let mut params = ca_params(name);
    valid(&mut params, today.checked_sub(CLOCK_SKEW_DAYS.days())?, not_after);
    let certificate = params.self_signed(&key)?.pem();
    Ok(Issued { certificate, key: Zeroizing::new(key.serialize_pem()), not_after })
}

/// Makes a server certificate for `names` (DNS names and addresses), signed by the CA named `ca_name` with `ca_key`.
pub(crate) fn issue(
    ca_name: &str,
    ca_key: &str,
    names: &[String],
    today: Date,
) -> Result<Issued, CertificateError> {
    let issuer = Issuer::new(ca_params(ca_name), KeyPair::from_pem(ca_key)?);
    let key = KeyPair::generate()?;
    let not_after = today.checked_add(LEAF_DAYS.days())?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name(names.first().map_or("gateway", String::as_str));
    valid(&mut params, today.checked_sub(CLOCK_SKEW_DAYS.days())?, not_after);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Issued { certificate, key: Zeroizing::new(key.serialize_pem()), not_after })
}

/// Whether a CA valid to `not_after` shall be renewed; one without a readable date shall.
pub(crate) fn ca_due(not_after: Option<Date>, today: Date) -> bool {
    due(not_after, today, CA_RENEW_DAYS)
}

/// Whether a gateway's certificate valid to `not_after` shall be renewed.
pub(crate) fn leaf_due(not_after: Option<Date>, today: Date) -> bool {
    due(not_after, today, LEAF_RENEW_DAYS)
}

fn due(not_after: Option<Date>, today: Date, days_before: i32) -> bool {
    let last_quiet_day = not_after.and_then(|end| end.checked_sub(days_before.days()).ok());
    last_quiet_day.is_none_or(|day| today >= day)
}

/// What a CA's certificates have in common: renewing it changes its dates alone.
fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    /// Characters of a common name at most (RFC 5280).
    const COMMON_NAME_CHARS_MAX: usize = 64;
    let mut distinguished = DistinguishedName::new();
    let name: String = name.chars().take(COMMON_NAME_CHARS_MAX).collect();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sets both dates.
fn valid(params: &mut CertificateParams, from: Date, to: Date) {
    // The helper panics on impossible dates only, and a `Date` is a possible one.
    let day = |date: Date| {
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(from);
    params.not_after = day(to);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    fn today() -> Date {
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    fn names() -> Vec<String> {
        ["demo-gateway.datamesh.svc", "localhost", "127.0.0.1"].map(str::to_owned).into()
    }

    /// As a TLS client would: does `ca` vouch for `leaf` as `name`?
    fn verify(ca: &str, leaf: &str, name: &str) -> Result<(), rustls::Error> {
        use rustls::client::WebPkiServerVerifier;
        use rustls::client::danger::ServerCertVerifier as _;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).map(|_| ())
    }

    #[test]
    fn a_client_with_the_ca_trusts_the_gateway_by_each_of_its_names_only() {
        let ca = make_ca("DataMesh demo", None, today()).unwrap();
        let leaf = issue("DataMesh demo", &ca.key, &names(), today()).unwrap();
        for name in names() {
            verify(&ca.certificate, &leaf.certificate, &name).unwrap();
        }
        assert!(verify(&ca.certificate, &leaf.certificate, "evil.example").is_err());
        let other = make_ca("DataMesh demo", None, today()).unwrap();
        assert!(verify(&other.certificate, &leaf.certificate, "localhost").is_err());
    }

    #[test]
    fn a_renewed_ca_and_the_old_one_trust_each_others_leaves() {
        let old = make_ca("DataMesh demo", None, today()).unwrap();
        let new = make_ca("DataMesh demo", Some(&old.key), today()).unwrap();
        let leaf = issue("DataMesh demo", &new.key, &names(), today()).unwrap();
        verify(&old.certificate, &leaf.certificate, "localhost").unwrap();
        verify(&new.certificate, &leaf.certificate, "localhost").unwrap();
    }

    #[test]
    fn renewal_is_due_well_before_the_end() {
        let end = jiff::civil::date(2030, 6, 30);
        assert!(!leaf_due(Some(end), jiff::civil::date(2030, 5, 30)));
        assert!(leaf_due(Some(end), jiff::civil::date(2030, 5, 31)));
        assert!(!ca_due(Some(end), jiff::civil::date(2029, 6, 29)));
        assert!(ca_due(Some(end), jiff::civil::date(2029, 6, 30)));
        assert!(leaf_due(None, end));
    }
}
