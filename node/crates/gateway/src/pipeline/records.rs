//! Sealed records of the catalog: pages, inline objects, user metadata.
//!
//! Each is sealed under a key of its own (see `datamesh_seal::seal_record`) and bound to what it is, its bucket, upload,
//! place and the object's key: where it stands anywhere else it does not open.

use std::collections::BTreeMap;

use datamesh_catalog::{BucketId, PageAt, Target};
use datamesh_seal::{BucketSecret, OpenError};
use zeroize::Zeroizing;

/// Version of the binding below; a later one would be tried after this one.
const VERSION: u8 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The secrets of a page of segments.
    Page(PageAt),
    /// A small object itself.
    Inline,
    /// User metadata.
    Meta,
    /// The checksums of a part.
    Part(u32),
}

/// A bucket's secrets, unwrapped.
pub(crate) struct Secrets {
    bucket: BucketId,
    by_version: BTreeMap<u32, BucketSecret>,
}

/// The bucket has no secret to seal with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bucket has no secret")]
pub(crate) struct NoSecret;

/// Why a record does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenRecordError {
    #[error(transparent)]
    NoSecret(#[from] NoSecret),
    #[error("the record does not open: {0}")]
    Open(#[from] OpenError),
}

impl Secrets {
    pub(crate) fn new(bucket: BucketId, secrets: impl IntoIterator<Item = BucketSecret>) -> Self {
        let by_version = secrets.into_iter().map(|secret| (secret.version(), secret)).collect();
        Self { bucket, by_version }
    }

    /// Seals a record with the newest secret.
    pub(crate) fn seal(&self, target: &Target, record: Record, plain: &[u8]) -> Result<Vec<u8>, NoSecret> {
        let (_, secret) = self.by_version.last_key_value().ok_or(NoSecret)?;
        Ok(datamesh_seal::seal_record(secret, &target.upload.0, &self.binding(target, record), plain))
    }

    /// Opens a record that belongs to `target`.
    pub(crate) fn open(
        &self,
        target: &Target,
        record: Record,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenRecordError> {
        let (_, newest) = self.by_version.last_key_value().ok_or(NoSecret)?;
        let (id, binding) = (&target.upload.0, self.binding(target, record));
        match datamesh_seal::open_record(newest, id, &binding, sealed) {
            Err(OpenError::SecretVersion { need, have }) => {
                let older = self.by_version.get(&need).ok_or(OpenError::SecretVersion { need, have })?;
                Ok(datamesh_seal::open_record(older, id, &binding, sealed)?)
            }
            opened => Ok(opened?),
        }
    }

    /// version, kind, bucket, upload, part, page, key: all of fixed length but the last.
    fn binding(&self, target: &Target, record: Record) -> Vec<u8> {
        let (kind, at) = match record {
            Record::Page(at) => (1, at),
            Record::Inline => (2, PageAt::default()),
            Record::Meta => (3, PageAt::default()),
            Record::Part(part) => (4, PageAt { part, page: 0 }),
        };
        let mut out = vec![VERSION, kind];
        out.extend(self.bucket.0.to_le_bytes());
        out.extend(target.upload.0);
        out.extend(at.part.to_le_bytes());
        out.extend(at.page.to_le_bytes());
        out.extend(target.key.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests;
