//! Shapes of the gateway's admin API, shared by the gateway that answers and the operator and CLI that ask. JSON.

mod avoided;
mod backups;
mod catalog;
mod fsck;
mod jobs;
mod recode;
mod scrub;

use datamesh_shard::{
    Cipher, Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, TargetName, ZoneName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use avoided::{AvoidedReason, AvoidedStatus};
pub use backups::{AskedBackup, BackupOverview, BackupPlace, BackupPoint, BackupPoints, WritingSnapshot};
pub use catalog::{
    BackupStatus, CatalogEngine, CatalogLeaving, CatalogMember, CatalogMemberState, CatalogMovePhase,
    CatalogMoveStatus, CatalogStatus, CopiesStatus, RestoredStatus,
};
pub use fsck::{FsckEvent, FsckFinding, FsckKind, FsckProgress, FsckRequest, FsckStep, FsckSummary};
pub use jobs::{Job, JobKind, JobProgress, JobState, JobSubject, JobUnit, Jobs};
pub use recode::{ProfileStatus, RECODE_BYTES_PER_SECOND_MIN, RecodeSpec, RecodeState, RecodeStatus};
pub use scrub::{
    PoolScrub, SCRUB_BYTES_PER_SECOND_MIN, SCRUB_PERIOD_SECONDS_DEFAULT, SCRUB_PERIOD_SECONDS_MAX,
    SCRUB_PERIOD_SECONDS_MIN, ScrubReport, ScrubSpec,
};

/// `PUT /api/v1/admin/pools/{pool}`: what the administrator wants of one pool. Idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolSpec {
    /// k and m of new segments.
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
    /// How they read their shards. Left out where it is the default, which gateways that know no such wish can read.
    #[serde(default, skip_serializing_if = "ScrubSpec::is_default")]
    pub scrub: ScrubSpec,
    /// What becomes of segments of an earlier k and m. Left out where it is the default.
    #[serde(default, skip_serializing_if = "RecodeSpec::is_default")]
    pub recode: RecodeSpec,
}

impl PoolSpec {
    /// The wanted node of this name.
    #[must_use]
    pub fn member(&self, node: &NodeName) -> Option<&DesiredMember> {
        self.members.iter().find(|member| member.node == *node)
    }
}

/// One node the administrator wants in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredMember {
    /// Its identity.
    pub node: NodeName,
    /// The failure domain it is pinned to: what its certificate and the layout say. A node that says otherwise is not
    /// let in.
    pub zone: ZoneName,
    /// Bytes it may use; its weight.
    pub capacity_bytes: u64,
}

/// `GET /api/v1/status` and `GET /api/v1/admin/status`: what the cluster knows of itself, as its nodes reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The pool of the default bucket, which its first put fixes; until then the first by name. Absent without pools, and
    /// from gateways that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_pool: Option<PoolName>,
    /// All pools, by name.
    pub pools: Vec<PoolStatus>,
    /// How events of buckets get to their targets, by name. Empty where there are none, and from gateways that do not say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<NotificationStatus>,
}

/// How events of buckets get to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationStatus {
    /// Its name.
    pub target: TargetName,
    /// Events that wait.
    pub pending: u64,
    /// Events that were given up since there is the target, as too many waited.
    pub dropped: u64,
    /// What is wrong, in words. Why the last message did not arrive is known to the gateway alone that leads the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// One pool's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Its name.
    pub name: PoolName,
    /// k and m that are wanted of new segments.
    pub erasure: ErasureProfile,
    /// What the pool has in each k and m, the one of new segments first. Empty without a layout, and from gateways that do not
    /// say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileStatus>,
    /// How far it is with coding anew what is of an earlier k and m. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recode: Option<RecodeStatus>,
    /// The committed layout's epoch; absent until all desired members have joined for the first time.
    pub epoch: Option<Epoch>,
    /// Whether a put can be acknowledged now.
    pub writable: bool,
    /// Members of the layout and desired members, by name.
    pub members: Vec<MemberStatus>,
    /// Segments acknowledged with fewer than k+m shards, or with two of them on one node, since this gateway started.
    /// Those that became whole afterwards are counted, too.
    pub short_puts: u64,
    /// Shards this gateway's reads found missing or corrupt since it started.
    pub damaged_shards: u64,
    /// When this gateway began to count both, in milliseconds since 1970; it keeps them in memory. Absent from gateways
    /// that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counting_since_unix_ms: Option<u64>,
    /// Shards of a segment that the loss of a whole zone may cost, where that is more than m. Absent when it is survived,
    /// without a layout, and from gateways that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_loss_shards: Option<u32>,
    /// How its segments are, as the nodes counted them. Absent without a layout, and from gateways that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<PoolSafety>,
    /// How far its nodes are with reading their shards. Absent from gateways that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<PoolScrub>,
    /// What is wrong and what will clear it, a sentence each. Empty when all is well.
    pub problems: Vec<String>,
}

