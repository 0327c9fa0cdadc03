use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::{
    CONTENT_TYPE_BYTES_MAX, ETAG_BYTES_MAX, META_BYTES_MAX, PAGE_SEALED_BYTES_MAX, PAGE_SEGMENTS_MAX,
    PART_PAGES_MAX, PART_TAG_SEALED_BYTES_MAX,
};
use crate::model::{BucketId, ObjectKey, Page, PartSummary};

/// Bytes of user metadata, names and values.
pub(crate) fn meta_bytes(meta: &[(String, String)]) -> usize {
    meta.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// What became of an upload. One that is no longer open keeps its row until its segments are let go, so that its id
/// cannot begin anew before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadState {
    /// It is being written.
    Open,
    /// It is an object now, or was one.
    Committed,
    /// It was given up, by its client or because its lease ended.
    Aborted,
}

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The bucket it writes to.
    pub bucket: BucketId,
    /// The key it writes to.
    pub key: ObjectKey,
    /// What became of it.
    pub state: UploadState,
    /// Media type; empty once it is no longer open.
    pub content_type: String,
    /// User metadata; empty once it is no longer open.
    pub meta: Vec<(String, String)>,
    /// When it began.
    pub created_unix_ms: u64,
}

impl Record for UploadRecord {
    const NAME: &'static str = "upload";

    fn check(&self) -> Result<(), &'static str> {
        if self.content_type.len() > CONTENT_TYPE_BYTES_MAX {
            return Err("the content type is too long");
        }
        if meta_bytes(&self.meta) > META_BYTES_MAX { Err("the metadata is too long") } else { Ok(()) }
    }
}

/// An upload's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// When it ends.
    pub until_unix_ms: u64,
}

impl Record for LeaseRecord {
    const NAME: &'static str = "lease";
}

/// What a listing shows of an open upload besides its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRecord {
    /// When it began.
    pub created_unix_ms: u64,
}

impl Record for ListedRecord {
    const NAME: &'static str = "listed upload";
}

/// What a part has so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// Its pages: 0 to this, exclusive.
    pub pages: u32,
    /// Their segments.
    pub segments: u64,
    /// Their plaintext bytes.
    pub plain_bytes: u64,
    /// Whether its last page is there.
    pub complete: bool,
}

impl PartRecord {
    pub(crate) fn summary(self, part: u32) -> PartSummary {
        let Self { pages, segments, plain_bytes, complete } = self;
        PartSummary { part, pages, segments, plain_bytes, complete }
    }
}

impl Record for PartRecord {
    const NAME: &'static str = "part";

    fn check(&self) -> Result<(), &'static str> {
        if self.pages > PART_PAGES_MAX { Err("too many pages") } else { Ok(()) }
    }
}

/// What a client was told of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTagRecord {
    /// Entity tag of the part.
    pub etag: String,
    /// When it was put.
    pub put_unix_ms: u64,
    /// Its checksums, sealed.
    #[serde(with = "super::bytes")]
    pub sealed: Vec<u8>,
}

impl Record for PartTagRecord {
    const NAME: &'static str = "part tag";

    fn check(&self) -> Result<(), &'static str> {
        if self.etag.len() > ETAG_BYTES_MAX {
            return Err("the entity tag is too long");
        }
        if self.sealed.len() > PART_TAG_SEALED_BYTES_MAX {
            Err("the sealed part is too long")
        } else {
            Ok(())
        }
    }
}

impl Record for Page {
    const NAME: &'static str = "page";

    fn check(&self) -> Result<(), &'static str> {
        if self.segments.len() > PAGE_SEGMENTS_MAX {
            return Err("too many segments");
        }
        if self.sealed.len() > PAGE_SEALED_BYTES_MAX { Err("the sealed part is too long") } else { Ok(()) }
    }
}
