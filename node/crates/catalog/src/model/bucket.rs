use datamesh_shard::{BucketName, PoolName};
use serde::{Deserialize, Serialize};

use super::{BucketId, Locking};

/// Who seals a bucket's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BucketKind {
    /// The gateway.
    Managed,
    /// The client; the whole cluster is blind.
    Private,
}

/// One version of a bucket's secret, wrapped under the cluster secret; opaque to the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedSecret {
    /// The secret's version.
    pub version: u32,
    /// The wrapped secret.
    #[serde(with = "crate::record::bytes")]
    pub bytes: Vec<u8>,
}

/// What is set of a bucket and is opaque to the catalog. Numbers are never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BucketSetting {
    /// Its tags.
    Tags = 1,
    /// Rules by which its objects end.
    Lifecycle = 2,
    /// Rules for web pages of others.
    Cors = 3,
    /// Who wants to know of what happens in it: read by the catalog too, and written by `Catalog::subscribe` alone.
    Notifications = 20,
    /// Who may do what in it.
    Policy = 10,
    /// What its policy may not open.
    PublicAccessBlock = 11,
    /// How long what was deleted can be put back.
    Trash = 21,
}

impl BucketSetting {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Tags,
        Self::Lifecycle,
        Self::Cors,
        Self::Policy,
        Self::PublicAccessBlock,
        Self::Notifications,
        Self::Trash,
    ];
}

/// A bucket to make if there is none of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBucket {
    /// Its name.
    pub name: BucketName,
    /// Who seals.
    pub kind: BucketKind,
    /// Where its objects' segments go.
    pub pool: PoolName,
    /// Whether its versions may be locked: then it keeps all of them from the beginning.
    pub locking: Option<Locking>,
    /// Now.
    pub created_unix_ms: u64,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its number.
    pub id: BucketId,
    /// Its name.
    pub name: BucketName,
    /// Who seals.
    pub kind: BucketKind,
    /// Where its objects' segments go.
    pub pool: PoolName,
    /// Its wrapped secrets, by version.
    pub secrets: Vec<WrappedSecret>,
    /// When it was made.
    pub created_unix_ms: u64,
}

/// What a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketUsage {
    /// Objects.
    pub objects: u64,
    /// Their plaintext bytes.
    pub plain_bytes: u64,
    /// What is kept beside them: versions that are not their key's object, deletes among them.
    pub versions: u64,
    /// Their plaintext bytes.
    pub version_bytes: u64,
}
