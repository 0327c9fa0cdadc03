//! Anchors of the catalog's backups: records under a secret that is derived from the cluster's, each bound to its place. They are all
//! that opens the backups' segments, and whoever has the cluster secret opens them.

use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::OpenError;
use crate::context::CATALOG_ANCHORS;
use crate::record::{open_record, seal_record};
use crate::secret::BucketSecret;

/// The version of the derived secret: another cluster secret would be another catalog.
const VERSION: u32 = 1;
/// One for all: a record's key depends on its place and content besides.
const RECORD: [u8; 16] = *b"catalog's anchor";

fn secret_of(cluster: &ClusterSecret) -> BucketSecret {
    BucketSecret::from_bytes(VERSION, *cluster.derive(CATALOG_ANCHORS))
}

pub(super) fn seal(cluster: &ClusterSecret, place: &[u8; 32], anchor: &[u8]) -> Vec<u8> {
    seal_record(&secret_of(cluster), &RECORD, place, anchor)
}

pub(super) fn open(
    cluster: &ClusterSecret,
    place: &[u8; 32],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_record(&secret_of(cluster), &RECORD, place, sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_opens_in_its_place_with_its_secret_and_unchanged() {
        let (secret, place) = (ClusterSecret::generate(), [7; 32]);
        let sealed = seal(&secret, &place, b"what opens a backup");
        assert_eq!(*open(&secret, &place, &sealed).unwrap(), b"what opens a backup");
        assert!(open(&secret, &[8; 32], &sealed).is_err());
        assert!(open(&ClusterSecret::generate(), &place, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&secret, &place, &changed).is_err(), "byte {at}");
        }
        assert!(open(&secret, &place, &sealed[..sealed.len() - 1]).is_err());
    }
}
