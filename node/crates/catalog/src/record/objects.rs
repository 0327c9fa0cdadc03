use serde::{Deserialize, Serialize};

use super::uploads::meta_bytes;
use super::{KeptObjectRecord, LockedObjectRecord, Record, RecordError, body_of};
use crate::limits::{
    CONTENT_TYPE_BYTES_MAX, ETAG_BYTES_MAX, INLINE_SEALED_BYTES_MAX, META_BYTES_MAX, PARTS_MAX,
};
use crate::model::{PartSummary, UploadId};

/// An object. Its first fields are those of [`HeadRecord`], in that order, so that a listing reads no further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// The upload it came of.
    pub upload: UploadId,
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// When it was committed.
    pub created_unix_ms: u64,
    /// Media type.
    pub content_type: String,
    /// Entity tag.
    pub etag: String,
    /// User metadata.
    pub meta: Vec<(String, String)>,
    /// Its bytes, or where they are.
    pub body: BodyRecord,
}

/// An object's bytes, or where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyRecord {
    /// The sealed object.
    Inline(#[serde(with = "super::bytes")] Vec<u8>),
    /// Its parts.
    Pages(Vec<PartSummary>),
}

impl Record for ObjectRecord {
    const NAME: &'static str = "object";

    fn check(&self) -> Result<(), &'static str> {
        if self.content_type.len() > CONTENT_TYPE_BYTES_MAX {
            return Err("the content type is too long");
        }
        if self.etag.len() > ETAG_BYTES_MAX {
            return Err("the entity tag is too long");
        }
        if meta_bytes(&self.meta) > META_BYTES_MAX {
            return Err("the metadata is too long");
        }
        match &self.body {
            BodyRecord::Inline(sealed) if sealed.len() > INLINE_SEALED_BYTES_MAX => {
                Err("the inline body is too long")
            }
            BodyRecord::Pages(parts) if parts.len() > PARTS_MAX => Err("too many parts"),
            _ => Ok(()),
        }
    }
}

/// What a listing reads of an object: its first fields, not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRecord<'a> {
    /// The upload it came of.
    pub upload: UploadId,
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// When it was committed.
    pub created_unix_ms: u64,
    /// Media type.
    pub content_type: &'a str,
    /// Entity tag.
    pub etag: &'a str,
}

impl<'a> HeadRecord<'a> {
    /// Reads the first fields of an object's record.
    ///
    /// # Errors
    /// As `decode` of the whole.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let body = match bytes.first() {
            Some(&KeptObjectRecord::VERSION) => body_of::<KeptObjectRecord>(bytes)?,
            Some(&LockedObjectRecord::VERSION) => body_of::<LockedObjectRecord>(bytes)?,
            _ => body_of::<ObjectRecord>(bytes)?,
        };
        match postcard::take_from_bytes(body) {
            Ok((head, _rest)) => Ok(head),
            Err(error) => {
                Err(RecordError::Malformed { record: ObjectRecord::NAME, detail: error.to_string() })
            }
        }
    }
}
