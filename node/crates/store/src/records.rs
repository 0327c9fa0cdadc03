use std::sync::Arc;

use datamesh_shard::limits::MESSAGE_BYTES_MAX;

use crate::error::RecordsError;
use crate::index::{Durability, RecordPair};
use crate::shared::Shared;

/// Bytes of a record's key at most.
pub const RECORD_KEY_BYTES_MAX: usize = 1024;
/// Bytes of a record's value at most: what fits into one message.
pub const RECORD_VALUE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Small things kept next to the shards: records of the DHT, layouts, certificates. Calls are short and block.
#[derive(Clone)]
pub struct Records {
    shared: Arc<Shared>,
}

impl Records {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Fails if the index does.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError> {
        Ok(self.shared.index.record(key)?)
    }

    /// Keeps a value under a key, in place of an earlier one.
    ///
    /// # Errors
    /// Refuses keys and values over their limits; fails if the index does.
    pub fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), RecordsError> {
        if key.len() > RECORD_KEY_BYTES_MAX || value.len() > RECORD_VALUE_BYTES_MAX {
            return Err(RecordsError::TooLarge { key_bytes: key.len(), value_bytes: value.len() });
        }
        Ok(self.shared.index.put_record(key, value, durability)?)
    }

    /// Removes a key; no error if it is not there.
    ///
    /// # Errors
    /// Fails if the index does.
    pub fn delete(&self, key: &[u8], durability: Durability) -> Result<(), RecordsError> {
        Ok(self.shared.index.delete_record(key, durability)?)
    }

    /// Keys that begin with `prefix`, and their values, in the order of the keys, as of now.
    ///
    /// # Errors
    /// Fails if the index does.
    pub fn iter(
        &self,
        prefix: &[u8],
    ) -> Result<impl Iterator<Item = Result<RecordPair, RecordsError>> + '_, RecordsError> {
        let wanted = prefix.to_vec();
        let records = self.shared.index.records_from(prefix)?;
        let within = records.take_while(move |record| match record {
            Ok((key, _)) => key.starts_with(&wanted),
            Err(_) => true,
        });
        Ok(within.map(|record| record.map_err(RecordsError::from)))
    }
}
