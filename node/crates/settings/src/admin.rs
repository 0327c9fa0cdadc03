//! Shapes of the gateway's admin API, shared by the gateway that answers and the operator and CLI that ask. JSON.

use datamesh_shard::{Cipher, Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, ZoneName};
use serde::{Deserialize, Serialize};

/// `PUT /api/v1/admin/pools/{pool}`: what the administrator wants of one pool. Idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolSpec {
    /// k and m of the pool's segments.
    pub erasure: ErasureProfile,
    /// AEAD of new segments.
    #[serde(default)]
    pub cipher: Cipher,
    /// Shards that must be durable before a put is acknowledged after the tail deadline. Absent: k+1, which survives
    /// one more loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_shards: Option<u8>,
    /// The nodes that shall hold the pool's shards.
    pub members: Vec<DesiredMember>,
}

/// One node the administrator wants in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredMember {
    /// Its identity.
    pub node: NodeName,
    /// Its failure domain.
    pub zone: ZoneName,
    /// Bytes it may use; its weight.
    pub capacity_bytes: u64,
}

/// `GET /api/v1/status` and `GET /api/v1/admin/status`: what the cluster knows of itself, as its nodes reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The cluster's name.
    pub cluster: NodeName,
    /// The gateway that answers.
    pub gateway: NodeName,
    /// This build's version.
    pub version: String,
    /// First 16 hexadecimal digits of the cluster secret's fingerprint.
    pub key_fingerprint: String,
    /// The catalog's state.
    pub catalog: CatalogStatus,
    /// All pools, by name.
    pub pools: Vec<PoolStatus>,
}

/// The catalog's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogStatus {
    /// Copies of the catalog. With one, its volume is the single copy of all names and keys.
    pub replicas: u32,
    /// Rises each time the catalog is opened.
    pub incarnation: Incarnation,
    /// Objects in all buckets.
    pub objects: u64,
    /// Segments waiting to be deleted from the nodes.
    pub condemned_segments: u64,
}

/// One pool's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Its name.
    pub name: PoolName,
    /// k and m.
    pub erasure: ErasureProfile,
    /// The committed layout's epoch; absent until all desired members have joined for the first time.
    pub epoch: Option<Epoch>,
    /// Whether a put can be acknowledged now.
    pub writable: bool,
    /// Members of the layout and desired members, by name.
    pub members: Vec<MemberStatus>,
    /// Puts acknowledged with fewer than k+m shards since this gateway started; they are whole again after repair.
    pub short_puts: u64,
    /// Shards this gateway's reads found missing or corrupt since it started.
    pub damaged_shards: u64,
    /// What is wrong and what will clear it, a sentence each. Empty when all is well.
    pub problems: Vec<String>,
}

/// What a member is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberState {
    /// Desired, but has not joined yet.
    Joining,
    /// Answers.
    Up,
    /// Answers, but takes no new shards: its free space is below the reserve.
    Full,
    /// Does not answer.
    Down,
}

/// One member's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its identity.
    pub node: NodeName,
    /// Its failure domain.
    pub zone: ZoneName,
    /// What it is to the gateway.
    pub state: MemberState,
    /// Its public key, once joined.
    pub peer: Option<PeerKey>,
    /// What it last reported of itself; absent before its first report.
    pub report: Option<NodeReport>,
    /// Seconds since that report.
    pub report_age_seconds: Option<u64>,
}

/// What a storage node reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Rises each time its store is opened.
    pub incarnation: Incarnation,
    /// Shards it holds.
    pub shards: u64,
    /// Payload bytes of those.
    pub shard_bytes: u64,
    /// Bytes it may use.
    pub capacity_bytes: u64,
    /// Bytes its disk has free.
    pub free_bytes: u64,
    /// Whether it takes new shards.
    pub accepting: bool,
    /// Shards found corrupt since it was opened.
    pub corrupt_shards: u64,
    /// Newest layout epoch it knows, by pool name; its own pool only.
    pub epoch: Option<Epoch>,
}
