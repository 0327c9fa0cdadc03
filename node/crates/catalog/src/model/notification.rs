use datamesh_shard::{BucketName, TargetName};
use serde::{Deserialize, Serialize};

use super::ObjectKey;
use crate::keyspace::Revision;

/// What may happen to a key. The order is that of the records: new ones stand last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// An object was put.
    Put,
    /// One was sent by a form.
    Post,
    /// One was copied.
    Copy,
    /// An upload became one.
    Completed,
    /// An object, a version or a marker was deleted for good.
    Deleted,
    /// A marker was made, which hides the key.
    Marked,
    /// A rule deleted an object, a version or a marker for good.
    Expired,
    /// A rule had a marker made.
    ExpiredMarked,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Put,
        Self::Post,
        Self::Copy,
        Self::Completed,
        Self::Deleted,
        Self::Marked,
        Self::Expired,
        Self::ExpiredMarked,
    ];
}

/// One target that wants to know of some events of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// What its maker calls it.
    pub id: String,
    /// Whom to tell.
    pub target: TargetName,
    /// Of what.
    pub kinds: Vec<EventKind>,
    /// Of keys that begin so.
    pub prefix: String,
    /// And end so.
    pub suffix: String,
}

impl Subscription {
    /// Whether it wants to know that this happened to a key.
    #[must_use]
    pub fn wants(&self, kind: EventKind, key: &[u8]) -> bool {
        self.kinds.contains(&kind)
            && key.starts_with(self.prefix.as_bytes())
            && key.ends_with(self.suffix.as_bytes())
    }

    /// Whether there may be a key, and something that happens to it, of which both want to know. Texts overlap where one begins, or ends,
    /// with the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let either = |one: &str, two: &str, is: fn(&str, &str) -> bool| is(one, two) || is(two, one);
        self.kinds.iter().any(|kind| other.kinds.contains(kind))
            && either(&self.prefix, &other.prefix, |one, two| one.starts_with(two))
            && either(&self.suffix, &other.suffix, |one, two| one.ends_with(two))
    }
}

/// How an object came to be put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As a whole.
    #[default]
    Put,
    /// By a form.
    Post,
    /// From another one.
    Copy,
    /// In parts.
    Parts,
}

impl Way {
    pub(crate) const fn kind(self) -> EventKind {
        match self {
            Self::Put => EventKind::Put,
            Self::Post => EventKind::Post,
            Self::Copy => EventKind::Copy,
            Self::Parts => EventKind::Completed,
        }
    }
}

/// Whose doing a change is, as its event tells it. Texts are cut to the catalog's limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// How an object is put.
    pub way: Way,
    /// Who asked for it, without anything that is secret.
    pub by: String,
    /// From which network address; empty: none.
    pub address: String,
    /// The id of their request; empty: none.
    pub request: String,
}

/// Something that happened, and waits for its target to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of events of one key, the later one has the higher number.
    pub order: u64,
    /// The key; absent: nothing happened, the target is only told that it is one.
    pub key: Option<ObjectKey>,
    /// What it was.
    pub what: Happened,
    /// Names its row, for who has told it.
    pub(crate) row: Vec<u8>,
    /// The commit that wrote the row.
    pub(crate) written: Revision,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Absent: nothing, this is a test.
    pub kind: Option<EventKind>,
    /// The bucket's name.
    pub bucket: BucketName,
    /// The id of the subscription; of a test, of the first that names the target.
    pub subscription: String,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The version it happened to, in a bucket that keeps them.
    pub version: Option<String>,
    /// Plaintext bytes of what was put.
    pub size_bytes: u64,
    /// Entity tag of what was put, without quotes; empty of what went.
    pub etag: String,
    /// Who asked for it.
    pub by: String,
    /// From which network address; empty: none.
    pub address: String,
    /// The id of their request; empty: none.
    pub request: String,
}

/// What is known of a target's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTally {
    /// Those that wait.
    pub pending: u64,
    /// Those that were given up since there is the target, as too many waited.
    pub dropped: u64,
}
