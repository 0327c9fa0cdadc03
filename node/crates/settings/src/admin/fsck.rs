//! What a check of the catalog against itself and against the nodes says, line by line (`POST /api/v1/admin/fsck`).

use datamesh_shard::PoolName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/admin/fsck`: what shall be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FsckRequest {
    /// Whether what can be mended is.
    pub repair: bool,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum FsckEvent {
    /// How far it is, each second at most.
    Progress(FsckProgress),
    /// Something is wrong.
    Finding(FsckFinding),
    /// It is over. An answer without this line was cut off.
    End(FsckSummary),
    /// It does not go on.
    Failed {
        /// Why.
        detail: String,
    },
}

/// How far a check is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FsckProgress {
    /// What it looks at.
    pub step: FsckStep,
    /// So many were looked at.
    pub done: u64,
    /// Of so many, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// What a check looks at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FsckStep {
    /// Uploads and objects: whether the rows of their segments are as their pages say.
    Uploads,
    /// References: whether somebody uses what they keep.
    References,
    /// Objects: whether their parts are there.
    Objects,
    /// Partitions of the pools: whether the nodes have what the catalog needs, and nothing else.
    Partitions,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FsckFinding {
    /// What.
    pub kind: FsckKind,
    /// The same in words.
    pub detail: String,
    /// The bucket of the object it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The object's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The segment's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The pool, if it is about nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// Whether it is right by now.
    pub mended: bool,
}

/// Kinds of what may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FsckKind {
    /// Rows of the catalog disagree; the detail says which, and whether that follows from the rest.
    Rows,
    /// An object cannot be read, or not whole: rows of it are missing.
    BrokenObject,
    /// Of a segment that an object needs, fewer shards are on the nodes than are needed to read it.
    LostSegment,
    /// Nodes have shards of a segment that the catalog does not know. Mended by deleting it after the retention.
    UnknownSegment,
    /// A node does not answer: what only it has was not seen, and nothing is called lost.
    NodeSilent,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FsckSummary {
    /// Uploads and objects of more than 4 KiB that were looked at.
    pub uploads: u64,
    /// References.
    pub references: u64,
    /// Those of them that are to segments of private buckets.
    #[serde(default)]
    pub private_references: u64,
    /// Segments that the catalog needs and nodes have whole: all k+m shards.
    pub whole: u64,
    /// Segments that can be read, with fewer than k+m shards on nodes that answer. Their stewards were told.
    pub short: u64,
    /// Segments of which fewer than k shards are on nodes that answer, while others do not.
    pub unseen: u64,
    /// Findings in all.
    pub findings: u64,
    /// Those of them that are right by now.
    pub mended: u64,
}

impl FsckSummary {
    /// Whether all that was looked at is as it should be, or is by now.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        (self.short, self.unseen) == (0, 0) && self.findings == self.mended
    }
}
