//! What the catalog keeps of sessions, tokens and one-use codes: a keyed hash of their secret. They are random, so a fast hash does;
//! the key, which is the cluster's, keeps whoever can only write the catalog's rows from making some.

use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::context::{CREDENTIALS, PASSWORDS, keyed};

pub(super) fn hash(cluster: &ClusterSecret, id: &[u8; 24], secret: &[u8; 32]) -> [u8; 32] {
    *keyed(&cluster.derive(CREDENTIALS), &[id, secret])
}

pub(super) fn pepper(cluster: &ClusterSecret, user: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    keyed(&cluster.derive(PASSWORDS), &[user])
}
