use std::sync::Arc;

use rocksdb::{BoundColumnFamily, DB, ReadOptions, Snapshot};

use super::row;
use crate::keyspace::{KeyRange, RangeLimits, RangePage, ReadError, Revision, Row, Versioned};

/// The rows of a keyspace: one column family of a database.
#[derive(Clone)]
pub(in crate::engine) struct Rows<'a> {
    db: &'a DB,
    family: Arc<BoundColumnFamily<'a>>,
}

/// RocksDB at one moment. Reads are short and bounded, so they run where they are called.
pub struct RocksView<'a> {
    snapshot: Snapshot<'a>,
    family: Arc<BoundColumnFamily<'a>>,
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

impl<'a> Rows<'a> {
    /// The rows in this family.
    pub(in crate::engine) fn of(db: &'a DB, family: &str) -> Result<Self, ReadError> {
        let missing = || ReadError::Engine(format!("the database has no column family {family}"));
        Ok(Self { db, family: db.cf_handle(family).ok_or_else(missing)? })
    }

    /// Where they are.
    pub(in crate::engine) fn family(&self) -> &Arc<BoundColumnFamily<'a>> {
        &self.family
    }

    /// One committed row.
    pub(in crate::engine) fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let stored = self.db.get_pinned_cf(&self.family, key).map_err(engine)?;
        stored.map(|stored| versioned(key, &stored)).transpose()
    }

    /// The commit that wrote a committed row.
    pub(in crate::engine) fn version(&self, key: &[u8]) -> Result<Option<Revision>, ReadError> {
        let Some(stored) = self.db.get_pinned_cf(&self.family, key).map_err(engine)? else { return Ok(None) };
        row::decode(&stored).map(|(version, _)| Some(version)).map_err(|error| damaged(key, error))
    }

    /// The newest commit.
    pub(in crate::engine) fn newest_revision(&self) -> Result<Revision, ReadError> {
        Ok(self.version(row::REVISION_KEY)?.unwrap_or_default())
    }

    /// As they are now.
    pub(in crate::engine) fn view(&self) -> RocksView<'a> {
        RocksView { snapshot: self.db.snapshot(), family: Arc::clone(&self.family) }
    }
}

impl RocksView<'_> {
    pub(in crate::engine) fn revision_now(&self) -> Result<Revision, ReadError> {
        Ok(self.get_now(row::REVISION_KEY)?.map(|row| row.version).unwrap_or_default())
    }

    pub(in crate::engine) fn get_now(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let stored = self.snapshot.get_pinned_cf_opt(&self.family, key, ReadOptions::default());
        stored.map_err(engine)?.map(|stored| versioned(key, &stored)).transpose()
    }

    pub(in crate::engine) fn range_now(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
    ) -> Result<RangePage, ReadError> {
        self.all_in(&range.without_reserved(), limits)
    }

    /// Rows of a range, the engine's own among them.
    pub(in crate::engine) fn all_in(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
    ) -> Result<RangePage, ReadError> {
        let mut page = RangePage::default();
        if range.is_empty() {
            return Ok(page);
        }
        let mut options = ReadOptions::default();
        if let Some(end) = range.end.clone() {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = self.snapshot.raw_iterator_cf_opt(&self.family, options);
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
