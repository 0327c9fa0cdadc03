//! Sealed records of the catalog: pages, inline objects, user metadata.
//!
//! Each is sealed under a key of its own (see `datamesh_seal::seal_record`) and bound to what it is, its bucket, upload,
//! place and the object's key: where it stands anywhere else it does not open. Where an object came with a key of its customer, what
//! tells of its contents is sealed under a secret of that key first, then like all others
//! ([ADR 56](../../../../../docs/adr/0056-keys-of-customers-seal-first.md)).

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
    /// The checksums of an object that is sealed with a key of its customer. Those of others lie with their metadata.
    Sums,
}

impl Record {
    /// Whether it is, or tells of, what the object contains: that a customer's key keeps from the cluster.
    fn is_content(self) -> bool {
        self != Self::Meta
    }
}

/// Added to the kind of a record that is sealed with a customer's key besides: one that is, and one that is not, never pass for each
/// other.
const TWICE: u8 = 0x80;

/// A bucket's secrets, unwrapped.
pub(crate) struct Secrets {
    bucket: BucketId,
    by_version: BTreeMap<u32, BucketSecret>,
    /// Of a customer's key, for one object: what that contains is sealed under it first.
    customer: Option<BucketSecret>,
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
        Self { bucket, by_version, customer: None }
    }

    /// The same for one object, whose contents open with the secret of its customer's key only.
    pub(crate) fn with_customer(&self, secret: BucketSecret) -> Self {
        Self { bucket: self.bucket, by_version: self.by_version.clone(), customer: Some(secret) }
    }

    /// Whether a customer's key seals and opens too.
    pub(crate) fn has_customer(&self) -> bool {
        self.customer.is_some()
    }

    /// The secret of the customer's key, where it seals such a record too.
    fn customer_of(&self, record: Record) -> Option<&BucketSecret> {
        self.customer.as_ref().filter(|_| record.is_content())
    }

    /// Seals a record with the newest secret.
    pub(crate) fn seal(&self, target: &Target, record: Record, plain: &[u8]) -> Result<Vec<u8>, NoSecret> {
        let (_, secret) = self.by_version.last_key_value().ok_or(NoSecret)?;
        let twice = self.customer_of(record).is_some();
        let (id, binding) = (&target.upload.0, self.binding(target, record, twice));
        let seal = |secret, plain: &[u8]| datamesh_seal::seal_record(secret, id, &binding, plain);
        Ok(match self.customer_of(record) {
            Some(customer) => seal(secret, &seal(customer, plain)),
            None => seal(secret, plain),
        })
    }

    /// Opens a record that belongs to `target`.
    pub(crate) fn open(
        &self,
        target: &Target,
        record: Record,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenRecordError> {
        let customer = self.customer_of(record);
        let opened = self.open_outside(target, (record, customer.is_some()), sealed)?;
        let Some(customer) = customer else { return Ok(opened) };
        let binding = self.binding(target, record, true);
        Ok(datamesh_seal::open_record(customer, &target.upload.0, &binding, &opened)?)
    }

    /// Whether a record is sealed with a key of a customer, whichever: that shows without it.
    pub(crate) fn is_sealed_twice(&self, target: &Target, record: Record, sealed: &[u8]) -> bool {
        self.open_outside(target, (record, true), sealed).is_ok()
    }

    /// Opens what the bucket's secret seals.
    fn open_outside(
        &self,
        target: &Target,
        (record, twice): (Record, bool),
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenRecordError> {
        let (_, newest) = self.by_version.last_key_value().ok_or(NoSecret)?;
        let (id, binding) = (&target.upload.0, self.binding(target, record, twice));
        match datamesh_seal::open_record(newest, id, &binding, sealed) {
            Err(OpenError::SecretVersion { need, have }) => {
                let older = self.by_version.get(&need).ok_or(OpenError::SecretVersion { need, have })?;
                Ok(datamesh_seal::open_record(older, id, &binding, sealed)?)
            }
            opened => Ok(opened?),
        }
    }

    /// version, kind, bucket, upload, part, page, key: all of fixed length but the last.
    fn binding(&self, target: &Target, record: Record, twice: bool) -> Vec<u8> {
        let (kind, at) = match record {
            Record::Page(at) => (1, at),
            Record::Inline => (2, PageAt::default()),
            Record::Meta => (3, PageAt::default()),
            Record::Part(part) => (4, PageAt { part, page: 0 }),
            Record::Sums => (5, PageAt::default()),
        };
        let mut out = vec![VERSION, if twice { kind | TWICE } else { kind }];
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
