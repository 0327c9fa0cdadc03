use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a request that its client gave a key: a hash of who asks, of the route and of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub [u8; 32]);

/// A request that its client gave a key, so that it is done once however often it is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRequest {
    /// Who asks.
    pub asker: [u8; 16],
    /// A hash of what was sent.
    pub print: [u8; 32],
    /// When it began.
    pub begun_unix_ms: u64,
    /// When it is forgotten.
    pub until_unix_ms: u64,
    /// What it was answered with, sealed. Absent: it is under way, or whoever did it stopped before it was written down.
    pub answer: Option<Vec<u8>>,
}

impl fmt::Debug for KeyedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedRequest(begun {}, answered: {})", self.begun_unix_ms, self.answer.is_some())
    }
}
