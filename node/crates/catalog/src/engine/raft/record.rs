//! What a replica keeps beside its rows, and how entries travel. Fixed by golden files; openraft's own types are not
//! written, so that another version of it reads the same bytes.

use std::collections::BTreeSet;

use openraft::entry::RaftEntry;
use openraft::impls::leader_id_std::LeaderId;
use openraft::{EmptyNode, EntryPayload, Membership};
use serde::{Deserialize, Serialize};

use super::limits::{ENTRY_BYTES_MAX, REPLICAS_MAX};
use super::types::{Entry, Group, LogId, Members, ReplicaId, SnapshotMeta, Vote};
use crate::keyspace::{Change, ChangeKind, KEY_BYTES_MAX, Revision};
use crate::record::Record;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The term of the leader that wrote it.
    pub term: u64,
    /// Its number: without holes.
    pub index: u64,
}

impl From<LogId> for Place {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<Place> for LogId {
    fn from(place: Place) -> Self {
        Self { leader_id: place.term.into(), index: place.index }
    }
}

impl Record for Place {
    const NAME: &'static str = "log place";
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRecord {
    /// The candidate's term.
    pub term: u64,
    /// The candidate.
    pub candidate: ReplicaId,
    /// Whether a majority gave it.
    pub won: bool,
}

impl Record for VoteRecord {
    const NAME: &'static str = "vote";
}

impl From<Vote> for VoteRecord {
    fn from(vote: Vote) -> Self {
        Self { term: vote.leader_id.term, candidate: vote.leader_id.voted_for, won: vote.committed }
    }
}

impl From<VoteRecord> for Vote {
    fn from(vote: VoteRecord) -> Self {
        let leader_id = LeaderId { term: vote.term, voted_for: vote.candidate };
        Self { leader_id, committed: vote.won }
    }
}

/// Who takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersRecord {
    /// Voters; two sets while one is changed into the other.
    pub voters: Vec<BTreeSet<ReplicaId>>,
    /// Those that are told and have no vote.
    pub learners: BTreeSet<ReplicaId>,
}

impl MembersRecord {
    fn is_bounded(&self) -> bool {
        let sizes = self.voters.iter().map(BTreeSet::len).chain([self.learners.len()]);
        self.voters.len() <= 2 && sizes.max().is_none_or(|most| most <= REPLICAS_MAX)
    }
}

impl From<&Membership<ReplicaId, EmptyNode>> for MembersRecord {
    fn from(members: &Membership<ReplicaId, EmptyNode>) -> Self {
        Self { voters: members.get_joint_config().clone(), learners: members.learner_ids().collect() }
    }
}

impl From<MembersRecord> for Membership<ReplicaId, EmptyNode> {
    fn from(record: MembersRecord) -> Self {
        Self::new_with_defaults(record.voters, record.learners)
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryBody {
    /// Nothing: a leader's first.
    Blank,
    /// Commits.
    Group(Group),
    /// Who takes part from here on.
    Members(MembersRecord),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// Its place.
    pub at: Place,
    /// What it says.
    pub body: EntryBody,
}

impl Record for EntryRecord {
    const NAME: &'static str = "log entry";
    const BYTES_MAX: usize = ENTRY_BYTES_MAX;

    fn check(&self) -> Result<(), &'static str> {
        match &self.body {
            EntryBody::Group(group) if !group.is_bounded() => Err("more or larger batches than a group has"),
            EntryBody::Members(members) if !members.is_bounded() => Err("too many members"),
            _ => Ok(()),
        }
    }
}

impl From<&Entry> for EntryRecord {
    fn from(entry: &Entry) -> Self {
        let body = match &entry.payload {
            EntryPayload::Blank => EntryBody::Blank,
            EntryPayload::Normal(group) => EntryBody::Group(group.clone()),
            EntryPayload::Membership(members) => EntryBody::Members(members.into()),
        };
        Self { at: entry.log_id.into(), body }
    }
}

impl From<EntryRecord> for Entry {
    fn from(record: EntryRecord) -> Self {
        let payload = match record.body {
            EntryBody::Blank => EntryPayload::Blank,
            EntryBody::Group(group) => EntryPayload::Normal(group),
            EntryBody::Members(members) => EntryPayload::Membership(members.into()),
        };
        Self::new(record.at.into(), payload)
    }
}

/// How far the rows are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedRecord {
    /// The last entry in them.
    pub at: Option<Place>,
    /// The entry that named the members.
    pub members_at: Option<Place>,
    /// The members.
    pub members: MembersRecord,
    /// Changes up to here are forgotten.
    pub floor: Revision,
}

impl Record for AppliedRecord {
    const NAME: &'static str = "applied";
}

impl AppliedRecord {
    pub(super) fn stored_members(&self) -> Members {
        Members::new(self.members_at.map(LogId::from), self.members.clone().into())
    }

    /// What a snapshot of these rows stands for; absent: nothing is applied yet.
    pub(super) fn meta(&self) -> Option<SnapshotMeta> {
        let last_log_id = Some(LogId::from(self.at?));
        Some(SnapshotMeta { last_log_id, last_membership: self.stored_members() })
    }
}

/// Changes of commits that were applied together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesRecord(pub Vec<ChangeRecord>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Its commit.
    pub revision: Revision,
    /// Whether the key is gone.
    pub deleted: bool,
    /// The key.
    #[serde(with = "crate::record::bytes")]
    pub key: Vec<u8>,
}

impl Record for ChangesRecord {
    const NAME: &'static str = "changes";
    const BYTES_MAX: usize = ENTRY_BYTES_MAX;

    fn check(&self) -> Result<(), &'static str> {
        let long = self.0.iter().any(|change| change.key.len() > KEY_BYTES_MAX);
        if long { Err("a key is too long") } else { Ok(()) }
    }
}

impl From<&[Change]> for ChangesRecord {
    fn from(changes: &[Change]) -> Self {
        let record = |change: &Change| ChangeRecord {
            revision: change.revision,
            deleted: change.kind == ChangeKind::Deleted,
            key: change.key.clone(),
        };
        Self(changes.iter().map(record).collect())
    }
}

impl From<ChangeRecord> for Change {
    fn from(ChangeRecord { revision, deleted, key }: ChangeRecord) -> Self {
        let kind = if deleted { ChangeKind::Deleted } else { ChangeKind::Written };
        Self { revision, key, kind }
    }
}

/// Whose volume it is, and where its rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// The replica.
    pub replica: ReplicaId,
    /// Which of the column families with rows counts.
    pub generation: u64,
}

impl Record for VolumeRecord {
    const NAME: &'static str = "volume";
}
