use datamesh_shard::ErasureProfile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes a second that coding anew may be held to, at least: fewer would never end.
pub const RECODE_BYTES_PER_SECOND_MIN: u64 = 1 << 20;

/// What becomes of data that was written in a profile which the pool had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecodeSpec {
    /// Whether it is coded anew, in the pool's present profile, behind other work. Otherwise it stays as it is; what is done
    /// when this becomes false stays done.
    pub enabled: bool,
    /// Sealed bytes a second at most, [`RECODE_BYTES_PER_SECOND_MIN`] at least. Absent: as fast as other work leaves room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_second: Option<u64>,
}

impl RecodeSpec {
    /// What nobody has to be told.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the number is within its limit.
    #[must_use]
    pub fn is_within_limits(&self) -> bool {
        self.max_bytes_per_second.is_none_or(|bytes| bytes >= RECODE_BYTES_PER_SECOND_MIN)
    }
}

/// What a pool has in one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// k and m.
    pub erasure: ErasureProfile,
    /// Sealed bytes of its segments, without parity: of objects, of what is being uploaded, and of what was deleted and is kept
    /// for readers.
    pub bytes: u64,
}

/// Where coding anew stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecodeState {
    /// Nobody asked for it: the data stays in its earlier profiles.
    Off,
    /// Segments are being coded anew.
    Running,
    /// Some cannot be coded anew now: see what it waits for.
    Stalled,
    /// All objects are in the present profile; what is left belongs to uploads under way, or was deleted and is kept for readers.
    Ending,
}

/// How far a pool is with coding anew what it has in earlier profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecodeStatus {
    /// Where it stands.
    pub state: RecodeState,
    /// Sealed bytes that are still in earlier profiles.
    pub left_bytes: u64,
    /// Sealed bytes that were coded anew since this gateway started.
    pub done_bytes: u64,
    /// Seconds until the rest is done, at the rate so far; absent until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// What it waits for and what will clear that, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}
