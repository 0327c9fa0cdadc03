use datamesh_settings::admin::{DesiredMember, PoolSpec, RecodeSpec, ScrubSpec};
use datamesh_shard::limits::POOL_MEMBERS_MAX;
use datamesh_shard::{Cipher, Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, ZoneName};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::{BUCKET_SECRETS_MAX, LAYOUT_BYTES_MAX, WRAPPED_SECRET_BYTES_MAX};
use crate::model::{BucketId, BucketKind, WrappedSecret};

/// Whose catalog it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Fingerprint of the cluster secret.
    pub fingerprint: String,
    /// Raised at each open.
    pub incarnation: Incarnation,
}

impl Record for ClusterRecord {
    const NAME: &'static str = "cluster";
}

/// What the administrator wants of a pool; the admin API's shape may change, this one has versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// k and m.
    pub erasure: ErasureProfile,
    /// AEAD of new segments.
    pub cipher: Cipher,
    /// Shards that must be durable before an acknowledgement.
    pub ack_shards: Option<u8>,
    /// The wanted members.
    pub members: Vec<MemberRecord>,
}

/// One wanted member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its identity.
    pub node: NodeName,
    /// Its failure domain.
    pub zone: ZoneName,
    /// Its weight.
    pub capacity_bytes: u64,
}

impl Record for PoolRecord {
    const NAME: &'static str = "pool";

    fn check(&self) -> Result<(), &'static str> {
        if self.members.len() > POOL_MEMBERS_MAX { Err("too many members") } else { Ok(()) }
    }
}

impl From<&PoolSpec> for PoolRecord {
    fn from(spec: &PoolSpec) -> Self {
        let member = |member: &DesiredMember| MemberRecord {
            node: member.node.clone(),
            zone: member.zone.clone(),
            capacity_bytes: member.capacity_bytes,
        };
        Self {
            erasure: spec.erasure,
            cipher: spec.cipher,
            ack_shards: spec.ack_shards,
            members: spec.members.iter().map(member).collect(),
        }
    }
}

impl From<PoolRecord> for PoolSpec {
    fn from(record: PoolRecord) -> Self {
        let member =
            |MemberRecord { node, zone, capacity_bytes }| DesiredMember { node, zone, capacity_bytes };
        Self {
            erasure: record.erasure,
            cipher: record.cipher,
            ack_shards: record.ack_shards,
            members: record.members.into_iter().map(member).collect(),
            scrub: ScrubSpec::default(),
            recode: RecodeSpec::default(),
        }
    }
}

/// What is wanted of a pool's scrub. A row of its own, which builds that know no such wish pass over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubRecord {
    /// Seconds within which each node reads all of its shards.
    pub period_seconds: u64,
    /// Whether none shall.
    pub paused: bool,
    /// Payload bytes a second and node at most.
    pub max_bytes_per_second: Option<u64>,
}

impl Record for ScrubRecord {
    const NAME: &'static str = "scrub";
}

impl From<ScrubSpec> for ScrubRecord {
    fn from(spec: ScrubSpec) -> Self {
        let ScrubSpec { period_seconds, paused, max_bytes_per_second } = spec;
        Self { period_seconds, paused, max_bytes_per_second }
    }
}

impl From<ScrubRecord> for ScrubSpec {
    fn from(record: ScrubRecord) -> Self {
        let ScrubRecord { period_seconds, paused, max_bytes_per_second } = record;
        Self { period_seconds, paused, max_bytes_per_second }
    }
}

/// What is wanted of what a pool has in earlier profiles. A row of its own, as of its scrub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecodeRecord {
    /// Whether it is coded anew.
    pub enabled: bool,
    /// Sealed bytes a second at most.
    pub max_bytes_per_second: Option<u64>,
}

impl Record for RecodeRecord {
    const NAME: &'static str = "recode";
}

impl From<RecodeSpec> for RecodeRecord {
    fn from(spec: RecodeSpec) -> Self {
        let RecodeSpec { enabled, max_bytes_per_second } = spec;
        Self { enabled, max_bytes_per_second }
    }
}

impl From<RecodeRecord> for RecodeSpec {
    fn from(record: RecodeRecord) -> Self {
        let RecodeRecord { enabled, max_bytes_per_second } = record;
        Self { enabled, max_bytes_per_second }
    }
}

/// A signed layout; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRecord {
    /// The layout and its signature.
    #[serde(with = "super::bytes")]
    pub signed: Vec<u8>,
}

impl Record for LayoutRecord {
    const NAME: &'static str = "layout";

    fn check(&self) -> Result<(), &'static str> {
        if self.signed.len() > LAYOUT_BYTES_MAX { Err("the layout is too long") } else { Ok(()) }
    }
}

/// A pool's newest epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutHeadRecord {
    /// The epoch.
    pub epoch: Epoch,
}

impl Record for LayoutHeadRecord {
    const NAME: &'static str = "layout head";
}

/// Who used a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRecord {
    /// The pool it joined.
    pub pool: PoolName,
    /// As this node.
    pub node: NodeName,
    /// With this key.
    pub peer: PeerKey,
}

impl Record for JoinRecord {
    const NAME: &'static str = "join";
}

/// The key of a node's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRecord {
    /// The key.
    pub peer: PeerKey,
}

impl Record for BindingRecord {
    const NAME: &'static str = "binding";
}

/// A node that shall give its shards away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// When that was asked for.
    pub since_unix_ms: u64,
}

impl Record for DrainRecord {
    const NAME: &'static str = "drain";
}

/// A volume that was given up for lost, by its node's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpRecord {
    /// The pool it was in.
    pub pool: PoolName,
    /// As this node.
    pub node: NodeName,
    /// When it was given up.
    pub since_unix_ms: u64,
}

impl Record for GivenUpRecord {
    const NAME: &'static str = "given up";
}

/// The node's name of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its pool.
    pub pool: PoolName,
    /// Its name.
    pub node: NodeName,
}

impl Record for PeerRecord {
    const NAME: &'static str = "peer";
}

/// The highest incarnation seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncarnationRecord {
    /// The incarnation.
    pub incarnation: Incarnation,
}

impl Record for IncarnationRecord {
    const NAME: &'static str = "incarnation";
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRecord {
    /// Its number.
    pub id: BucketId,
    /// Who seals.
    pub kind: BucketKind,
    /// Where its segments go.
    pub pool: PoolName,
    /// Its wrapped secrets.
    pub secrets: Vec<WrappedSecret>,
    /// When it was made.
    pub created_unix_ms: u64,
}

impl Record for BucketRecord {
    const NAME: &'static str = "bucket";

    fn check(&self) -> Result<(), &'static str> {
        if self.secrets.len() > BUCKET_SECRETS_MAX {
            return Err("too many secrets");
        }
        if self.secrets.iter().any(|secret| secret.bytes.len() > WRAPPED_SECRET_BYTES_MAX) {
            return Err("a wrapped secret is too long");
        }
        Ok(())
    }
}

/// The next bucket's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketNextRecord {
    /// The number.
    pub next: BucketId,
}

impl Record for BucketNextRecord {
    const NAME: &'static str = "next bucket";
}
