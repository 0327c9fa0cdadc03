//! What goes on in a cluster for longer than a request.

use datamesh_shard::{BucketName, NodeName, PoolName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/admin/jobs`: what is waiting or running now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jobs {
    /// The gateway that answers. What another one does is here as far as the catalog and the nodes tell of it.
    pub gateway: NodeName,
    /// All of them, by id.
    pub items: Vec<Job>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Names it as long as it goes on, at every gateway: the kind, then what it is of, with `:` between.
    pub id: String,
    /// What is done.
    pub kind: JobKind,
    /// What it is of.
    #[serde(flatten)]
    pub of: JobSubject,
    /// Whether it goes on.
    pub state: JobState,
    /// How far it is; absent where nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// Milliseconds since 1970; absent where nobody noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_unix_ms: Option<u64>,
    /// Seconds until it is done, at the rate so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// What it waits for and what will clear that, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Whether `datamesh jobs cancel` can call it off.
    pub can_be_cancelled: bool,
    /// How it is called off, or why it cannot be.
    pub cancel: String,
}

/// What a job is of, as far as there is one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSubject {
    /// A pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// A node of that pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// A gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<NodeName>,
    /// A bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketName>,
    /// An object's key, as people see it; the name of a target of events; the place of copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    /// A node gives its shards to the others.
    Drain,
    /// A deleted object's bytes leave the files.
    Shred,
    /// What a pool has in an earlier k and m is coded anew.
    Recode,
    /// Shards that are missing are rebuilt.
    Rebuild,
    /// Shards go home from nodes that stood in.
    Homing,
    /// Nodes read all their shards, over and over.
    Scrub,
    /// The catalog moves to another engine.
    CatalogMove,
    /// A gateway is brought up to the catalog that others keep.
    CatalogReplica,
    /// A snapshot of the catalog is written into the mesh, or a backup that was asked for waits.
    Backup,
    /// Backups are copied to another S3.
    BackupCopies,
    /// A restored catalog deletes nothing until somebody has looked.
    HeldDeletion,
    /// What was deleted leaves the nodes once nobody reads it any more.
    Reclaim,
    /// Events of buckets wait for their target.
    Notify,
    /// The catalog is checked against itself and the nodes.
    Fsck,
}

impl JobKind {
    /// As it is written in JSON, and in ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Shred => "shred",
            Self::Recode => "recode",
            Self::Rebuild => "rebuild",
            Self::Homing => "homing",
            Self::Scrub => "scrub",
            Self::CatalogMove => "catalogMove",
            Self::CatalogReplica => "catalogReplica",
            Self::Backup => "backup",
            Self::BackupCopies => "backupCopies",
            Self::HeldDeletion => "heldDeletion",
            Self::Reclaim => "reclaim",
            Self::Notify => "notify",
            Self::Fsck => "fsck",
        }
    }

    /// Whether it is done some day: what follows from use is there as long as a cluster is used.
    #[must_use]
    pub const fn ends(self) -> bool {
        !matches!(self, Self::Scrub | Self::Reclaim | Self::Notify | Self::BackupCopies)
    }
}

/// Whether a job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// It has not begun, or cannot go on now.
    Waiting,
    /// It goes on.
    Running,
    /// It should go on, and nothing comes of it.
    Stalled,
}

/// How far a job is. Where both are known, their sum is all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobProgress {
    /// What is counted.
    pub unit: JobUnit,
    /// So many are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// So many there are in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// So many are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
}

impl JobProgress {
    /// So many of so many.
    #[must_use]
    pub const fn of(unit: JobUnit, done: u64, total: u64) -> Self {
        Self { unit, done: Some(done), total: Some(total), left: Some(total.saturating_sub(done)) }
    }

    /// So many, of nobody knows how many.
    #[must_use]
    pub const fn done(unit: JobUnit, done: u64) -> Self {
        Self { unit, done: Some(done), total: None, left: None }
    }

    /// So many are left; how many there were nobody noted.
    #[must_use]
    pub const fn left(unit: JobUnit, left: u64) -> Self {
        Self { unit, done: None, total: None, left: Some(left) }
    }
}

/// What is counted of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JobUnit {
    /// Bytes.
    Bytes,
    /// Shards.
    Shards,
    /// Segments.
    Segments,
    /// Nodes.
    Nodes,
    /// Parts in a thousand.
    Permille,
    /// Rows of the catalog.
    Rows,
    /// Pieces of a backup.
    Pieces,
    /// Events.
    Events,
    /// Uploads and objects.
    Uploads,
    /// References.
    References,
    /// Objects.
    Objects,
    /// Partitions.
    Partitions,
}

impl JobUnit {
    /// As it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Shards => "shards",
            Self::Segments => "segments",
            Self::Nodes => "nodes",
            Self::Permille => "permille",
            Self::Rows => "rows",
            Self::Pieces => "pieces",
            Self::Events => "events",
            Self::Uploads => "uploads",
            Self::References => "references",
            Self::Objects => "objects",
            Self::Partitions => "partitions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_written_with_what_it_is_of_beside_the_rest() {
        let of = JobSubject { pool: Some("main".parse().unwrap()), ..JobSubject::default() };
        let job = Job {
            id: "rebuild:main".into(),
            kind: JobKind::Rebuild,
            of,
            state: JobState::Running,
            progress: Some(JobProgress::left(JobUnit::Segments, 3)),
            since_unix_ms: None,
            eta_seconds: None,
            waits_for: Vec::new(),
            can_be_cancelled: false,
            cancel: "no".into(),
        };
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(
            text,
            r#"{"id":"rebuild:main","kind":"rebuild","pool":"main","state":"running","progress":{"unit":"segments","left":3},"canBeCancelled":false,"cancel":"no"}"#
        );
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
        for kind in [JobKind::CatalogMove, JobKind::Scrub, JobKind::HeldDeletion] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
