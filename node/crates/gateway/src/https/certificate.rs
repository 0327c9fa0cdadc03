//! The listener's certificate, from PEM files that may be replaced at any time.

use std::path::Path;
use std::sync::Arc;

use datamesh_settings::TlsFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::watched::{LoadError, Watched};

/// Bytes of a PEM file at most.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Gives each handshake the newest good certificate.
pub(crate) struct Certificates {
    watched: Watched<Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    /// Reads both files. Blocking.
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, LoadError> {
        let paths = vec![files.certificate_file.clone(), files.key_file.clone()];
        let files = files.clone();
        let watched = Watched::open(paths, move || load(&files).map(Arc::new))?;
        Ok(Self { watched })
    }

    /// Reads them again if they changed. Blocking.
    pub(crate) fn refresh(&self) -> Result<bool, LoadError> {
        self.watched.refresh()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.watched.current()))
    }
}

/// Certificate and key that belong together: a pair caught half replaced is refused, and the old one stays.
fn load(files: &TlsFiles) -> Result<CertifiedKey, LoadError> {
    let chain = read(&files.certificate_file)?;
    let key = read(&files.key_file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(&files.certificate_file, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| bad(&files.key_file, &error))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| bad(&files.certificate_file, &error))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, LoadError> {
    let bytes = std::fs::metadata(path).map_err(|error| bad(path, &error))?.len();
    if bytes > PEM_BYTES_MAX {
        return Err(LoadError(format!(
            "{}: {bytes} bytes, at most {PEM_BYTES_MAX} are read",
            path.display()
        )));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(|error| bad(path, &error))
}

fn bad(path: &Path, error: &dyn std::fmt::Display) -> LoadError {
    LoadError(format!("{}: {error}", path.display()))
}
