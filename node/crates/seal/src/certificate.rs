use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};
use serde::{Deserialize, Serialize};

use crate::signing::{BadSignature, ClusterSigningKey, verify};

const CONTEXT: &str = "membership certificate";
const VERSION: u8 = 1;
/// Bytes of an encoded certificate at most: three names of 63 bytes, a key and a time are less than half of it.
const CERTIFICATE_BYTES_MAX: usize = 512;

/// What a member is let in as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRole {
    /// Keeps shards of a pool.
    Storage {
        /// Its pool.
        pool: PoolName,
        /// Its failure domain, as the operator pinned it.
        zone: ZoneName,
    },
    /// Serves users, and asks storage nodes for shards.
    Gateway,
}

/// What the cluster says of a member for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What it may do.
    pub role: MemberRole,
    /// Its name.
    pub node: NodeName,
    /// Its public key, which it must prove to have.
    pub peer: PeerKey,
    /// The last second (since 1970) at which this holds.
    pub not_after_unix: u64,
}

/// A certificate with the cluster's signature. Nothing in it is believed before [`SignedCertificate::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCertificate {
    /// Version byte, then the certificate by postcard: exactly the bytes that are signed.
    certificate: Vec<u8>,
    signature: Vec<u8>,
}

/// Why a certificate does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than any certificate.
    #[error("a certificate of {0} bytes")]
    Length(usize),
    /// Not signed by this cluster.
    #[error("the certificate is not signed by this cluster")]
    Signature(#[from] BadSignature),
    /// Written by a later version.
    #[error("certificate version {0} is not known to this version")]
    Version(u8),
    /// The signed bytes are no certificate.
    #[error("the certificate cannot be read")]
    Malformed,
    /// Another member's.
    #[error("the certificate is for peer {0}")]
    Peer(PeerKey),
    /// Its time is over.
    #[error("the certificate ended at {0} (seconds since 1970)")]
    Expired(u64),
}

impl SignedCertificate {
    /// Signs a certificate with the cluster's key.
    #[must_use]
    pub fn sign(key: &ClusterSigningKey, certificate: Certificate) -> Self {
        let mut bytes = vec![VERSION];
        // Encoding names, numbers and arrays into memory cannot fail; were it to, the bytes would make no certificate and
        // every verifier would refuse them.
        bytes.extend(postcard::to_stdvec(&certificate).unwrap_or_default());
        let signature = key.sign(CONTEXT, &bytes).to_vec();
        Self { certificate: bytes, signature }
    }

    /// Checks the signature, that `peer` is meant, and that it holds at `now_unix`.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn verify(
        &self,
        cluster: &PeerKey,
        peer: &PeerKey,
        now_unix: u64,
    ) -> Result<Certificate, CertificateError> {
        if self.certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::Length(self.certificate.len()));
        }
        let signature = self.signature.as_slice().try_into().map_err(|_| BadSignature)?;
        verify(cluster, CONTEXT, &self.certificate, signature)?;
        let (&version, body) = self.certificate.split_first().ok_or(CertificateError::Malformed)?;
        if version != VERSION {
            return Err(CertificateError::Version(version));
        }
        let (certificate, rest) =
            postcard::take_from_bytes::<Certificate>(body).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        if certificate.peer != *peer {
            return Err(CertificateError::Peer(certificate.peer));
        }
        if now_unix > certificate.not_after_unix {
            return Err(CertificateError::Expired(certificate.not_after_unix));
        }
        Ok(certificate)
    }
}
