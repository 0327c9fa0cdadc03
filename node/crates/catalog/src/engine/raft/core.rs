//! The parts of a running replica that its tasks share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;

use super::gathered::Gathered;
use super::message::PartRecord;
use super::network::Peers;
use super::state::StateMachine;
use super::types::{ReplicaId, Types};
use super::volume::Volume;
use crate::engine::changes::ChangeLog;
use crate::keyspace::ReadError;

/// openraft, on our rows.
pub(super) type Raft = openraft::Raft<Types, StateMachine>;

/// A replica, running.
pub(super) struct Core {
    pub(super) id: ReplicaId,
    pub(super) raft: Raft,
    pub(super) volume: Arc<Volume>,
    pub(super) changes: Arc<Mutex<ChangeLog>>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) incoming: tokio::sync::Mutex<Option<Incoming>>,
    pub(super) forwarded: AtomicU64,
    /// Where readers wait for the leader's word together.
    pub(super) fences: Gathered<Result<(), ReadError>>,
}

/// A snapshot that is being received.
pub(super) struct Incoming {
    pub(super) transfer: u64,
    pub(super) next: u64,
    pub(super) generation: u64,
}

impl Incoming {
    pub(super) fn is_next(&self, part: &PartRecord) -> bool {
        (self.transfer, self.next) == (part.transfer, part.number)
    }
}

impl Core {
    /// A group of one waits for nobody.
    pub(super) async fn stand_if_alone(&self) {
        let alone = self.status().voters == [self.id].into();
        if alone && let Err(stopped) = self.raft.trigger().elect(false).await {
            tracing::error!(%stopped, "the catalog's only replica could not stand for election");
        }
    }

    /// Who leads, as far as this replica knows.
    pub(super) fn leader(&self) -> Option<ReplicaId> {
        self.raft.metrics().borrow_watched().current_leader
    }
}
