//! What a move from one engine to another writes down ([ADR 54](../../../../../docs/adr/0054-the-catalog-moves-while-it-is-served.md)).
//! None of it is copied.

use std::fmt;

use datamesh_shard::Incarnation;
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Record, RecordError, Written, decode, encode};
use crate::keyspace::Revision;

/// Names one move; random, and another for each target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MoveId(pub [u8; 16]);

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Who keeps a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeper {
    /// The gateways, on their volumes.
    Gateways,
    /// A PostgreSQL database.
    Postgres,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateways => "the gateways' volumes",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// A move that began, in the catalog that moves. It stays when the move is called off, so that the next one knows its own half copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// Which.
    pub id: MoveId,
    /// Where to.
    pub to: Keeper,
    /// Milliseconds since 1970.
    pub begun_unix_ms: u64,
}

impl Record for MoveRecord {
    const NAME: &'static str = "move";
}

/// A gateway has the target open, in the catalog that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyRecord {
    /// Of this move.
    pub id: MoveId,
}

impl Record for ReadyRecord {
    const NAME: &'static str = "readiness for a move";
}

/// Why nothing is committed in a keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closure {
    /// The catalog has gone, or whoever wrote this was about to open it there.
    Gone {
        /// Where to.
        to: Keeper,
    },
    /// It has not come yet.
    Coming {
        /// Where from.
        from: Keeper,
    },
}

/// The fence. While it is there, nothing is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRecord {
    /// By which move.
    pub id: MoveId,
    /// Why.
    pub closure: Closure,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
}

impl Record for FenceRecord {
    const NAME: &'static str = "fence";
}

/// How far a copy is, in commits that are in it whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// All that was committed in the source up to this one is in the target, and was compared.
    pub through: Revision,
    /// The target had this one then. Where it has not any more, it was set back.
    pub there: Revision,
}

/// A fence that is put before the catalog can be open elsewhere: it may be taken back. Whoever opens the catalog there writes the other one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingRecord {
    /// By which move.
    pub id: MoveId,
    /// Where to.
    pub to: Keeper,
    /// What need not be read again by whoever goes on with the move.
    pub copied: Option<Copied>,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
}

impl Record for LeavingRecord {
    const NAME: &'static str = "fence";
    const VERSION: u8 = 2;
}

/// What the fence's row says, in either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It may be taken back.
    Leaving(LeavingRecord),
    /// It may not.
    Closed(FenceRecord),
}

impl Fence {
    /// By which move.
    #[must_use]
    pub const fn id(&self) -> MoveId {
        match self {
            Self::Leaving(LeavingRecord { id, .. }) | Self::Closed(FenceRecord { id, .. }) => *id,
        }
    }

    /// Why nothing is committed.
    #[must_use]
    pub const fn closure(&self) -> Closure {
        match self {
            Self::Leaving(LeavingRecord { to, .. }) => Closure::Gone { to: *to },
            Self::Closed(FenceRecord { closure, .. }) => *closure,
        }
    }
}

impl Written for Fence {
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes.first() {
            Some(&LeavingRecord::VERSION) => decode(bytes).map(Self::Leaving),
            _ => decode(bytes).map(Self::Closed),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        match self {
            Self::Leaving(record) => encode(record),
            Self::Closed(record) => encode(record),
        }
    }
}

/// How a catalog came to be where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameRecord {
    /// By which move.
    pub id: MoveId,
    /// Where from.
    pub from: Keeper,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
}

impl Record for CameRecord {
    const NAME: &'static str = "arrival";
}

/// Whose catalog it was or will be. In the place of the cluster's record where there is a fence, so that builds that know of none refuse it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedClusterRecord {
    /// Fingerprint of the cluster secret.
    pub fingerprint: String,
    /// As it was when it was closed.
    pub incarnation: Incarnation,
}

impl ClusterRecord {
    /// What is written of the cluster, behind a fence too.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open_or_closed(bytes: &[u8]) -> Result<Self, RecordError> {
        match decode::<Self>(bytes) {
            Err(RecordError::Version { version: ClosedClusterRecord::VERSION, .. }) => {
                let ClosedClusterRecord { fingerprint, incarnation } = decode(bytes)?;
                Ok(Self { fingerprint, incarnation })
            }
            read => read,
        }
    }
}

impl Record for ClosedClusterRecord {
    const NAME: &'static str = "cluster";
    const VERSION: u8 = 2;
}
