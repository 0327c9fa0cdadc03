use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;

use super::{ObjectKey, UploadId};

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only keys that begin with these bytes.
    pub prefix: Vec<u8>,
    /// Where to begin; absent: at the beginning.
    pub after: Option<Cursor>,
    /// Entries and common prefixes together at most; cut to the catalog's own limit.
    pub limit: usize,
    /// Keys that have it after the prefix are rolled up into one common prefix, which ends with it.
    pub delimiter: Option<String>,
}

/// Where a listing goes on. Its encoding is opaque to users and stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// After this key (which need not exist).
    Key(Vec<u8>),
    /// After all keys that begin with this.
    Prefix(Vec<u8>),
}

/// Why bytes are no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor of a listing")]
pub struct CursorError;

const CURSOR_VERSION: u8 = 1;
const CURSOR_KEY: u8 = 1;
const CURSOR_PREFIX: u8 = 2;

impl Cursor {
    /// Version, kind, then the key's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Self::Key(key) => (CURSOR_KEY, key),
            Self::Prefix(prefix) => (CURSOR_PREFIX, prefix),
        };
        [&[CURSOR_VERSION, kind], bytes.as_slice()].concat()
    }

    /// Reads an encoded cursor.
    ///
    /// # Errors
    /// Refuses another version or kind, and keys above the limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CursorError> {
        match bytes {
            [_, _, rest @ ..] if rest.len() > OBJECT_KEY_BYTES_MAX => Err(CursorError),
            [CURSOR_VERSION, CURSOR_KEY, key @ ..] => Ok(Self::Key(key.to_vec())),
            [CURSOR_VERSION, CURSOR_PREFIX, prefix @ ..] => Ok(Self::Prefix(prefix.to_vec())),
            _ => Err(CursorError),
        }
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Objects, in the order of their keys.
    pub entries: Vec<Entry>,
    /// Common prefixes, in order.
    pub common_prefixes: Vec<Vec<u8>>,
    /// Where to go on; absent at the end.
    pub next: Option<Cursor>,
}

/// One listed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: ObjectKey,
    /// The upload it came of.
    pub upload: UploadId,
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// Media type.
    pub content_type: String,
    /// Entity tag, without quotes.
    pub etag: String,
    /// When it was committed.
    pub created_unix_ms: u64,
}
