//! How a row's value stands in RocksDB: version byte, revision (u64, little-endian), then the value.

use crate::keyspace::Revision;

/// First byte of every stored value.
pub const ROW_VERSION: u8 = 1;
/// Bytes in front of the value.
pub const ROW_HEADER_BYTES: usize = 9;
/// The engine's own row: the newest revision, in a row's form with an empty value.
pub const REVISION_KEY: &[u8] = &[crate::keyspace::RESERVED_FIRST_BYTE, b'r'];

/// Why stored bytes are no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Shorter than its header.
    #[error("shorter than its header")]
    Short,
    /// Written by a later version.
    #[error("its version is not known to this version")]
    Version,
}

impl RowError {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Short => "shorter than its header",
            Self::Version => "its version is not known to this version",
        }
    }
}

/// A stored value.
#[must_use]
pub fn encode(revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(ROW_HEADER_BYTES + value.len());
    stored.push(ROW_VERSION);
    stored.extend_from_slice(&revision.0.to_le_bytes());
    stored.extend_from_slice(value);
    stored
}

/// Reads a stored value.
///
/// # Errors
/// Refuses what [`encode`] does not write.
pub fn decode(stored: &[u8]) -> Result<(Revision, &[u8]), RowError> {
    let Some((header, value)) = stored.split_first_chunk::<ROW_HEADER_BYTES>() else {
        return Err(RowError::Short);
    };
    let [version, revision @ ..] = *header;
    if version != ROW_VERSION {
        return Err(RowError::Version);
    }
    Ok((Revision(u64::from_le_bytes(revision)), value))
}
