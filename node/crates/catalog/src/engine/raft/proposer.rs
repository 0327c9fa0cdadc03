//! Collects the commits that wait, and has them agreed on as one entry.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::core::Core;
use super::leader::{Search, TRY_FOR};
use super::limits::{GROUP_BYTES_MAX, GROUP_COMMITS_MAX, weight};
use super::message::{Answer, Question, Refusal};
use super::network::{PeerError, ask};
use super::types::{Group, Outcomes, ReplicaId};
use crate::keyspace::{Batch, CommitError, Revision};

/// Commits that may wait for the proposer: a few groups' worth.
pub(super) const QUEUE_COMMITS: usize = 1024;
/// Groups on their way at a time: one that is agreed on while the next is collected, and one between.
const GROUPS_MAX: usize = 3;
/// How long agreement is waited for, from the proposal on: beyond it the outcome is unknown.
pub(super) const AGREED_WITHIN: Duration = Duration::from_secs(10);

/// One commit on its way.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Result<Revision, CommitError>>,
}

/// Until the last sender is gone.
pub(super) async fn run(core: Arc<Core>, mut requests: mpsc::Receiver<Request>) {
    let mut groups = JoinSet::new();
    while let Some(first) = requests.recv().await {
        let (group, replies) = collect(first, &mut requests);
        while groups.len() >= GROUPS_MAX {
            groups.join_next().await;
        }
        let core = Arc::clone(&core);
        groups.spawn(async move {
            let outcomes = agree(&core, &group).await;
            answer(replies, outcomes);
        });
    }
    groups.join_all().await;
}

type Replies = Vec<oneshot::Sender<Result<Revision, CommitError>>>;

fn collect(first: Request, requests: &mut mpsc::Receiver<Request>) -> (Group, Replies) {
    let mut bytes = weight(&first.batch);
    let (mut batches, mut replies) = (vec![first.batch], vec![first.reply]);
    while batches.len() < GROUP_COMMITS_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(Request { batch, reply }) = requests.try_recv() else { break };
        bytes += weight(&batch);
        batches.push(batch);
        replies.push(reply);
    }
    (Group(batches.into()), replies)
}

/// A caller that went away does not need its answer.
fn answer(replies: Replies, outcomes: Result<Outcomes, CommitError>) {
    match outcomes {
        Ok(Outcomes(outcomes)) => {
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                drop(reply.send(outcome));
            }
        }
        Err(error) => {
            for reply in replies {
                drop(reply.send(Err(error.clone())));
            }
        }
    }
}

/// What one try came to.
enum Tried {
    Done(Result<Outcomes, CommitError>),
    /// Certainly not taken; perhaps this one leads.
    NotTaken(Option<ReplicaId>),
}

/// Has the leader take the group, whoever it is. Only a try that certainly came to nothing is followed by another.
async fn agree(core: &Core, group: &Group) -> Result<Outcomes, CommitError> {
    let mut search = Search::begin(core);
    loop {
        let tried = match search.leader() {
            Some(leader) if leader == core.id => here(core, group).await,
            Some(leader) => there(core, leader, group).await,
            None => Tried::NotTaken(None),
        };
        match tried {
            Tried::Done(outcome) => return outcome,
            Tried::NotTaken(hint) => {
                search.another(hint).await?;
            }
        }
    }
}

fn unknown(why: impl std::fmt::Display) -> Tried {
    Tried::Done(Err(CommitError::Engine(why.to_string())))
}

async fn here(core: &Core, group: &Group) -> Tried {
    let Ok(written) = timeout(AGREED_WITHIN, core.raft.client_write(group.clone())).await else {
        return unknown("no majority of the replicas agreed in time");
    };
    match written {
        Ok(response) if response.data.0.len() == group.0.len() => Tried::Done(Ok(response.data)),
        Ok(_) => unknown("another number of outcomes than of batches"),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            Tried::NotTaken(forward.leader_id)
        }
        Err(error) => unknown(error),
    }
}

async fn there(core: &Core, leader: ReplicaId, group: &Group) -> Tried {
    let within = AGREED_WITHIN + TRY_FOR / 2;
    match ask(&*core.peers, leader, &Question::Commit(group.clone()), within).await {
        Ok(Answer::Outcomes(outcomes)) if outcomes.len() == group.0.len() => {
            let commits = u64::try_from(outcomes.len()).unwrap_or(u64::MAX);
            core.forwarded.fetch_add(commits, Ordering::Relaxed);
            Tried::Done(Ok(Outcomes(outcomes.into_iter().map(Result::from).collect())))
        }
        Ok(Answer::Refused(Refusal::NotLeader(hint))) => Tried::NotTaken(hint),
        Err(PeerError::Unreachable(_)) => Tried::NotTaken(None),
        Ok(Answer::Refused(Refusal::Refused(why) | Refusal::Unknown(why))) => unknown(why),
        Ok(_) => unknown("the leader answered another question"),
        Err(error @ PeerError::Lost(_)) => unknown(error),
    }
}
