//! Sealed records of the catalog: pages, inline objects, user metadata.
//!
//! An envelope is version (1 byte), the bucket secret's version (u32, little-endian), the record's random id (16 bytes),
//! then the sealed record. What it belongs to (kind, bucket, upload, place, the object's key) is authenticated with it,
//! so a record that stands anywhere else does not open.

use std::collections::BTreeMap;

use datamesh_catalog::{BucketId, PageAt, Target};
use datamesh_seal::{BucketSecret, OpenError};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 16;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The secrets of a page of segments.
    Page(PageAt),
    /// A small object itself.
    Inline,
    /// User metadata.
    Meta,
}

/// A bucket's secrets, unwrapped.
pub(crate) struct Secrets {
    bucket: BucketId,
    by_version: BTreeMap<u32, BucketSecret>,
}

/// Why a record could not be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealRecordError {
    #[error("the bucket has no secret")]
    NoSecret,
    #[error("the system gives no random bytes")]
    Random,
}

/// Why a record does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenRecordError {
    #[error("an envelope of {0} bytes")]
    Length(usize),
    #[error("envelope version {0} is not known to this version")]
    Version(u8),
    #[error("the bucket's secret of version {0} is not there")]
    NoSecret(u32),
    #[error("the record does not open: {0}")]
    Open(#[from] OpenError),
}

impl Secrets {
    pub(crate) fn new(bucket: BucketId, secrets: impl IntoIterator<Item = BucketSecret>) -> Self {
        let by_version = secrets.into_iter().map(|secret| (secret.version(), secret)).collect();
        Self { bucket, by_version }
    }

    /// Seals a record with the newest secret.
    pub(crate) fn seal(&self, target: &Target, record: Record, plain: &[u8]) -> Result<Vec<u8>, SealRecordError> {
        let (version, secret) = self.by_version.last_key_value().ok_or(SealRecordError::NoSecret)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| SealRecordError::Random)?;
        let sealed = datamesh_seal::seal_record(secret, &id, &self.binding(target, record), plain);
        let mut out = Vec::with_capacity(HEAD_BYTES + sealed.len());
        out.push(VERSION);
        out.extend(version.to_le_bytes());
        out.extend(id);
        out.extend(sealed);
        Ok(out)
    }

    /// Opens a record that belongs to `target`.
    pub(crate) fn open(
        &self,
        target: &Target,
        record: Record,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenRecordError> {
        let wrong = || OpenRecordError::Length(envelope.len());
        let (&[format], rest) = envelope.split_first_chunk::<1>().ok_or_else(wrong)?;
        if format != VERSION {
            return Err(OpenRecordError::Version(format));
        }
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (id, sealed) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let version = u32::from_le_bytes(*version);
        let secret = self.by_version.get(&version).ok_or(OpenRecordError::NoSecret(version))?;
        Ok(datamesh_seal::open_record(secret, id, &self.binding(target, record), sealed)?)
    }

    /// kind, bucket, upload, part, page, key: all of fixed length but the last.
    fn binding(&self, target: &Target, record: Record) -> Vec<u8> {
        let (kind, at) = match record {
            Record::Page(at) => (1, at),
            Record::Inline => (2, PageAt::default()),
            Record::Meta => (3, PageAt::default()),
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
