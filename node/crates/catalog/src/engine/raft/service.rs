//! Answers other replicas.

use openraft::errors::{ClientWriteError, ForwardToLeader, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;
use tokio::time::timeout;

use super::core::{Core, Incoming};
use super::fence;
use super::message::{
    Answer, AppendRecord, Appended, CandidateRecord, HandoverRecord, PartRecord, Question, Refusal,
};
use super::proposer::AGREED_WITHIN;
use super::record::{Place, VoteRecord};
use super::snapshot::{SnapshotData, add, staged_meta};
use super::types::{Entry, Group, LogId, Types, Vote};
use crate::keyspace::Batch;
use crate::record;

type Answered = Result<Answer, Refusal>;

fn refused(error: impl std::fmt::Display) -> Refusal {
    Refusal::Refused(error.to_string())
}

/// An answer to any bytes.
pub(super) async fn answer(core: &Core, question: &[u8]) -> Vec<u8> {
    let answered = match record::decode::<Question>(question) {
        Ok(question) => dispatch(core, question).await,
        Err(error) => Err(refused(error)),
    };
    let answer = answered.unwrap_or_else(Answer::Refused);
    // Only outcomes grow with the question, and stay far below the limit.
    record::encode(&answer).unwrap_or_default()
}

async fn dispatch(core: &Core, question: Question) -> Answered {
    match question {
        Question::Append(append) => self::append(core, append).await,
        Question::Vote(wish) => Ok(voted(core.raft.vote(candidate(wish)).await.map_err(refused)?)),
        Question::PreVote(wish) => Ok(voted(core.raft.pre_vote(candidate(wish)).await.map_err(refused)?)),
        Question::Part(part) => take_part(core, part).await,
        Question::Handover(wish) => hand_over(core, wish).await,
        Question::Commit(group) => commit(core, group).await,
        Question::ReadAt => read_at(core).await,
    }
}

fn candidate(wish: CandidateRecord) -> VoteRequest<Types> {
    let mut request = VoteRequest::new(wish.vote.into(), wish.last.map(LogId::from));
    request.leadership_transfer = wish.handed_over;
    request
}

fn voted(response: VoteResponse<Types>) -> Answer {
    Answer::Voted {
        vote: response.vote.into(),
        granted: response.vote_granted,
        last: response.last_log_id.map(Place::from),
    }
}

async fn append(core: &Core, append: AppendRecord) -> Answered {
    let request = AppendEntriesRequest {
        vote: append.vote.into(),
        prev_log_id: append.previous.map(LogId::from),
        entries: append.entries.into_iter().map(Entry::from).collect(),
        leader_commit: append.committed.map(LogId::from),
    };
    Ok(Answer::Appended(match core.raft.append_entries(request).await.map_err(refused)? {
        AppendEntriesResponse::Success => Appended::All,
        AppendEntriesResponse::PartialSuccess(at) => Appended::UpTo(at.map(Place::from)),
        AppendEntriesResponse::Conflict => Appended::Conflict,
        AppendEntriesResponse::HigherVote(vote) => Appended::Outvoted(vote.into()),
    }))
}

async fn hand_over(core: &Core, wish: HandoverRecord) -> Answered {
    let request = TransferLeaderRequest::new(wish.from.into(), wish.to, wish.last.map(LogId::from));
    core.raft.handle_transfer_leader(request).await.map_err(refused)?.map_err(refused)?;
    Ok(Answer::HandedOver)
}

async fn commit(core: &Core, group: Group) -> Answered {
    group.0.iter().try_for_each(Batch::validate).map_err(refused)?;
    // Without a majority it would wait for ever, and whoever asked has long gone.
    let Ok(written) = timeout(AGREED_WITHIN, core.raft.client_write(group)).await else {
        return Err(Refusal::Unknown("no majority of the replicas agreed in time".into()));
    };
    match written {
        Ok(response) => Ok(Answer::from(&response.data)),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader {
            leader_id, ..
        }))) => Err(Refusal::NotLeader(leader_id)),
        Err(error) => Err(Refusal::Unknown(error.to_string())),
    }
}

async fn read_at(core: &Core) -> Answered {
    let Ok(reader) = timeout(AGREED_WITHIN, core.raft.get_read_linearizer(fence::by_majority())).await else {
        return Err(refused("no majority of the replicas answered in time"));
    };
    match reader {
        Ok(reader) => Ok(Answer::ReadAt((*reader.read_log_id().log_id()).into())),
        Err(error) => match error.forward_to_leader() {
            Some(forward) => Err(Refusal::NotLeader(forward.leader_id)),
            None => Err(refused(error)),
        },
    }
}

/// Parts come one after the other; the first of another transfer begins anew.
async fn take_part(core: &Core, part: PartRecord) -> Answered {
    let mut incoming = core.incoming.lock().await;
    if part.number == 0 {
        if let Some(earlier) = incoming.take() {
            core.volume.drop_staged(earlier.generation).map_err(refused)?;
        }
        let generation = core.volume.stage().map_err(refused)?;
        *incoming = Some(Incoming { transfer: part.transfer, next: 0, generation });
    }
    let out_of_order = || refused("a part of a snapshot out of order: begin again");
    let current = incoming.as_mut().filter(|current| current.is_next(&part)).ok_or_else(out_of_order)?;
    add(&core.volume, current.generation, &part.rows).map_err(refused)?;
    current.next += 1;
    let generation = current.generation;
    if !part.last {
        return Ok(Answer::PartTaken);
    }
    *incoming = None;
    Ok(Answer::Installed(install(core, part.vote.into(), generation).await?))
}

async fn install(core: &Core, vote: Vote, generation: u64) -> Result<VoteRecord, Refusal> {
    let meta = staged_meta(&core.volume, generation).map_err(refused)?;
    let snapshot = Snapshot { meta, snapshot: SnapshotData::Staged(generation) };
    let installed = core.raft.install_full_snapshot(vote, snapshot).await;
    if installed.is_ok() && !core.volume.is_current(generation) {
        // No newer than what is here. It may have been dropped by now. After an error nobody knows whether it is being adopted: what
        // is left then goes when the volume is opened again.
        let _ = core.volume.drop_staged(generation);
    }
    Ok(installed.map_err(refused)?.vote.into())
}
