use rocksdb::{DB, ReadOptions, Snapshot};

use super::row;
use crate::keyspace::{KeyRange, RangeLimits, RangePage, ReadError, Revision, Row, Versioned};

/// RocksDB at one moment. Reads are short and bounded, so they run where they are called.
pub struct RocksView<'a> {
    snapshot: Snapshot<'a>,
}

impl std::fmt::Debug for RocksView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksView").field("sequence", &self.snapshot.sequence_number()).finish()
    }
}

fn engine(error: rocksdb::Error) -> ReadError {
    ReadError::Engine(error.into_string())
}

fn damaged(key: &[u8], error: row::RowError) -> ReadError {
    ReadError::Damaged { key: hex::encode(key), detail: error.words() }
}

fn versioned(key: &[u8], stored: &[u8]) -> Result<Versioned, ReadError> {
    let (version, value) = row::decode(stored).map_err(|error| damaged(key, error))?;
    Ok(Versioned { version, value: value.to_vec() })
}

/// One committed row.
pub(super) fn get(db: &DB, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
    db.get_pinned(key).map_err(engine)?.map(|stored| versioned(key, &stored)).transpose()
}

/// The commit that wrote a committed row.
pub(super) fn version(db: &DB, key: &[u8]) -> Result<Option<Revision>, ReadError> {
    let Some(stored) = db.get_pinned(key).map_err(engine)? else { return Ok(None) };
    row::decode(&stored).map(|(version, _)| Some(version)).map_err(|error| damaged(key, error))
}

/// The newest commit.
pub(super) fn newest_revision(db: &DB) -> Result<Revision, ReadError> {
    Ok(version(db, row::REVISION_KEY)?.unwrap_or_default())
}

impl<'a> RocksView<'a> {
    pub(super) fn new(db: &'a DB) -> Self {
        Self { snapshot: db.snapshot() }
    }

    pub(super) fn revision_now(&self) -> Result<Revision, ReadError> {
        Ok(self.get_now(row::REVISION_KEY)?.map(|row| row.version).unwrap_or_default())
    }

    pub(super) fn get_now(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let stored = self.snapshot.get_pinned_opt(key, ReadOptions::default()).map_err(engine)?;
        stored.map(|stored| versioned(key, &stored)).transpose()
    }

    pub(super) fn range_now(&self, range: &KeyRange, limits: RangeLimits) -> Result<RangePage, ReadError> {
        let range = range.without_reserved();
        let mut page = RangePage::default();
        if range.is_empty() {
            return Ok(page);
        }
        let mut options = ReadOptions::default();
        if let Some(end) = range.end {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = self.snapshot.raw_iterator_opt(options);
        rows.seek(&range.start);
        let mut bytes = 0;
        while let Some((key, stored)) = rows.item() {
            let full = page.rows.len() >= limits.rows || bytes >= limits.bytes;
            if full && !page.rows.is_empty() {
                page.more = true;
                break;
            }
            let Versioned { version, value } = versioned(key, stored)?;
            bytes += key.len() + value.len();
            page.rows.push(Row { key: key.to_vec(), version, value });
            rows.next();
        }
        rows.status().map_err(engine)?;
        Ok(page)
    }
}
