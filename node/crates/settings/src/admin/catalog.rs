//! What the cluster knows of its catalog.

use datamesh_shard::{Incarnation, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The catalog's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogStatus {
    /// Who keeps it. Absent from gateways that know but one way.
    #[serde(default, skip_serializing_if = "CatalogEngine::is_embedded")]
    pub engine: CatalogEngine,
    /// Whole copies of the catalog that gateways have now. With one, its volume is the single copy of all names and keys.
    pub replicas: u32,
    /// The gateways that keep it together, by name. Empty where one keeps it, or a database does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<CatalogMember>,
    /// Gateways that are to leave, while there are any. Until they have, they stand among `members` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<CatalogLeaving>,
    /// Its backup in the mesh, as far as the gateway that answers makes it. Absent where a database has the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Its move from one engine to another, while the gateways' settings ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<CatalogMoveStatus>,
    /// Rises each time the catalog is opened.
    pub incarnation: Incarnation,
    /// Objects in all buckets.
    pub objects: u64,
    /// Segments waiting to be deleted from the nodes.
    pub condemned_segments: u64,
}

/// How far the catalog's backup in the mesh is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// What was acknowledged by then is in it: milliseconds since 1970. Absent before the first since this gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_unix_ms: Option<u64>,
    /// Seconds since then: what would be lost with the catalog now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<u64>,
    /// The catalog's revision in it.
    pub revision: u64,
    /// Sealed bytes of it, before coding.
    pub bytes: u64,
    /// Its segments.
    pub segments: u64,
    /// Why the last try came to nothing, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the administrator wants none: nodes let go of those there were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// How far copies of it at another S3 are. Absent where there shall be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopiesStatus>,
    /// The backup that this catalog itself was restored from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredStatus>,
}

/// A backup that is older counts as none: something is wrong with it.
const COUNTS_SECONDS_MAX: u64 = 120;

impl BackupStatus {
    /// Whether it is as new as it is to be.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.behind_seconds.is_some_and(|seconds| seconds <= COUNTS_SECONDS_MAX)
    }
}

/// How far copies of the catalog's backups are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopiesStatus {
    /// Where they are: host, bucket and prefix.
    pub place: String,
    /// What was acknowledged by then is in the newest whole one: milliseconds since 1970. Absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_unix_ms: Option<u64>,
    /// Seconds since then, by the clock of the gateway that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<u64>,
    /// Sealed bytes of it.
    pub bytes: u64,
    /// Why the last try came to nothing, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A newest copy that is older counts as none: something is wrong with it.
const COPY_COUNTS_SECONDS_MAX: u64 = 900;

impl CopiesStatus {
    /// Whether the newest is as new as it is to be.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.behind_seconds.is_some_and(|seconds| seconds <= COPY_COUNTS_SECONDS_MAX)
    }
}

/// A catalog that came out of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredStatus {
    /// What was acknowledged later was lost: milliseconds since 1970.
    pub until_unix_ms: u64,
    /// When it was restored: milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The lost catalog's revision that it came back to.
    pub revision: u64,
    /// Whether nothing is deleted from the nodes until an administrator has looked, since it came out of copies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletion_held: bool,
}

/// How far a catalog's move to another engine is, by the gateway that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogMoveStatus {
    /// Where it moves to.
    pub to: CatalogEngine,
    /// What is done now.
    pub phase: CatalogMovePhase,
    /// Rows that were read in this phase.
    pub rows: u64,
    /// Rows that changed meanwhile and are not copied yet.
    pub changes: u64,
    /// What it waits for, or why it does not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// What is done of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CatalogMovePhase {
    /// Nothing yet.
    Beginning,
    /// All rows are copied.
    Copying,
    /// All rows are compared.
    Comparing,
    /// What changes is copied, until little is left and all gateways are ready.
    Following,
    /// Nothing is committed where it was, and the other is about to be opened: from here on there is no way back.
    Opening,
    /// It is served where it has moved to.
    Moved,
}

/// Who keeps a catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CatalogEngine {
    /// The gateways, on their volumes.
    #[default]
    Embedded,
    /// A PostgreSQL database: how many copies it has, gateways cannot see.
    Postgres,
}

impl CatalogEngine {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_embedded(&self) -> bool {
        *self == Self::Embedded
    }
}

/// One of several gateways that keep the catalog together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogMember {
    /// The gateway.
    pub node: NodeName,
    /// Whether it counts as a copy.
    pub state: CatalogMemberState,
    /// Whether all writes go by way of it now.
    #[serde(default)]
    pub leads: bool,
}

/// How far gateways are that leave those which keep the catalog together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogLeaving {
    /// They.
    pub gateways: Vec<NodeName>,
    /// None of them has a vote or a part any more, for good: whatever becomes of them, those that stay need them no longer.
    pub have_left: bool,
    /// What they wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// What a gateway has of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CatalogMemberState {
    /// It votes and has everything, or will in a moment: a whole copy.
    Current,
    /// It votes, and is catching up.
    Behind,
    /// It is being brought up to the others, and does not vote yet.
    Joining,
    /// It does not answer.
    Away,
}
