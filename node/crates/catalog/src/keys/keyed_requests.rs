//! Keys of requests that their clients gave a key.

use super::{KeyError, KeyReader, Table, table};
use crate::model::RequestId;

/// Key of a request.
#[must_use]
pub fn keyed_request(id: RequestId) -> Vec<u8> {
    table(Table::KeyedRequest).fixed(&id.0).finish()
}

/// Key of a request in the order in which they are forgotten.
#[must_use]
pub fn keyed_request_due(until_unix_ms: u64, id: RequestId) -> Vec<u8> {
    table(Table::KeyedRequestDue).u64(until_unix_ms).fixed(&id.0).finish()
}

/// Reads it back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_keyed_request_due(key: &[u8]) -> Result<(u64, RequestId), KeyError> {
    let mut key = KeyReader::new(key, Table::KeyedRequestDue)?;
    let read = (key.u64()?, RequestId(key.fixed()?));
    key.end()?;
    Ok(read)
}

/// Key of how many requests of an asker there are.
#[must_use]
pub fn keyed_request_count(asker: &[u8; 16]) -> Vec<u8> {
    table(Table::KeyedRequestCount).fixed(asker).finish()
}
