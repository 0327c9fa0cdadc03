use datamesh_shard::{NodeName, PoolName};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::SHRED_STAYS_MAX;
use crate::model::{BucketId, ObjectKey};

/// An object that was deleted and is being shredded, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShredRecord {
    /// When it was deleted.
    pub begun_unix_ms: u64,
    /// The pool of its segments.
    pub pool: PoolName,
    /// How far it is.
    pub state: ShredState,
}

/// How far a shredding is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShredState {
    /// Not over: it goes on from here.
    Going {
        /// Where the object's row was.
        bucket: BucketId,
        /// Its key, for the row's place in the catalog's files.
        key: ObjectKey,
    },
    /// Over, with what is known to stay.
    Over {
        /// When.
        at_unix_ms: u64,
        /// Nodes that could not empty all log files that hold some of it.
        partly: Vec<NodeName>,
    },
}

impl Record for ShredRecord {
    const NAME: &'static str = "shred";

    fn check(&self) -> Result<(), &'static str> {
        match &self.state {
            ShredState::Over { partly, .. } if partly.len() > SHRED_STAYS_MAX => Err("too many nodes"),
            _ => Ok(()),
        }
    }
}
