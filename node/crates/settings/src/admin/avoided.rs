use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That a gateway avoids a member, by what its own requests came to: it is read last, and takes no shard that another may
/// take at no cost to safety. What it has counts as ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvoidedStatus {
    /// Why.
    pub reason: AvoidedReason,
    /// Seconds since that was so.
    pub seconds: u64,
    /// What was seen and what will clear it, in sentences that the node's name fits in front of.
    pub detail: String,
}

/// Why a member is avoided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AvoidedReason {
    /// Its disk, or the way to it, takes far longer than those of the pool's other members, or it fails often.
    Slow,
    /// It is quarantined: shards it gave as if they were sound did not match their proofs.
    WrongAnswers,
}