/// How a pool's segments are. Each partition is counted by its steward, the first live node that holds it; nothing here
/// is better than the truth at the time of counting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSafety {
    /// Partitions of the pool's newest layout.
    pub partitions: u32,
    /// Those that were counted under it by nodes that answer. Fewer: the counts below are not all.
    pub counted_partitions: u32,
    /// Age of the oldest count, in seconds.
    pub oldest_seconds: u64,
    /// Segments that survive the loss of exactly so many further nodes, from 0 to the largest m of the pool's profiles.
    pub segments: Vec<u64>,
    /// Those of them that survive less than their own profile allows for when all their shards are there.
    #[serde(default)]
    pub short: Vec<u64>,
    /// Segments that were acknowledged short and not counted since: they are in none of the counts, or in a better place than they
    /// should be. Left out where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub short_lately: u64,
    /// Segments of which fewer than k shards are to be had.
    pub unreadable: u64,
    /// Shards on nodes that only stand in for the one they belong to.
    pub away: u64,
    /// Segments that are not counted above: just being written or deleted, or short of shards only since a moment ago.
    #[serde(default)]
    pub under_way: u64,
    /// Partitions of which some member did not say what it has: there may be more shards on nodes that stand in.
    #[serde(default)]
    pub unheard_partitions: u32,
    /// Shards rebuilt since the nodes started.
    pub rebuilt_shards: u64,
    /// Shards that could not be rebuilt, tries counted.
    pub failed_rebuilds: u64,
    /// Shards read by the scrub since the nodes started.
    #[serde(default)]
    pub scrubbed_shards: u64,
    /// Those of them that were corrupt.
    #[serde(default)]
    pub scrubbed_corrupt: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PoolStatus {
    /// Of the profiles the pool has data in, or wants, the one that survives the fewest losses: what is said of it holds for all.
    #[must_use]
    pub fn weakest(&self) -> ErasureProfile {
        let all = self.profiles.iter().map(|profile| profile.erasure).chain([self.erasure]);
        all.min_by_key(|profile| profile.m()).unwrap_or(self.erasure)
    }

    /// What is not as it should be among what the nodes counted, a sentence each, whether they counted all or not.
    #[must_use]
    pub fn flaws(&self) -> Vec<String> {
        self.safety.as_ref().map(PoolSafety::flaws).unwrap_or_default()
    }

    /// The nodes' counts, if they are of all partitions: then they say more than what the gateway saw.
    #[must_use]
    pub fn counts(&self) -> Option<&PoolSafety> {
        self.safety.as_ref().filter(|safety| safety.is_complete())
    }
}

impl PoolSafety {
    /// Whether every partition was counted, once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.counted_partitions == self.partitions
    }

    /// Whether every shard lies with the node it belongs to.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_complete() && self.flaws().is_empty()
    }

    /// What is not as it should be among what was counted, a sentence each.
    #[must_use]
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        if self.unreadable > 0 {
            flaws.push(format!(
                "UNREADABLE: {} segments have too few shards on the nodes that answer; bring the missing nodes back.",
                self.unreadable
            ));
        }
        for (losses, segments) in self.short.iter().enumerate().filter(|(_, segments)| **segments > 0) {
            flaws.push(format!(
                "{segments} segments survive the loss of {losses} more nodes, fewer than when they are whole: their shards are \
                 rebuilt, or wait for a node that is away."
            ));
        }
        if self.short_lately > 0 {
            flaws.push(format!(
                "{} segments were acknowledged short and not counted since: take it that they survive the loss of one more node at \
                 most.",
                self.short_lately
            ));
        }
        if self.away > 0 {
            flaws.push(format!(
                "{} shards are with nodes that stand in; they go home once their own nodes take them.",
                self.away
            ));
        }
        if self.unheard_partitions > 0 {
            flaws.push(format!(
                "{} partitions were counted without the word of every node: what only the silent ones have is not known.",
                self.unheard_partitions
            ));
        }
        flaws
    }
}

/// What a member is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How far it is with giving its shards away, if it shall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
    /// That the gateway avoids it, and why, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoided: Option<AvoidedStatus>,
}

/// How far a member is with giving its shards to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Where it stands.
    pub state: DrainState,
    /// Shards it still has; absent before it reported.
    pub left_shards: Option<u64>,
    /// Payload bytes of all it still has; absent before it reported.
    pub left_bytes: Option<u64>,
    /// Bytes that left it since this gateway began to watch.
    pub moved_bytes: u64,
    /// Seconds until the rest will have left it, at the rate so far; absent until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// What it waits for and what will clear that, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}

/// Where a drain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DrainState {
    /// Wanted, but the layout that says so is not committed yet.
    Pending,
    /// Shards are leaving.
    Moving,
    /// Nothing has left for a while.
    Stalled,
    /// It has no shard any more and takes none: its pod and its volume may go.
    Drained,
}

/// What a storage node reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Shards that were on their way into its store when it said so. The other numbers are from afterwards.
    #[serde(default)]
    pub arriving: u64,
    /// How its scrub is. Absent from nodes that cannot be told how to scrub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubReport>,
}

impl NodeReport {
    /// Whether a node that drains since `epoch` has nothing to give any more and takes nothing either.
    ///
    /// It says which layout it knows, then what is on its way in, then what is there: what came before is counted, and
    /// what comes later it refuses by that layout.
    #[must_use]
    pub fn is_drained(&self, epoch: Epoch) -> bool {
        self.epoch == Some(epoch) && self.arriving == 0 && self.shards == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a gateway answered before it had more to say.
    const OLD_STATUS: &str = r#"{
        "cluster": "datamesh.demo", "gateway": "demo-gateway", "version": "0.1.0", "keyFingerprint": "0",
        "catalog": {"replicas": 1, "incarnation": 1, "objects": 0, "condemnedSegments": 0},
        "pools": [{"name": "main", "erasure": {"data": 4, "parity": 2}, "epoch": 1, "writable": true, "members": [],
            "shortPuts": 2, "damagedShards": 0, "problems": []}]
    }"#;

    #[test]
    fn an_older_gateways_status_is_read() {
        let status: ClusterStatus = serde_yaml::from_str(OLD_STATUS).unwrap();
        assert_eq!(status.default_pool, None);
        let pool = &status.pools[0];
        assert_eq!((pool.short_puts, pool.counting_since_unix_ms, pool.zone_loss_shards), (2, None, None));
    }
}
