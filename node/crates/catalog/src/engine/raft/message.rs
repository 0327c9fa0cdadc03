//! What replicas ask each other, and answer. Fixed by golden files.

use serde::{Deserialize, Serialize};

use super::limits::MESSAGE_BYTES_MAX;
use super::record::{EntryRecord, Place, VoteRecord};
use super::snapshot::RowRecord;
use super::types::{Group, Outcomes, ReplicaId};
use crate::keyspace::{CommitError, Revision};
use crate::record::Record;

/// Entries for a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendRecord {
    /// The leader's.
    pub vote: VoteRecord,
    /// The entry before them.
    pub previous: Option<Place>,
    /// In the log's order; none: a heartbeat.
    pub entries: Vec<EntryRecord>,
    /// What is agreed on.
    pub committed: Option<Place>,
}

/// A candidate's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateRecord {
    /// The vote it asks for.
    pub vote: VoteRecord,
    /// Its last entry.
    pub last: Option<Place>,
    /// Whether the leader before it wants it so.
    pub handed_over: bool,
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The leader's.
    pub vote: VoteRecord,
    /// Tells one transfer from another.
    pub transfer: u64,
    /// Counts its parts from 0.
    pub number: u64,
    /// In the order of their keys.
    pub rows: Vec<RowRecord>,
    /// Whether the rows end here.
    pub last: bool,
}

/// A leader's wish to be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverRecord {
    /// The leader's vote.
    pub from: VoteRecord,
    /// Who shall lead.
    pub to: ReplicaId,
    /// What it must have.
    pub last: Option<Place>,
}

/// A question of one replica to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Take these entries.
    Append(AppendRecord),
    /// Vote for me.
    Vote(CandidateRecord),
    /// Would you vote for me?
    PreVote(CandidateRecord),
    /// Take this part of a snapshot.
    Part(PartRecord),
    /// Lead.
    Handover(HandoverRecord),
    /// Commit these, leader.
    Commit(Group),
    /// How far must I be to read, leader?
    ReadAt,
}

impl Record for Question {
    const NAME: &'static str = "question between replicas";
    const BYTES_MAX: usize = MESSAGE_BYTES_MAX;

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Append(append) => append.entries.iter().try_for_each(Record::check),
            Self::Commit(group) if !group.is_bounded() => Err("more or larger batches than a group has"),
            _ => Ok(()),
        }
    }
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Appended {
    /// All are durable.
    All,
    /// Those up to here are.
    UpTo(Option<Place>),
    /// The entry before them is another here.
    Conflict,
    /// Somebody else leads.
    Outvoted(VoteRecord),
}

/// What became of a batch that a leader took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeRecord {
    /// Committed.
    Committed(Revision),
    /// This check failed.
    Conflict(u64),
    /// This write adds to a row that is no counter.
    NotACounter(u64),
}

/// Why a replica did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another leads, or nobody; nothing was done.
    NotLeader(Option<ReplicaId>),
    /// It may have been done or not.
    Unknown(String),
    /// Nothing was done, for this reason.
    Refused(String),
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To an append.
    Appended(Appended),
    /// To a candidate.
    Voted {
        /// The newest vote here.
        vote: VoteRecord,
        /// Whether it is the candidate's.
        granted: bool,
        /// The last entry here.
        last: Option<Place>,
    },
    /// To a part that is not the last.
    PartTaken,
    /// To the last part: the newest vote here.
    Installed(VoteRecord),
    /// To a handover that is begun.
    HandedOver,
    /// To a commit: an outcome for each batch.
    Outcomes(Vec<OutcomeRecord>),
    /// To a reader: this far.
    ReadAt(Place),
    /// To any.
    Refused(Refusal),
}

impl Record for Answer {
    const NAME: &'static str = "answer between replicas";
}

impl OutcomeRecord {
    /// Absent: an outcome that no log leads to.
    fn of(outcome: &Result<Revision, CommitError>) -> Option<Self> {
        let number = |at: &usize| u64::try_from(*at).unwrap_or(u64::MAX);
        match outcome {
            Ok(revision) => Some(Self::Committed(*revision)),
            Err(CommitError::Conflict { check }) => Some(Self::Conflict(number(check))),
            Err(CommitError::NotACounter { write }) => Some(Self::NotACounter(number(write))),
            Err(_) => None,
        }
    }
}

impl From<OutcomeRecord> for Result<Revision, CommitError> {
    fn from(record: OutcomeRecord) -> Self {
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        match record {
            OutcomeRecord::Committed(revision) => Ok(revision),
            OutcomeRecord::Conflict(check) => Err(CommitError::Conflict { check: at(check) }),
            OutcomeRecord::NotACounter(write) => Err(CommitError::NotACounter { write: at(write) }),
        }
    }
}

impl From<&Outcomes> for Answer {
    fn from(outcomes: &Outcomes) -> Self {
        match outcomes.0.iter().map(OutcomeRecord::of).collect::<Option<Vec<_>>>() {
            Some(outcomes) => Self::Outcomes(outcomes),
            None => Self::Refused(Refusal::Unknown("an outcome that has no name between replicas".into())),
        }
    }
}
