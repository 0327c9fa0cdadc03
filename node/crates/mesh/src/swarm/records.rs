//! Kademlia's records: all in memory, where the swarm's task wants them, and on the volume, where a restart finds them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datamesh_store::{Durability, Records, RecordsError};
use libp2p::PeerId;
use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::encoding::whole;
use crate::trust::now_unix;

/// Records kept at most: a descriptor of each of the most members and gateways, a pointer of each of the most pools.
pub const RECORDS_MAX: usize = 4096;
/// Bytes of one record's value at most; those of this version have some hundred.
pub const RECORD_BYTES_MAX: usize = 8 << 10;
/// Bytes of one record's key at most.
const KEY_BYTES_MAX: usize = 256;
/// In front of each key on the volume.
const PREFIX: &[u8] = b"dht/";
/// First byte of a record on the volume.
const VERSION: u8 = 1;

/// Why a small record could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordBytesError {
    /// The store's reason.
    #[error(transparent)]
    Store(#[from] RecordsError),
}

/// A key and its value.
pub type RecordPair = (Vec<u8>, Vec<u8>);

/// Keeps small records for a process. Called from the swarm's task: must not wait for a disk's sync.
pub trait RecordBytes: Send + Sync + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// Says why it could not be read.
    fn get(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, RecordBytesError>;

    /// Keeps `value` under `key`; what is worth waiting for the disk says so.
    ///
    /// # Errors
    /// Says why it was not kept.
    fn put(
        &self,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> std::result::Result<(), RecordBytesError>;

    /// Forgets `key`.
    ///
    /// # Errors
    /// Says why it could not.
    fn delete(&self, key: &[u8]) -> std::result::Result<(), RecordBytesError>;

    /// All keys with this prefix, and their values.
    ///
    /// # Errors
    /// Says why they could not be read.
    fn iter(&self, prefix: &[u8]) -> std::result::Result<Vec<RecordPair>, RecordBytesError>;
}

/// Records that last as long as the process: for a gateway, whose peers keep them meanwhile.
#[derive(Debug, Default)]
pub struct MemoryRecords(Mutex<std::collections::BTreeMap<Vec<u8>, Vec<u8>>>);

impl RecordBytes for MemoryRecords {
    fn get(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, RecordBytesError> {
        Ok(self.0.lock().get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8], _: Durability) -> std::result::Result<(), RecordBytesError> {
        self.0.lock().insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> std::result::Result<(), RecordBytesError> {
        self.0.lock().remove(key);
        Ok(())
    }

    fn iter(&self, prefix: &[u8]) -> std::result::Result<Vec<RecordPair>, RecordBytesError> {
        let records = self.0.lock();
        let from_prefix = records.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(from_prefix.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl RecordBytes for Records {
    fn get(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, RecordBytesError> {
        Ok(Self::get(self, key)?)
    }

    fn put(
        &self,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> std::result::Result<(), RecordBytesError> {
        Ok(Self::put(self, key, value, durability)?)
    }

    fn delete(&self, key: &[u8]) -> std::result::Result<(), RecordBytesError> {
        Ok(Self::delete(self, key, Durability::Lazy)?)
    }

    fn iter(&self, prefix: &[u8]) -> std::result::Result<Vec<RecordPair>, RecordBytesError> {
        Self::iter(self, prefix)?
            .map(|record| {
                record.map(|(key, value)| (key.into(), value.into())).map_err(RecordBytesError::from)
            })
            .collect()
    }
}

/// A record on the volume: a version byte, then this in postcard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRecord {
    pub(crate) value: Vec<u8>,
    /// libp2p's name of the publisher.
    pub(crate) publisher: Option<Vec<u8>>,
    /// Seconds since 1970.
    pub(crate) expires_unix: Option<u64>,
}

impl StoredRecord {
    pub(crate) fn encode(&self) -> std::result::Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![VERSION])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, body) = bytes.split_first()? else {
            return None;
        };
        whole(body).ok()
    }

    fn of(record: &Record) -> Self {
        let expires_unix = record
            .expires
            .map(|at| now_unix().saturating_add(at.saturating_duration_since(Instant::now()).as_secs()));
        Self {
            value: record.value.clone(),
            publisher: record.publisher.map(|id| id.to_bytes()),
            expires_unix,
        }
    }

    /// The record under `key`, unless its time is over.
    fn record(self, key: Vec<u8>) -> Option<Record> {
        let left = match self.expires_unix {
            Some(at) => Some(Duration::from_secs(at.checked_sub(now_unix()).filter(|left| *left > 0)?)),
            None => None,
        };
        let publisher = self.publisher.and_then(|bytes| PeerId::from_bytes(&bytes).ok());
        let expires = left.map(|left| Instant::now() + left);
        Some(Record { key: RecordKey::from(key), value: self.value, publisher, expires })
    }
}

/// Kademlia's store of records. Provider records are not kept: placement is computed, not looked up.
pub(crate) struct MeshRecords {
    records: HashMap<RecordKey, Record>,
    kept: Arc<dyn RecordBytes>,
}

impl MeshRecords {
    /// With the records of the last run that are still good.
    pub(crate) fn load(kept: Arc<dyn RecordBytes>) -> std::result::Result<Self, RecordBytesError> {
        let mut records = HashMap::new();
        for (stored_key, bytes) in kept.iter(PREFIX)? {
            let key = stored_key[PREFIX.len()..].to_vec();
            match StoredRecord::decode(&bytes).and_then(|stored| stored.record(key)) {
                Some(record) if records.len() < RECORDS_MAX => {
                    records.insert(record.key.clone(), record);
                }
                _ => kept.delete(&stored_key)?,
            }
        }
        Ok(Self { records, kept })
    }

    fn keep(&self, record: &Record) {
        let kept = StoredRecord::of(record)
            .encode()
            .map(|bytes| self.kept.put(&on_volume(&record.key), &bytes, Durability::Lazy));
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a DHT record is not kept over a restart"),
            Err(error) => tracing::warn!(%error, "a DHT record cannot be encoded"),
        }
    }
}

fn on_volume(key: &RecordKey) -> Vec<u8> {
    [PREFIX, key.as_ref()].concat()
}

impl RecordStore for MeshRecords {
    type RecordsIter<'a> = std::iter::Map<
        std::collections::hash_map::Values<'a, RecordKey, Record>,
        fn(&'a Record) -> Cow<'a, Record>,
    >;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.records.get(key).map(Cow::Borrowed)
    }

    fn put(&mut self, record: Record) -> Result<()> {
        if record.value.len() > RECORD_BYTES_MAX || record.key.as_ref().len() > KEY_BYTES_MAX {
            return Err(Error::ValueTooLarge);
        }
        let known = self.records.get(&record.key);
        if known.is_none() && self.records.len() >= RECORDS_MAX {
            return Err(Error::MaxRecords);
        }
        // Replication brings the same record again and again; only its expiry moves, which is no reason to write.
        if known.is_none_or(|known| known.value != record.value) {
            self.keep(&record);
        }
        self.records.insert(record.key.clone(), record);
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) {
        if self.records.remove(key).is_some()
            && let Err(error) = self.kept.delete(&on_volume(key))
        {
            tracing::warn!(%error, "a DHT record is not forgotten");
        }
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.records.values().map(Cow::Borrowed)
    }

    fn add_provider(&mut self, _: ProviderRecord) -> Result<()> {
        Err(Error::MaxProvidedKeys)
    }

    fn providers(&self, _: &RecordKey) -> Vec<ProviderRecord> {
        Vec::new()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, _: &RecordKey, _: &PeerId) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], value: Vec<u8>) -> Record {
        Record::new(key.to_vec(), value)
    }

    #[test]
    fn records_survive_a_restart_until_they_expire() {
        let kept = Arc::new(MemoryRecords::default());
        let mut store = MeshRecords::load(kept.clone()).unwrap();
        let publisher = PeerId::random();
        let mut lasting = record(b"a", vec![1; 100]);
        lasting.publisher = Some(publisher);
        lasting.expires = Some(Instant::now() + Duration::from_secs(100));
        store.put(lasting.clone()).unwrap();
        let mut over = record(b"b", vec![2]);
        over.expires = Some(Instant::now());
        store.put(over).unwrap();
        store.put(record(b"c", vec![3])).unwrap();
        store.remove(&RecordKey::from(b"c".to_vec()));

        let again = MeshRecords::load(kept.clone()).unwrap();
        assert_eq!(again.records().count(), 1);
        let found = again.get(&lasting.key).unwrap();
        assert_eq!((&found.value, found.publisher), (&lasting.value, Some(publisher)));
        let left = found.expires.unwrap().saturating_duration_since(Instant::now());
        assert!(left <= Duration::from_secs(100) && left > Duration::from_secs(90), "{left:?}");
        assert_eq!(kept.iter(PREFIX).unwrap().len(), 1, "what is over is forgotten on the volume too");
    }

    #[test]
    fn number_and_sizes_are_bounded() {
        let mut store = MeshRecords::load(Arc::new(MemoryRecords::default())).unwrap();
        assert!(store.put(record(b"big", vec![0; RECORD_BYTES_MAX + 1])).is_err());
        assert!(store.put(record(&[7; KEY_BYTES_MAX + 1], vec![0])).is_err());
        for i in 0..RECORDS_MAX {
            store.put(record(&i.to_le_bytes(), vec![0])).unwrap();
        }
        assert!(store.put(record(b"one more", vec![0])).is_err());
        assert!(store.put(record(&5_usize.to_le_bytes(), vec![1])).is_ok(), "a known one may change");
    }

    #[test]
    fn what_cannot_be_read_is_dropped_not_fatal() {
        let kept = Arc::new(MemoryRecords::default());
        kept.put(b"dht/bad", &[9, 9, 9], Durability::Lazy).unwrap();
        kept.put(b"other", b"not ours", Durability::Lazy).unwrap();
        assert_eq!(MeshRecords::load(kept.clone()).unwrap().records().count(), 0);
        assert!(kept.get(b"dht/bad").unwrap().is_none());
        assert!(kept.get(b"other").unwrap().is_some());
    }
}
