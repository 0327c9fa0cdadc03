use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::KEYED_ANSWER_BYTES_MAX;
use crate::model::KeyedRequest;

impl Record for KeyedRequest {
    const NAME: &'static str = "keyed request";
    /// Held when it is written, too: asker, print, times and lengths are less than a hundred bytes.
    const BYTES_MAX: usize = KEYED_ANSWER_BYTES_MAX + 128;
}

/// How many requests of an asker there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRequestCountRecord {
    /// Of all that are not forgotten.
    pub requests: u32,
}

impl Record for KeyedRequestCountRecord {
    const NAME: &'static str = "count of keyed requests";
}
