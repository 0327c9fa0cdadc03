//! What a node remembers besides its shards.

use std::sync::Arc;

use datamesh_mesh::{RecordBytes, RecordBytesError, RecordPair};
use datamesh_store::Durability;
use parking_lot::Mutex;

use crate::disk::Platter;

/// On its disk. Written at once: that the last of it is lost in a crash is allowed for.
pub(crate) struct OnPlatter(pub(crate) Arc<Mutex<Platter>>);

impl RecordBytes for OnPlatter {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RecordBytesError> {
        Ok(self.0.lock().records.get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8], _: Durability) -> Result<(), RecordBytesError> {
        self.0.lock().records.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), RecordBytesError> {
        self.0.lock().records.remove(key);
        Ok(())
    }

    fn iter(&self, prefix: &[u8]) -> Result<Vec<RecordPair>, RecordBytesError> {
        let platter = self.0.lock();
        let rows = platter.records.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// A planted bug: nothing is remembered.
pub(crate) struct Forgetful;

impl RecordBytes for Forgetful {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, RecordBytesError> {
        Ok(None)
    }

    fn put(&self, _: &[u8], _: &[u8], _: Durability) -> Result<(), RecordBytesError> {
        Ok(())
    }

    fn delete(&self, _: &[u8]) -> Result<(), RecordBytesError> {
        Ok(())
    }

    fn iter(&self, _: &[u8]) -> Result<Vec<RecordPair>, RecordBytesError> {
        Ok(Vec::new())
    }
}
