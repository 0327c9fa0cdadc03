//! What a request's key of its client stands for (`Idempotency-Key`). The catalog has none of these keys, so what is kept of an answer
//! opens for whoever has the cluster's secret and the client's key, and for nobody with the catalog and one of the two.

use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::OpenError;
use crate::context::{REQUEST_ANSWERS, REQUEST_BODIES, REQUEST_IDS, REQUEST_KEYS, derive, keyed};
use crate::record::{open_record, seal_record};
use crate::secret::BucketSecret;

/// The version of the derived secret: another cluster secret would be another catalog.
const VERSION: u32 = 1;

/// A client's key, as it counts for one asker and one route. Zeroed when dropped.
pub struct RequestKey {
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestKey(…)")
    }
}

impl RequestKey {
    pub(super) fn new(cluster: &ClusterSecret, asker: &[u8; 16], route: &str, key: &str) -> Self {
        let route = blake3::hash(route.as_bytes());
        let bytes = keyed(&cluster.derive(REQUEST_KEYS), &[asker, route.as_bytes(), key.as_bytes()]);
        Self { bytes }
    }

    /// Names the request in the catalog.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        *derive(REQUEST_IDS, &[&self.bytes[..]])
    }

    /// Tells what was sent from anything else. A body may hold a password: guesses at it cannot be tried on this without the client's key.
    #[must_use]
    pub fn print(&self, target: &str, body: &[u8]) -> [u8; 32] {
        let target = blake3::hash(target.as_bytes());
        *keyed(&derive(REQUEST_BODIES, &[&self.bytes[..]]), &[target.as_bytes(), body])
    }

    /// Seals an answer for the catalog.
    #[must_use]
    pub fn seal(&self, answer: &[u8]) -> Vec<u8> {
        let id = self.id();
        seal_record(&self.answers(), &short(&id), &id, answer)
    }

    /// Opens what [`RequestKey::seal`] gave for this key.
    ///
    /// # Errors
    /// When it was sealed for another key, under another cluster secret, or was altered.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let id = self.id();
        open_record(&self.answers(), &short(&id), &id, sealed)
    }

    fn answers(&self) -> BucketSecret {
        BucketSecret::from_bytes(VERSION, *derive(REQUEST_ANSWERS, &[&self.bytes[..]]))
    }
}

fn short(id: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&id[..16]);
    short
}
