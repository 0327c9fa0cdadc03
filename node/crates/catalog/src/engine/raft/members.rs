//! Who takes part. Each step is one that the log keeps: a call that was cut off is made again, and goes on from there.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::{ChangeMembers, RaftMetrics};
use tokio::time::timeout;

use super::core::Core;
use super::limits::REPLICAS_MAX;
use super::types::{ReplicaId, Types};

/// How long a leader that leads no more may take to say what became of a change.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

type Changed<T> = Result<T, RaftError<Types, ClientWriteError<Types>>>;

/// Why the members are as they were, or may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// Only the leader changes them.
    #[error("this replica does not lead: ask {leader:?}")]
    NotLeader {
        /// Who does, if it is known.
        leader: Option<ReplicaId>,
    },
    /// More than a group may have.
    #[error("{asked} replicas are more than the {REPLICAS_MAX} a group may have: ask for fewer")]
    TooMany {
        /// How many were asked for.
        asked: usize,
    },
    /// It has voted in a group that was formed elsewhere and lost before anything of it came here. To form one after all, a volume without
    /// that vote is needed: nothing is stored yet.
    #[error(
        "this replica has voted in a group whose first gateway lost its volume before it told the others of it, so it cannot form \
         another: nothing is stored yet, start this gateway with an empty volume"
    )]
    Voted,
    /// openraft's reason. Whether it was done is seen in the status; making the call again is safe.
    #[error("the members were not changed, or not yet: {0}; try again")]
    Not(String),
}

/// A replica's knowledge of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    /// Who leads.
    pub leader: Option<ReplicaId>,
    /// Rises with each election.
    pub term: u64,
    /// Those with a vote: of both sets while one is changed into the other.
    pub voters: BTreeSet<ReplicaId>,
    /// One set is being changed into another: each needs a majority of its own until the change is made again and ends.
    pub joint: bool,
    /// Those that are told and have no vote.
    pub learners: BTreeSet<ReplicaId>,
    /// Who has a vote and who has none is agreed on for good: what is above is no wish of a leader that may be lost with it.
    pub settled: bool,
    /// The last entry in this replica's rows.
    pub applied: u64,
}

fn error(error: RaftError<Types, ClientWriteError<Types>>) -> MembersError {
    match error.forward_to_leader() {
        Some(forward) => MembersError::NotLeader { leader: forward.leader_id },
        None => MembersError::Not(error.to_string()),
    }
}

fn bounded(members: &BTreeSet<ReplicaId>) -> Result<(), MembersError> {
    let asked = members.len();
    if asked > REPLICAS_MAX { Err(MembersError::TooMany { asked }) } else { Ok(()) }
}

impl Core {
    pub(super) async fn form(&self, members: BTreeSet<ReplicaId>) -> Result<(), MembersError> {
        bounded(&members)?;
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            // Because of a vote alone, or of a log: that begins with who the members are.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => match self.status().voters.is_empty()
            {
                true => Err(MembersError::Voted),
                false => Ok(()),
            },
            Err(error) => Err(MembersError::Not(error.to_string())),
        }
    }

    pub(super) async fn add_learner(&self, id: ReplicaId) -> Result<(), MembersError> {
        let GroupStatus { voters, mut learners, .. } = self.status();
        if !voters.contains(&id) {
            learners.insert(id);
            bounded(&learners)?;
        }
        self.while_leading(self.raft.add_learner(id, openraft::EmptyNode {}, true)).await
    }

    pub(super) async fn change_members(&self, voters: BTreeSet<ReplicaId>) -> Result<(), MembersError> {
        bounded(&voters)?;
        self.while_leading(self.raft.change_membership(voters, false)).await
    }

    pub(super) async fn remove_learner(&self, id: ReplicaId) -> Result<(), MembersError> {
        let gone = ChangeMembers::RemoveNodes([id].into());
        self.while_leading(self.raft.change_membership(gone, false)).await
    }

    /// Who leaves by a change that a later leader brings to its end is told nothing more, and would wait for ever.
    async fn while_leading<T>(&self, change: impl Future<Output = Changed<T>>) -> Result<(), MembersError> {
        let (mut metrics, mut change) = (self.raft.metrics(), pin!(change));
        let changed = tokio::select! {
            biased;
            changed = &mut change => Ok(changed),
            _ = metrics.wait_until(|seen| seen.current_leader != Some(self.id)) => timeout(TOLD_WITHIN, change).await,
        };
        match changed {
            Ok(changed) => changed.map(drop).map_err(error),
            Err(_) => Err(MembersError::NotLeader { leader: self.leader() }),
        }
    }

    pub(super) fn status(&self) -> GroupStatus {
        GroupStatus::of(&self.raft.metrics().borrow_watched())
    }
}

impl GroupStatus {
    pub(super) fn of(seen: &RaftMetrics<Types>) -> Self {
        let members = seen.membership_config.membership();
        Self {
            leader: seen.current_leader,
            term: seen.current_term,
            voters: members.voter_ids().collect(),
            joint: members.get_joint_config().len() > 1,
            learners: members.learner_ids().collect(),
            settled: seen.membership_config.log_id() == seen.committed_membership_config.log_id(),
            applied: seen.last_applied.map_or(0, |at| at.index),
        }
    }
}
