//! The replicated engine: one RocksDB on each replica, one log that a majority agrees on (Raft, by openraft).

mod changes_rows;
mod core;
mod fence;
mod flush;
mod gathered;
mod import;
mod keyspace;
mod leader;
pub mod limits;
mod log;
mod members;
pub mod message;
mod network;
mod proposer;
mod recent;
pub mod record;
mod runtime;
mod service;
mod snapshot;
mod state;
mod types;
mod volume;

pub use flush::FlushOn;
pub use import::{ImportError, import};
pub use keyspace::{RaftKeyspace, ReplicaOptions};
pub use log::LogStore;
pub use members::{GroupStatus, MembersError};
pub use network::{PeerError, Peers};
pub use runtime::{Runtime, seed_this_thread};
pub use snapshot::{RowRecord, SnapshotData};
pub use state::StateMachine;
pub use types::{Group, Outcomes, ReplicaId, Types};
pub use volume::{OpenError, Volume, rows_at_rest};
