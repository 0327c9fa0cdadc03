//! Secrets of S3 key pairs as the catalog keeps them: records under a secret that is derived from the cluster's, each bound to
//! the id of its key. A signature is checked with the secret itself, so a hash would not do.

use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::OpenError;
use crate::context::{ACCESS_KEY_RECORD, ACCESS_KEYS, derive};
use crate::record::{open_record, seal_record};
use crate::secret::BucketSecret;

/// The version of the derived secret: another cluster secret would be another catalog.
const VERSION: u32 = 1;

fn secret_of(cluster: &ClusterSecret) -> BucketSecret {
    BucketSecret::from_bytes(VERSION, *cluster.derive(ACCESS_KEYS))
}

fn record_id(key_id: &str) -> [u8; 16] {
    let hash = derive(ACCESS_KEY_RECORD, &[key_id.as_bytes()]);
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

pub(super) fn seal(cluster: &ClusterSecret, key_id: &str, secret: &str) -> Vec<u8> {
    seal_record(&secret_of(cluster), &record_id(key_id), key_id.as_bytes(), secret.as_bytes())
}

pub(super) fn open(
    cluster: &ClusterSecret,
    key_id: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_record(&secret_of(cluster), &record_id(key_id), key_id.as_bytes(), sealed)
}
