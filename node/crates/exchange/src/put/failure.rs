//! Why a put or one of its sends failed.

use datamesh_shard::Epoch;

use crate::message::Refusal;

/// Why a put failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutFailure {
    /// Too few nodes took their shard.
    #[error("only {durable} of {total} shards could be stored; the last failure: {last}")]
    TooFewDurable {
        /// Shards that are durable.
        durable: u8,
        /// k + m.
        total: u8,
        /// The last failure, or a node that did not answer in time.
        last: SendFailure,
    },
    /// A node knows a newer layout: fetch it and put the segment again.
    #[error("a node knows layout epoch {known}: the put must be placed anew")]
    StaleEpoch {
        /// The newest epoch a node answered.
        known: Epoch,
    },
    /// A node holds a later generation of the segment: it was condemned and written again meanwhile.
    #[error("a node holds a later generation of this segment")]
    StaleGeneration,
}

/// Why a send failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// The connection failed or timed out. The shard may have been stored all the same.
    #[error("the node did not answer")]
    Unreachable,
    /// The node had too much to do; nothing was stored.
    #[error("the node was busy")]
    Busy,
    /// The node's disk is full; nothing was stored.
    #[error("the node is full")]
    Full,
    /// The node knows a newer layout; nothing was stored.
    #[error("the node knows layout epoch {0}")]
    StaleEpoch(Epoch),
    /// The node has a later generation; nothing was stored.
    #[error("the node has a later generation")]
    StaleGeneration,
    /// The node refused for another reason; nothing was stored.
    #[error("the node refused: {0}")]
    Refused(Refusal),
}

impl From<Refusal> for SendFailure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy => Self::Busy,
            Refusal::Full => Self::Full,
            Refusal::StaleEpoch { known } => Self::StaleEpoch(known),
            Refusal::StaleGeneration => Self::StaleGeneration,
            other => Self::Refused(other),
        }
    }
}

impl SendFailure {
    /// Whether the same node may be asked again later.
    pub(super) const fn passes(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy)
    }
}
