//! What somebody else keeps for the cluster for a while and brings back: sealed, and for one purpose.

use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::OpenError;
use crate::context::PENDING;
use crate::record::{open_record, seal_record};
use crate::secret::BucketSecret;

/// The version of the derived secret.
const VERSION: u32 = 1;
/// Each record's id, which is its salt's and stands before it.
const ID_BYTES: usize = 16;

fn secret_of(cluster: &ClusterSecret) -> BucketSecret {
    BucketSecret::from_bytes(VERSION, *cluster.derive(PENDING))
}

pub(super) fn seal(cluster: &ClusterSecret, purpose: &str, (id, plain): (&[u8; ID_BYTES], &[u8])) -> Vec<u8> {
    let sealed = seal_record(&secret_of(cluster), id, purpose.as_bytes(), plain);
    [&id[..], &sealed].concat()
}

pub(super) fn open(
    cluster: &ClusterSecret,
    purpose: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (id, sealed) = sealed
        .split_first_chunk::<ID_BYTES>()
        .ok_or(OpenError::Truncated { expected: ID_BYTES, got: sealed.len() })?;
    open_record(&secret_of(cluster), id, purpose.as_bytes(), sealed)
}
