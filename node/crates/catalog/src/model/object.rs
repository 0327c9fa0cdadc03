use super::{BucketId, Lock, ObjectKey, PartSummary, PlacedPage, UploadId, VersionId};
use crate::keyspace::Revision;

/// An object to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDraft {
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// Media type.
    pub content_type: String,
    /// Entity tag, without quotes.
    pub etag: String,
    /// User metadata.
    pub meta: Vec<(String, String)>,
    /// Now; also the moment from which the retention of a replaced object counts.
    pub created_unix_ms: u64,
    /// What shall keep it; what is not said of its retention its bucket says.
    pub lock: Lock,
    /// Its bytes, or where they are.
    pub body: DraftBody,
}

/// The body of an object to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftBody {
    /// The sealed object itself, for small ones.
    Inline {
        /// Opaque to the catalog.
        sealed: Vec<u8>,
    },
    /// Parts of the upload, in this order.
    Pages {
        /// Numbers of the parts, each complete.
        parts: Vec<u32>,
        /// A page to write in the same batch as the commit, so that an object of one page costs one sync here.
        last_page: Option<PlacedPage>,
    },
}

/// A committed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The bucket.
    pub bucket: BucketId,
    /// Its key there.
    pub key: ObjectKey,
    /// The upload it came of: names its pages, and this version of the object.
    pub upload: UploadId,
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// Media type.
    pub content_type: String,
    /// Entity tag, without quotes.
    pub etag: String,
    /// User metadata.
    pub meta: Vec<(String, String)>,
    /// When it was committed.
    pub created_unix_ms: u64,
    /// Its bytes, or where they are.
    pub body: Body,
    /// Which version of its key it is; absent where the bucket kept none when it was put.
    pub version: Option<VersionId>,
    /// What keeps it.
    pub lock: Lock,
    /// The commit that wrote its row.
    pub revision: Revision,
}

/// The body of a committed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The sealed object itself.
    Inline {
        /// Opaque to the catalog.
        sealed: Vec<u8>,
    },
    /// Parts in order; their pages are read with `Catalog::page`.
    Pages {
        /// The parts.
        parts: Vec<PartSummary>,
    },
}

/// What must be true of the present object for a commit or delete to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// There is no object of that key.
    IfAbsent,
    /// There is one, with this entity tag.
    IfMatch(String),
}

/// A commit that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The object as it now is.
    pub object: Object,
    /// Whether it replaced another.
    pub replaced: bool,
}
