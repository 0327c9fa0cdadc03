//! Key derivation, and the contexts that keep every use of a key apart from every other.

use zeroize::Zeroizing;

pub(crate) const SEGMENT_AEAD: &str = "datamesh.io 2026 segment aead key v1";
pub(crate) const SEGMENT_COMMITMENT: &str = "datamesh.io 2026 segment key commitment v1";
pub(crate) const SEGMENT_DERIVED: &str = "datamesh.io 2026 derived segment keys of a bucket v1";
pub(crate) const SEGMENT_LOOKUP: &str = "datamesh.io 2026 segment key lookup v1";
pub(crate) const RECORD_SALT: &str = "datamesh.io 2026 record salts of a bucket v1";
pub(crate) const RECORD_KEY: &str = "datamesh.io 2026 record key v1";
pub(crate) const RECORD_COMMITMENT: &str = "datamesh.io 2026 record key commitment v1";
pub(crate) const CLUSTER_FINGERPRINT: &str = "datamesh.io 2026 cluster secret fingerprint v1";
pub(crate) const CLUSTER_SIGNING: &str = "datamesh.io 2026 cluster signing seed v1";
pub(crate) const BUCKET_WRAP: &str = "datamesh.io 2026 bucket secret wrapping v1";
pub(crate) const ACCESS_KEYS: &str = "datamesh.io 2026 secrets of access keys v1";
pub(crate) const ACCESS_KEY_RECORD: &str = "datamesh.io 2026 record ids of access keys v1";
pub(crate) const CREDENTIALS: &str = "datamesh.io 2026 hashes of credentials v1";
pub(crate) const PASSWORDS: &str = "datamesh.io 2026 pepper of passwords v1";
pub(crate) const SECOND_FACTORS: &str = "datamesh.io 2026 secrets of second factors v1";
pub(crate) const RECOVERY_CODES: &str = "datamesh.io 2026 hashes of recovery codes v1";
pub(crate) const CATALOG_ANCHORS: &str = "datamesh.io 2026 anchors of the catalog's backups v1";
pub(crate) const REQUEST_KEYS: &str = "datamesh.io 2026 keys of requests v1";
pub(crate) const REQUEST_IDS: &str = "datamesh.io 2026 ids of requests v1";
pub(crate) const REQUEST_BODIES: &str = "datamesh.io 2026 prints of requests v1";
pub(crate) const REQUEST_ANSWERS: &str = "datamesh.io 2026 answers of requests v1";
pub(crate) const CUSTOMER_CHECK: &str = "datamesh.io 2026 checks of keys of customers v1";
pub(crate) const CUSTOMER_SECRET: &str = "datamesh.io 2026 secrets of keys of customers v1";
pub(crate) const PENDING: &str = "datamesh.io 2026 sign-ins under way v1";
pub(crate) const JOIN_TOKEN: &str = "datamesh.io 2026 join tokens v1";

/// Derives 32 bytes from `parts` under `context`. All parts but the last have a fixed length for the context, so that no
/// two lists of parts are the same bytes.
pub(crate) fn derive(context: &'static str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    Zeroizing::new(hasher.finalize().into())
}

/// A keyed hash of `parts`, under the same condition.
pub(crate) fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    Zeroizing::new(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_contexts_are_alike() {
        let all = [
            SEGMENT_AEAD,
            SEGMENT_COMMITMENT,
            SEGMENT_DERIVED,
            SEGMENT_LOOKUP,
            RECORD_SALT,
            RECORD_KEY,
            RECORD_COMMITMENT,
            CLUSTER_FINGERPRINT,
            CLUSTER_SIGNING,
            BUCKET_WRAP,
            JOIN_TOKEN,
            CREDENTIALS,
            PASSWORDS,
            SECOND_FACTORS,
            PENDING,
            RECOVERY_CODES,
            ACCESS_KEYS,
            ACCESS_KEY_RECORD,
            CATALOG_ANCHORS,
            REQUEST_KEYS,
            REQUEST_IDS,
            REQUEST_BODIES,
            REQUEST_ANSWERS,
            CUSTOMER_CHECK,
            CUSTOMER_SECRET,
        ];
        let keys: std::collections::BTreeSet<[u8; 32]> =
            all.iter().map(|context| *derive(context, &[b"x"])).collect();
        assert_eq!(keys.len(), all.len());
    }
}
