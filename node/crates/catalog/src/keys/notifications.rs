//! Keys of events that wait for their targets to be told.

use datamesh_shard::TargetName;

use super::{KEY_VERSION, KeyError, KeyReader, Table, table};
use crate::keyspace::KeyRange;
use crate::model::{BucketId, ObjectKey};

/// Key of an event; without an object's key, of a test of the target.
#[must_use]
pub fn event(target: &TargetName, order: u64, bucket: BucketId, key: Option<&ObjectKey>) -> Vec<u8> {
    let key = key.map_or(&[][..], ObjectKey::as_bytes);
    table(Table::Event).bytes(target.as_str().as_bytes()).u64(order).u64(bucket.0).bytes(key).finish()
}

/// All events of a target, in their order.
#[must_use]
pub fn events(target: &TargetName) -> KeyRange {
    KeyRange::prefix(table(Table::Event).bytes(target.as_str().as_bytes()).finish())
}

/// Reads the order and the object's key back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_event(key: &[u8]) -> Result<(u64, Option<ObjectKey>), KeyError> {
    let mut key = KeyReader::new(key, Table::Event)?;
    let _: TargetName = key.name()?;
    let (order, _, name) = (key.u64()?, key.u64()?, key.bytes()?);
    key.end()?;
    if name.is_empty() {
        return Ok((order, None));
    }
    Ok((order, Some(ObjectKey::new(name).map_err(|_| KeyError::Name)?)))
}

/// Whether it is the key of an event.
#[must_use]
pub fn is_event(key: &[u8]) -> bool {
    key.starts_with(&[KEY_VERSION, Table::Event as u8])
}

/// Key of a counter of a target's events.
#[must_use]
pub fn event_counter(target: &TargetName, number: u8) -> Vec<u8> {
    table(Table::EventCounter).bytes(target.as_str().as_bytes()).u8(number).finish()
}

/// Reads the target and the counter's number back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_event_counter(key: &[u8]) -> Result<(TargetName, u8), KeyError> {
    let mut key = KeyReader::new(key, Table::EventCounter)?;
    let (target, [number]) = (key.name()?, key.fixed::<1>()?);
    key.end()?;
    Ok((target, number))
}
