use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BucketId, Object, ObjectKey, UploadId};

/// What a bucket does with what is replaced and deleted. One that kept versions once is never without them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It is kept.
    Enabled,
    /// What was kept stays; from now on the version without an id is replaced.
    Suspended,
}

/// Names one version of a key. Opaque to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionId {
    /// The one that was put while the bucket kept none.
    Null,
    /// Any other.
    Numbered {
        /// Rises with each version of the key.
        order: u64,
        /// What it came of.
        upload: UploadId,
    },
}

/// Why a text is no version's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version's id is `null`, or 48 hexadecimal digits")]
pub struct VersionIdError;

/// What the version without an id is called.
const NULL: &str = "null";

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str(NULL),
            Self::Numbered { order, upload } => write!(f, "{order:016x}{upload}"),
        }
    }
}

impl FromStr for VersionId {
    type Err = VersionIdError;

    fn from_str(text: &str) -> Result<Self, VersionIdError> {
        if text == NULL {
            return Ok(Self::Null);
        }
        let mut id = [0; 24];
        hex::decode_to_slice(text, &mut id).map_err(|_| VersionIdError)?;
        let (order, upload) = id.split_first_chunk::<8>().ok_or(VersionIdError)?;
        let upload = UploadId(upload.try_into().map_err(|_| VersionIdError)?);
        Ok(Self::Numbered { order: u64::from_be_bytes(*order), upload })
    }
}

/// A delete in a bucket that keeps versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: ObjectKey,
    /// Its own id.
    pub version: VersionId,
    /// When it was made.
    pub created_unix_ms: u64,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// An object.
    Object(Object),
    /// A delete.
    Marker(Marker),
}

impl Version {
    /// Its id; absent where the bucket kept no versions when it was put.
    #[must_use]
    pub fn id(&self) -> Option<VersionId> {
        match self {
            Self::Object(object) => object.version,
            Self::Marker(marker) => Some(marker.version),
        }
    }
}

/// What a delete of a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// There was nothing.
    Nothing,
    /// The object is gone.
    Object(Object),
    /// The bucket keeps versions: nothing of the key is shown any more but the marker.
    Marked {
        /// What hides the key.
        marker: Marker,
        /// The object whose place the marker took, which is gone: the version without an id, where it is to be the only one.
        gone: Option<Object>,
    },
}

/// When a delete leaves a marker in a bucket that keeps versions. The upload stands in the marker's id, and is nothing else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marking {
    /// Also where it hides nothing.
    Always(UploadId),
    /// Only where the key shows an object.
    ToHide(UploadId),
}

impl Marking {
    /// What the marker's id is made of; absent: there is to be none.
    pub(crate) fn upload(self, shows_an_object: bool) -> Option<UploadId> {
        match self {
            Self::Always(upload) => Some(upload),
            Self::ToHide(upload) => shows_an_object.then_some(upload),
        }
    }
}

impl Deleted {
    /// The marker that was made.
    #[must_use]
    pub fn marker(&self) -> Option<&Marker> {
        match self {
            Self::Marked { marker, .. } => Some(marker),
            Self::Object(_) | Self::Nothing => None,
        }
    }

    /// The object that is gone.
    #[must_use]
    pub fn object(self) -> Option<Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Marked { gone, .. } => gone,
            Self::Nothing => None,
        }
    }
}

/// What versions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionQuery {
    /// Only keys that begin with these bytes.
    pub prefix: Vec<u8>,
    /// Where to begin; absent: at the beginning.
    pub after: Option<VersionCursor>,
    /// Versions and common prefixes together at most; cut to the catalog's own limit.
    pub limit: usize,
    /// Keys that have it after the prefix are rolled up into one common prefix, which ends with it.
    pub delimiter: Option<String>,
}

/// Where a listing of versions goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionCursor {
    /// After all versions of this key (which need not exist).
    Key(Vec<u8>),
    /// After this version of a key (which need not exist any more).
    Version(ObjectKey, VersionId),
    /// After all keys that begin with this.
    Prefix(Vec<u8>),
}

/// One page of a listing of versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionListing {
    /// Versions in the order of their keys, of each key the newest first.
    pub entries: Vec<VersionEntry>,
    /// Common prefixes, in order.
    pub common_prefixes: Vec<Vec<u8>>,
    /// Where to go on; absent at the end.
    pub next: Option<VersionCursor>,
}

/// One listed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    /// Its key.
    pub key: ObjectKey,
    /// Its id.
    pub version: VersionId,
    /// An id that is only this one's, also where it is the version without an id, which may be another one soon.
    pub exact: VersionId,
    /// Whether it is what the key shows now.
    pub latest: bool,
    /// When it was put, or the delete made.
    pub created_unix_ms: u64,
    /// Its object; absent: a delete.
    pub object: Option<VersionObject>,
}

/// What a listing says of a version that is an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionObject {
    /// The upload it came of.
    pub upload: UploadId,
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// Entity tag, without quotes.
    pub etag: String,
}
