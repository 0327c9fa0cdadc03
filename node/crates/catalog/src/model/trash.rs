use super::{ObjectKey, VersionCursor, VersionId, VersionObject};

/// An object that was deleted and can be put back: a delete, and the version directly behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashEntry {
    /// Its key.
    pub key: ObjectKey,
    /// The exact id of the delete.
    pub id: VersionId,
    /// When it was deleted.
    pub deleted_unix_ms: u64,
    /// What can be put back.
    pub object: VersionObject,
}

/// Some of what was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrashPage {
    /// In the order of the keys, of each the last delete first.
    pub entries: Vec<TrashEntry>,
    /// Where to go on; absent at the end.
    pub next: Option<VersionCursor>,
}
