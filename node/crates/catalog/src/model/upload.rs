use super::{BucketId, ObjectKey, SegmentRef, UploadId};

/// What an upload writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bucket.
    pub bucket: BucketId,
    /// The object's key in it.
    pub key: ObjectKey,
    /// The upload's id.
    pub upload: UploadId,
}

/// What `begin_upload` writes down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUpload {
    /// What it writes to, and its id.
    pub target: Target,
    /// Media type the object will have.
    pub content_type: String,
    /// User metadata the object will have.
    pub meta: Vec<(String, String)>,
    /// Now.
    pub created_unix_ms: u64,
    /// Unless renewed, the upload may be reclaimed from then on.
    pub lease_until_unix_ms: u64,
    /// References of the first segments, so that a small put needs no sync of its own for them. May be empty.
    pub segments: Vec<SegmentRef>,
}

/// An upload that is neither committed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What it writes to, and its id.
    pub target: Target,
    /// Media type the object will have.
    pub content_type: String,
    /// User metadata the object will have.
    pub meta: Vec<(String, String)>,
    /// When it began.
    pub created_unix_ms: u64,
    /// Unless renewed, it may be reclaimed from then on.
    pub lease_until_unix_ms: u64,
}

/// One part of an upload or object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartSummary {
    /// The part's number.
    pub part: u32,
    /// Its pages: 0 to this, exclusive.
    pub pages: u32,
    /// Its segments.
    pub segments: u64,
    /// Its plaintext bytes.
    pub plain_bytes: u64,
    /// Whether its last page is there.
    pub complete: bool,
}

/// What the client of a part was told of it, and will be told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTag {
    /// Entity tag of the part, without quotes.
    pub etag: String,
    /// When it was put.
    pub put_unix_ms: u64,
    /// Its checksums; opaque to the catalog.
    pub sealed: Vec<u8>,
}

/// A part and what its client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedPart {
    /// What it has.
    pub part: PartSummary,
    /// Absent where the part was put without.
    pub tag: Option<PartTag>,
}

/// An upload as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUpload {
    /// The object's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// When it began.
    pub created_unix_ms: u64,
}
