//! Shapes of `GET /api/v1/admin/mesh`: who sees whom, and what follows from it. JSON.

use std::collections::BTreeSet;

use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::MemberState;

/// What one storage node sees of the others of its pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshView {
    /// Its build's version.
    pub version: String,
    /// Its clock, in seconds since 1970.
    pub now_unix: u64,
    /// The other members of its pool's newest layout.
    pub peers: Vec<PeerView>,
}

/// What a gateway says of itself to the others that keep the catalog with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogStanding {
    /// Its `node`.
    pub node: NodeName,
    /// Its volume's number among the replicas.
    pub replica: u64,
    /// What it has.
    pub holding: CatalogHolding,
    /// The last entry of the group's log that is in its rows.
    #[serde(default)]
    pub applied: u64,
    /// Whether it leads, as far as it knows.
    #[serde(default)]
    pub leads: bool,
    /// The replicas with a vote, as far as it knows.
    #[serde(default)]
    pub voters: BTreeSet<u64>,
}

impl CatalogStanding {
    /// Whether it has a replica and has not looked yet which group that is in.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        self.holding == CatalogHolding::Replica && self.voters.is_empty()
    }
}

/// What a gateway has of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CatalogHolding {
    /// Nothing yet.
    Nothing,
    /// All of it, alone: it was no replica before.
    Alone,
    /// What its group has.
    Replica,
}

/// How one node is to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// Its public key.
    pub peer: PeerKey,
    /// How it is.
    #[serde(flatten)]
    pub sight: Sight,
}

/// Whether and how fast one process reaches another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// Whether it is believed to answer.
    pub live: bool,
    /// Microseconds from the last greeting on an open connection to its answer; absent before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_micros: Option<u64>,
    /// Microseconds that 95 of the last 100 reads of shards from it took at most; absent before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_p95_micros: Option<u64>,
}

/// `GET /api/v1/admin/mesh`: every node was asked what it sees when this was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshStatus {
    /// The gateway that asked.
    pub gateway: NodeName,
    /// Its build's version.
    pub version: String,
    /// Members of all pools' layouts, by pool and name.
    pub nodes: Vec<MeshNode>,
    /// What is not as it should be, worst first. Empty when all is well.
    pub findings: Vec<Finding>,
}

/// One node, as the gateway sees it and as it sees the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshNode {
    /// Its pool.
    pub pool: PoolName,
    /// Its name.
    pub node: NodeName,
    /// Its failure domain.
    pub zone: ZoneName,
    /// What it is to the gateway.
    pub state: MemberState,
    /// How the gateway reaches it.
    pub reached: Sight,
    /// Its build's version; absent if it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Milliseconds its clock is ahead of the gateway's for certain: what the way there and back, and its clock's whole
    /// seconds, leave open is taken off. Negative if it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// How it reaches the others; absent if it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sees: Option<Vec<SeenNode>>,
}

/// How one node reaches another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenNode {
    /// The other.
    pub node: NodeName,
    /// How it is.
    #[serde(flatten)]
    pub sight: Sight,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what will clear it.
    pub message: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// Data cannot be read, or cannot be written.
    Critical,
    /// One more loss may cost more than it should.
    Warning,
}
