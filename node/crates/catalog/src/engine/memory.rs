use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::keyspace::{
    Batch, Change, ChangeKind, Changes, ChangesError, Check, CommitError, KeyRange, Keyspace, RangeLimits,
    RangePage, ReadError, Revision, Row, Versioned, View, Write,
};

type Rows = BTreeMap<Vec<u8>, Versioned>;

/// A keyspace in memory, as plain as can be: the model that tests hold other engines against. It keeps all changes
/// unless told otherwise.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeyspace {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rows: Arc<Rows>,
    revision: Revision,
    changes: Vec<Change>,
    floor: Revision,
}

/// The model at one revision.
#[derive(Clone, Debug)]
pub struct MemoryView {
    rows: Arc<Rows>,
    revision: Revision,
}

impl MemoryKeyspace {
    /// An empty keyspace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the change log, as a restart or a full log does.
    pub fn forget_changes(&self) {
        let mut state = self.state.lock();
        state.changes.clear();
        state.floor = state.revision;
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |(key, stored): (&Vec<u8>, &Versioned)| row_of(key, stored);
        self.state.lock().rows.iter().map(row).collect()
    }
}

fn row_of(key: &[u8], stored: &Versioned) -> Row {
    Row { key: key.to_vec(), version: stored.version, value: stored.value.clone() }
}

impl State {
    fn holds(&self, check: &Check) -> bool {
        match check {
            Check::At { key, version } => self.rows.get(key).is_some_and(|row| row.version == *version),
            Check::Absent { key } => !self.rows.contains_key(key),
            Check::Unchanged { range, since } => {
                let touched = |change: &Change| change.revision > *since && range.contains(&change.key);
                *since >= self.floor && !self.changes.iter().any(touched)
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<Revision, CommitError> {
        batch.validate()?;
        if let Some(check) = batch.checks.iter().position(|check| !self.holds(check)) {
            return Err(CommitError::Conflict { check });
        }
        if batch.writes.is_empty() {
            return Ok(self.revision);
        }
        let version = Revision(self.revision.0 + 1);
        let mut rows = Rows::clone(&self.rows);
        let mut changes = Vec::new();
        for (at, write) in batch.writes.iter().enumerate() {
            let key = write.key().to_vec();
            let mut kind = ChangeKind::Written;
            match write {
                Write::Put { value, .. } => {
                    drop(rows.insert(key.clone(), Versioned { version, value: value.clone() }))
                }
                Write::Delete { .. } => {
                    rows.remove(&key);
                    kind = ChangeKind::Deleted;
                }
                Write::Add { delta, .. } => {
                    let old = rows
                        .get(&key)
                        .map_or(Some(0), |row| row.value.clone().try_into().map(i64::from_le_bytes).ok());
                    let sum = old.ok_or(CommitError::NotACounter { write: at })?.wrapping_add(*delta);
                    rows.insert(key.clone(), Versioned { version, value: sum.to_le_bytes().to_vec() });
                }
            }
            changes.push(Change { revision: version, key, kind });
        }
        self.rows = Arc::new(rows);
        self.changes.append(&mut changes);
        self.revision = version;
        Ok(version)
    }

    fn changes_since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        if since < self.floor {
            return Err(ChangesError::Forgotten { through: self.floor });
        }
        if since > self.revision {
            return Err(ChangesError::Future { newest: self.revision });
        }
        let newer: Vec<Change> =
            self.changes.iter().filter(|change| change.revision > since).cloned().collect();
        let through = match newer.get(limit.max(1) - 1) {
            Some(last) => last.revision,
            None => self.revision,
        };
        let changes = newer.into_iter().filter(|change| change.revision <= through).collect();
        Ok(Changes { changes, through })
    }
}

impl View for MemoryView {
    fn revision(&self) -> impl Future<Output = Result<Revision, ReadError>> + Send {
        ready(Ok(self.revision))
    }

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Versioned>, ReadError>> + Send {
        ready(Ok(self.rows.get(key).cloned()))
    }

    fn range(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
    ) -> impl Future<Output = Result<RangePage, ReadError>> + Send {
        let mut page = RangePage::default();
        if range.is_empty() {
            return ready(Ok(page));
        }
        let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0;
        for (key, stored) in self.rows.range((Bound::Included(range.start.clone()), end)) {
            let full = page.rows.len() >= limits.rows || bytes >= limits.bytes;
            if full && !page.rows.is_empty() {
                page.more = true;
                break;
            }
            bytes += key.len() + stored.value.len();
            page.rows.push(row_of(key, stored));
        }
        ready(Ok(page))
    }
}

impl Keyspace for MemoryKeyspace {
    type View<'a> = MemoryView;

    fn view(&self) -> impl Future<Output = Result<MemoryView, ReadError>> + Send {
        let state = self.state.lock();
        ready(Ok(MemoryView { rows: state.rows.clone(), revision: state.revision }))
    }

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Versioned>, ReadError>> + Send {
        ready(Ok(self.state.lock().rows.get(key).cloned()))
    }

    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Revision, CommitError>> + Send {
        ready(self.state.lock().commit(&batch))
    }

    fn changes_since(
        &self,
        since: Revision,
        limit: usize,
    ) -> impl Future<Output = Result<Changes, ChangesError>> + Send {
        ready(self.state.lock().changes_since(since, limit))
    }
}
