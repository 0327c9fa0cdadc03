//! How the gateway speaks to others' servers: which of them are to be encrypted, who vouches for them, TLS, and HTTP on it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Bytes of a file of certificates at most.
const CA_BYTES_MAX: u64 = 1 << 20;

/// A file that was named has no authorities. Nobody else vouches in their place, least of all the public ones.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthorities {
    /// It is not there, or not for this process.
    #[error(
        "caFile {path}: {source}: PEM certificates of authorities are expected there (of a Secret, its field ca.crt), and no others vouch instead"
    )]
    Unread {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is something else in it.
    #[error(
        "caFile {path}: PEM certificates of authorities are expected, of {CA_BYTES_MAX} bytes at most (of a Secret, its field ca.crt)"
    )]
    Content {
        /// Which.
        path: PathBuf,
    },
}

/// TLS or HTTP cannot be prepared, which is no fault of a setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoClient {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// Who vouches for a server.
pub(crate) struct Authorities(RootCertStore);

impl Authorities {
    /// Those of a file alone; where none is named, the public ones. Blocking.
    pub(crate) fn of(file: Option<&Path>) -> Result<Self, NoAuthorities> {
        let mut roots = RootCertStore::empty();
        match file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|_| NoAuthorities::Content { path: path.into() })?;
                }
            }
        }
        Ok(Self(roots))
    }

    /// A client that believes them alone. Nothing is followed: what is meant for one server is for no other. No proxy is asked.
    pub(crate) fn client(
        self,
        further: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, NoClient> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.0)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("datamesh/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy();
        Ok(further(client).build()?)
    }
}

/// The certificates of a file, at least one. Blocking.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NoAuthorities> {
    let unread = |source| NoAuthorities::Unread { path: path.into(), source };
    let wrong = || NoAuthorities::Content { path: path.into() };
    if std::fs::metadata(path).map_err(unread)?.len() > CA_BYTES_MAX {
        return Err(wrong());
    }
    let pem = std::fs::read(path).map_err(unread)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if all.is_empty() { Err(wrong()) } else { Ok(all) }
}

/// Whether a host in an address is this machine: nobody watches the way there.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_named_is_never_replaced_by_the_public_authorities() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let public = Authorities::of(None).unwrap().0.len();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        std::fs::write(file("own"), format!("{own}{own}")).unwrap();
        let vouching = Authorities::of(Some(&file("own"))).unwrap().0.len();
        assert!(vouching <= 2 && public > 2, "{vouching} {public}");
        std::fs::write(file("empty"), "").unwrap();
        std::fs::write(file("text"), "no certificate").unwrap();
        std::fs::write(file("cut"), &own[..own.len() / 2]).unwrap();
        std::fs::write(file("garbled"), own.replace('A', "B")).unwrap();
        std::fs::write(file("long"), own.repeat(4000)).unwrap();
        std::fs::create_dir(file("folder")).unwrap();
        for name in ["absent", "empty", "text", "cut", "garbled", "long", "folder"] {
            let error = Authorities::of(Some(&file(name))).err().unwrap().to_string();
            let names = error.starts_with(&format!("caFile {}", file(name).display()));
            assert!(names && error.contains("ca.crt"), "{name}: {error}");
        }
    }
}
