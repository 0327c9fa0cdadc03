use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;

use super::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{KeyRange, Keyspace, RangeLimits, Row, View};
use crate::limits::LISTING_MAX;
use crate::model::{BucketId, Cursor, Entry, ListQuery, Listing, ObjectKey};
use crate::record::HeadRecord;

/// Rows of the first read of a listing with a delimiter, and of the first one after a skip: where folders are, most of
/// what is read may be skipped. While none is skipped, reads double.
const ROWS_FIRST: usize = 8;
/// Rows of one read at most.
const ROWS_MAX: usize = 1024;

impl<K: Keyspace> Catalog<K> {
    /// Objects of a bucket in the order of their keys, all of one moment. Keys with the delimiter after the prefix are
    /// rolled up into common prefixes, which count like entries.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn list(&self, bucket: BucketId, query: &ListQuery) -> Result<Listing, CatalogError> {
        let mut progress = Progress::new(query);
        let view = self.view().await?;
        let mut rest = start_of(bucket, query);
        let mut rows = if query.delimiter.is_some() { ROWS_FIRST } else { ROWS_MAX };
        while !rest.is_empty() {
            rows = rows.min(progress.missing().saturating_add(1)).max(1);
            let page = view.range(&rest, RangeLimits::rows(rows)).await?;
            let Some(last) = page.rows.last().map(|row| row.key.clone()) else { break };
            for row in page.rows {
                if !progress.take(row)? {
                    return Ok(progress.listing);
                }
            }
            if !page.more {
                break;
            }
            match progress.rolled_up() {
                // Whatever else begins with the last common prefix is skipped unread.
                Some(prefix) => {
                    rest.start = keys::objects(bucket, prefix).end.unwrap_or(last);
                    rows = ROWS_FIRST;
                }
                None => {
                    rest = rest.after(&last);
                    rows = rows.saturating_mul(2).min(ROWS_MAX);
                }
            }
        }
        progress.listing.next = None;
        Ok(progress.listing)
    }
}

/// What is left to read when the listing begins.
fn start_of(bucket: BucketId, query: &ListQuery) -> KeyRange {
    let all = keys::objects(bucket, &query.prefix);
    if query.prefix.len() > OBJECT_KEY_BYTES_MAX {
        return KeyRange { end: Some(all.start.clone()), start: all.start };
    }
    let start = match &query.after {
        None => return all,
        Some(Cursor::Key(key)) => Some(crate::keyspace::successor(&keys::object(bucket, key))),
        Some(Cursor::Prefix(prefix)) => keys::objects(bucket, prefix).end,
    };
    KeyRange { start: start.map_or(all.start.clone(), |start| start.max(all.start)), end: all.end }
}

struct Progress<'a> {
    query: &'a ListQuery,
    delimiter: Vec<u8>,
    limit: usize,
    listing: Listing,
    /// Whether the last thing taken was a common prefix.
    in_prefix: bool,
}

impl<'a> Progress<'a> {
    fn new(query: &'a ListQuery) -> Self {
        let delimiter = query.delimiter.clone().unwrap_or_default().into_bytes();
        let limit = query.limit.min(LISTING_MAX);
        Self { query, delimiter, limit, listing: Listing::default(), in_prefix: false }
    }

    fn missing(&self) -> usize {
        self.limit - (self.listing.entries.len() + self.listing.common_prefixes.len()).min(self.limit)
    }

    fn rolled_up(&self) -> Option<&[u8]> {
        self.listing.common_prefixes.last().filter(|_| self.in_prefix).map(Vec::as_slice)
    }

    /// Takes the next row; false when the listing is full without it.
    fn take(&mut self, row: Row) -> Result<bool, CatalogError> {
        let mut reader = KeyReader::new(&row.key, Table::Object)?;
        let (_, key) = (reader.u64()?, reader.bytes()?);
        reader.end()?;
        if self.rolled_up().is_some_and(|prefix| key.starts_with(prefix)) {
            return Ok(true);
        }
        if self.missing() == 0 {
            return Ok(false);
        }
        match common_prefix(&self.query.prefix, &self.delimiter, &key) {
            Some(prefix) => {
                self.listing.next = Some(Cursor::Prefix(prefix.clone()));
                self.listing.common_prefixes.push(prefix);
                self.in_prefix = true;
            }
            None => {
                self.listing.next = Some(Cursor::Key(key.clone()));
                self.listing.entries.push(entry(&key, &row.value)?);
                self.in_prefix = false;
            }
        }
        Ok(true)
    }
}

/// What a key is rolled up into, if it is: all of it through the first delimiter behind the prefix.
pub(super) fn common_prefix(prefix: &[u8], delimiter: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    if delimiter.is_empty() {
        return None;
    }
    let from = prefix.len();
    let rest = key.get(from..)?;
    let at = rest.windows(delimiter.len()).position(|window| window == delimiter)?;
    key.get(..from + at + delimiter.len()).map(<[u8]>::to_vec)
}

fn entry(key: &[u8], value: &[u8]) -> Result<Entry, CatalogError> {
    let HeadRecord { upload, size_bytes, created_unix_ms, content_type, etag } = HeadRecord::decode(value)?;
    Ok(Entry {
        key: ObjectKey::new(key).map_err(|_| keys::KeyError::Name)?,
        upload,
        size_bytes,
        content_type: content_type.into(),
        etag: etag.into(),
        created_unix_ms,
    })
}
