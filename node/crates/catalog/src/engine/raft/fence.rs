//! Reads see every commit that was acknowledged before them: on the leader while a majority is known to follow it, on a
//! follower after it has applied what the leader named.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::raft::linearizable_read::{Linearizer, LinearizerOption};
use tokio::time::timeout;

use super::core::Core;
use super::leader::{Search, TRY_FOR};
use super::message::{Answer, Question, Refusal};
use super::network::ask;
use super::types::ReplicaId;
use crate::keyspace::ReadError;

/// What one try came to.
enum Tried {
    /// The rows here are new enough.
    Ready,
    /// Not known; perhaps this one leads.
    Not(Option<ReplicaId>),
}

/// Waits until the rows here are at least as new as any commit acknowledged before the call. Readers who wait at the same time
/// share the leader's word: what a majority says costs the same for one as for a thousand.
pub(super) async fn wait(core: &Arc<Core>) -> Result<(), ReadError> {
    let finding = || {
        // What nobody comes to wait for keeps no volume open.
        let core = Arc::downgrade(core);
        async move {
            match core.upgrade() {
                Some(core) => find(&core).await,
                None => Err(stopped()),
            }
        }
    };
    match timeout(TRY_FOR, core.fences.join(finding)).await {
        Ok(found) => found.unwrap_or_else(|| Err(stopped())),
        Err(_) => Err(ReadError::NoLeader(format!("none for {} s", TRY_FOR.as_secs()))),
    }
}

fn stopped() -> ReadError {
    ReadError::Engine("the replica has stopped".into())
}

async fn find(core: &Core) -> Result<(), ReadError> {
    let mut search = Search::begin(core);
    loop {
        let tried = match search.leader() {
            Some(leader) if leader == core.id => here(core).await?,
            Some(leader) => there(core, leader).await?,
            None => Tried::Not(None),
        };
        match tried {
            Tried::Ready => return Ok(()),
            Tried::Not(hint) => search.another(hint).await?,
        }
    }
}

/// How reads are made sure of: a majority acknowledges the leader after the read was asked for. A lease would spare the journey, but
/// a follower that was restarted does not remember the one it gave (openraft says so), and may elect another leader meanwhile.
pub(super) fn by_majority() -> LinearizerOption {
    LinearizerOption::new(Some(Duration::ZERO), true)
}

/// A majority's word.
async fn here(core: &Core) -> Result<Tried, ReadError> {
    // Others wait for this one to end.
    let Ok(reader) = timeout(TRY_FOR / 4, core.raft.get_read_linearizer(by_majority())).await else {
        return Ok(Tried::Not(None));
    };
    match reader {
        Ok(reader) => until_applied(core, reader).await,
        Err(error) => match error.forward_to_leader() {
            Some(forward) => Ok(Tried::Not(forward.leader_id)),
            None if error.fatal().is_some() => Err(ReadError::Engine(error.to_string())),
            None => Ok(Tried::Not(None)),
        },
    }
}

async fn there(core: &Core, leader: ReplicaId) -> Result<Tried, ReadError> {
    match ask(&*core.peers, leader, &Question::ReadAt, TRY_FOR / 4).await {
        Ok(Answer::ReadAt(place)) => {
            let mut metrics = core.raft.metrics();
            let reached =
                metrics.wait_until(|seen| seen.last_applied.is_some_and(|at| at.index >= place.index));
            match timeout(TRY_FOR / 4, reached).await {
                Ok(Ok(_)) => Ok(Tried::Ready),
                Ok(Err(_)) => Err(stopped()),
                Err(_) => Ok(Tried::Not(None)),
            }
        }
        Ok(Answer::Refused(Refusal::NotLeader(hint))) => Ok(Tried::Not(hint)),
        Ok(_) | Err(_) => Ok(Tried::Not(None)),
    }
}

async fn until_applied(core: &Core, reader: Linearizer<super::types::Types>) -> Result<Tried, ReadError> {
    match reader.try_await_ready(&core.raft, Some(TRY_FOR / 4)).await {
        Ok(Ok(_)) => Ok(Tried::Ready),
        Ok(Err(_)) => Ok(Tried::Not(None)),
        Err(fatal) => Err(ReadError::Engine(fatal.to_string())),
    }
}
