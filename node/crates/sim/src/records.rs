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

/// What is kept of the catalog's backups.
const ANCHORS: &[u8] = b"catalog/anchor/";

/// A planted bug: nothing is remembered but backups.
pub(crate) struct Forgetful(pub(crate) OnPlatter);

impl RecordBytes for Forgetful {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RecordBytesError> {
        if key.starts_with(ANCHORS) { self.0.get(key) } else { Ok(None) }
    }

    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), RecordBytesError> {
        if key.starts_with(ANCHORS) { self.0.put(key, value, durability) } else { Ok(()) }
    }

    fn delete(&self, key: &[u8]) -> Result<(), RecordBytesError> {
        self.0.delete(key)
    }

    fn iter(&self, prefix: &[u8]) -> Result<Vec<RecordPair>, RecordBytesError> {
        if prefix == ANCHORS { self.0.iter(prefix) } else { Ok(Vec::new()) }
    }
}
