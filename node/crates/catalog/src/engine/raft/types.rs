//! What openraft is told about our log: an entry is a group of batches, its answer one outcome for each.

use std::fmt;
use std::sync::Arc;

use openraft::EmptyNode;
use openraft::impls::leader_id_std;
use openraft::type_config::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::GROUP_COMMITS_MAX;
use super::runtime::Runtime;
use crate::keyspace::{BATCH_ITEMS_MAX, Batch, CommitError, Revision};

openraft::declare_raft_types!(
    /// The types of a group of replicas.
    pub Types:
        D = Group,
        R = Outcomes,
        NodeId = ReplicaId,
        Node = EmptyNode,
        LeaderId = leader_id_std::LeaderId<u64, ReplicaId>,
        AsyncRuntime = Runtime,
);

/// A replica: its volume's number, never used again for another volume.
pub type ReplicaId = u64;
/// A place in the log.
pub(super) type LogId = LogIdOf<Types>;
/// An entry of the log.
pub(super) type Entry = EntryOf<Types>;
/// Whom a replica voted for, and whom a majority did.
pub(super) type Vote = VoteOf<Types>;
/// Who takes part, and since when.
pub(super) type Members = StoredMembershipOf<Types>;
/// What a snapshot stands for.
pub(super) type SnapshotMeta = SnapshotMetaOf<Types>;

/// Batches that share an entry: each is evaluated by itself, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group(pub Arc<[Batch]>);

impl Group {
    /// Whether it is within what an entry takes.
    pub(super) fn is_bounded(&self) -> bool {
        let oversized = |batch: &Batch| batch.checks.len().max(batch.writes.len()) > BATCH_ITEMS_MAX;
        self.0.len() <= GROUP_COMMITS_MAX && !self.0.iter().any(oversized)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} batches", self.0.len())
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::deserialize(deserializer)?.into()))
    }
}

/// What became of a group's batches, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes(pub Vec<Result<Revision, CommitError>>);
