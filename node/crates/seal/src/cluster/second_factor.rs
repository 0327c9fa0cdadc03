//! Second factors as the catalog keeps them: secrets as records under a secret that is derived from the cluster's, each bound to its
//! user, for codes are checked with the secret itself; of recovery codes a keyed hash does, for they are random.

use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::OpenError;
use crate::context::{RECOVERY_CODES, SECOND_FACTORS, keyed};
use crate::record::{open_record, seal_record};
use crate::secret::BucketSecret;

/// The version of the derived secret: another cluster secret would be another catalog.
const VERSION: u32 = 1;

fn secret_of(cluster: &ClusterSecret) -> BucketSecret {
    BucketSecret::from_bytes(VERSION, *cluster.derive(SECOND_FACTORS))
}

pub(super) fn seal(cluster: &ClusterSecret, user: &[u8; 16], secret: &[u8]) -> Vec<u8> {
    seal_record(&secret_of(cluster), user, user, secret)
}

pub(super) fn open(
    cluster: &ClusterSecret,
    user: &[u8; 16],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_record(&secret_of(cluster), user, user, sealed)
}

pub(super) fn recovery_hash(cluster: &ClusterSecret, user: &[u8; 16], code: &[u8]) -> [u8; 32] {
    *keyed(&cluster.derive(RECOVERY_CODES), &[user, code])
}
