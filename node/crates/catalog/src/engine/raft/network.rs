//! openraft's messages over a transport that carries bytes.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend};

use super::message::{
    Answer, AppendRecord, Appended, CandidateRecord, HandoverRecord, PartRecord, Question, Refusal,
};
use super::record::{EntryRecord, Place};
use super::snapshot::{Parts, SnapshotData, StateSnapshot};
use super::types::{LogId, ReplicaId, Types, Vote};
use crate::record;

/// How long an answer to entries or a part of a snapshot is waited for: a sync of a slow disk, and then some.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It was not sent.
    #[error("replica {0} cannot be reached")]
    Unreachable(ReplicaId),
    /// It may have been received and acted on.
    #[error("no answer of replica {0}")]
    Lost(ReplicaId),
}

/// The way to the other replicas: carries a question's bytes and brings the answer's. Whoever receives one gives it to
/// [`super::RaftKeyspace::answer`]. It lets in replicas of this group only.
pub trait Peers: Send + Sync + 'static {
    /// Asks a replica.
    fn ask(&self, to: ReplicaId, question: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, PeerError>>;
}

/// Asks and reads the answer.
pub(super) async fn ask(
    peers: &dyn Peers,
    to: ReplicaId,
    question: &Question,
    within: Duration,
) -> Result<Answer, PeerError> {
    let bytes = record::encode(question).map_err(|error| {
        tracing::error!(%error, "a question to another replica is too large");
        PeerError::Unreachable(to)
    })?;
    let answer = tokio::time::timeout(within, peers.ask(to, bytes)).await;
    let answer = answer.map_err(|_| PeerError::Lost(to))??;
    record::decode(&answer).map_err(|error| {
        tracing::warn!(%error, replica = to, "an answer of another replica does not read");
        PeerError::Lost(to)
    })
}

/// Makes links to replicas.
pub(super) struct Links(pub(super) Arc<dyn Peers>);

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: ReplicaId, _node: &EmptyNode) -> Link {
        Link { to: target, peers: Arc::clone(&self.0) }
    }
}

/// The way to one replica.
pub(super) struct Link {
    to: ReplicaId,
    peers: Arc<dyn Peers>,
}

fn rpc(error: PeerError) -> RPCError<Types> {
    match error {
        PeerError::Unreachable(_) => RPCError::Unreachable(Unreachable::new(&error)),
        PeerError::Lost(_) => RPCError::Network(NetworkError::new(&error)),
    }
}

fn unexpected(answer: &Answer) -> RPCError<Types> {
    let words = match answer {
        Answer::Refused(Refusal::Refused(why) | Refusal::Unknown(why)) => why.clone(),
        _ => "an answer to another question".into(),
    };
    RPCError::Unreachable(Unreachable::new(&io::Error::other(words)))
}

fn place(id: Option<LogId>) -> Option<Place> {
    id.map(Place::from)
}

impl Link {
    async fn ask(&self, question: Question, within: Duration) -> Result<Answer, RPCError<Types>> {
        ask(&*self.peers, self.to, &question, within).await.map_err(rpc)
    }

    async fn campaign(
        &self,
        wish: VoteRequest<Types>,
        question: impl FnOnce(CandidateRecord) -> Question,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let record = CandidateRecord {
            vote: wish.vote.into(),
            last: place(wish.last_log_id),
            handed_over: wish.leadership_transfer,
        };
        match self.ask(question(record), option.soft_ttl()).await? {
            Answer::Voted { vote, granted, last } => {
                Ok(VoteResponse::new(Vote::from(vote), last.map(LogId::from), granted))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn send_parts(
        &self,
        vote: Vote,
        snapshot: StateSnapshot,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let failed = |error: io::Error| StreamingError::Unreachable(Unreachable::new(&error));
        let SnapshotData::Of(volume) = snapshot.snapshot else {
            return Err(failed(io::Error::other("a staged snapshot is not sent on")));
        };
        let mut parts = Parts::of(&volume).map_err(failed)?;
        let (transfer, mut number) = (rand::random(), 0);
        while let Some((rows, last)) = parts.next().map_err(failed)? {
            let part = PartRecord { vote: vote.into(), transfer, number, rows, last };
            match self.ask(Question::Part(part), ANSWER_WITHIN).await? {
                Answer::PartTaken if !last => number += 1,
                Answer::Installed(vote) => return Ok(SnapshotResponse::new(vote.into())),
                other => return Err(unexpected(&other).into()),
            }
        }
        Err(failed(io::Error::other("a snapshot without a last part")))
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        append: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let record = AppendRecord {
            vote: append.vote.into(),
            previous: place(append.prev_log_id),
            entries: append.entries.iter().map(EntryRecord::from).collect(),
            committed: place(append.leader_commit),
        };
        match self.ask(Question::Append(record), ANSWER_WITHIN).await? {
            Answer::Appended(Appended::All) => Ok(AppendEntriesResponse::Success),
            Answer::Appended(Appended::UpTo(at)) => {
                Ok(AppendEntriesResponse::PartialSuccess(at.map(LogId::from)))
            }
            Answer::Appended(Appended::Conflict) => Ok(AppendEntriesResponse::Conflict),
            Answer::Appended(Appended::Outvoted(vote)) => Ok(AppendEntriesResponse::HigherVote(vote.into())),
            other => Err(unexpected(&other)),
        }
    }

    async fn vote(
        &mut self,
        wish: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.campaign(wish, Question::Vote, &option).await
    }

    async fn pre_vote(
        &mut self,
        wish: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.campaign(wish, Question::PreVote, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: StateSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let (sending, cancel) = (Box::pin(self.send_parts(vote, snapshot)), Box::pin(cancel));
        match select(sending, cancel).await {
            Either::Left((sent, _)) => sent,
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        wish: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let record = HandoverRecord {
            from: (*wish.from_leader()).into(),
            to: *wish.to_node_id(),
            last: place(wish.last_log_id().copied()),
        };
        match self.ask(Question::Handover(record), option.soft_ttl()).await? {
            Answer::HandedOver => Ok(Ok(())),
            other => Err(unexpected(&other)),
        }
    }
}
