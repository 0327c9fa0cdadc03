use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};
use std::ops::Bound;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::keyspace::{
    Batch, Change, ChangeKind, Changes, ChangesError, Check, CommitError, KeyRange, Keyspace, RangeLimits,
    RangePage, ReadError, Revision, Row, Versioned, View, Write,
};

type Rows = BTreeMap<Vec<u8>, Versioned>;

/// What a commit waits for before and after it happens: a simulated disk. A commit that is dropped in `before` had no
/// effect; one that is dropped in `after` is in, although nobody was told.
pub trait Gate: Send + Sync {
    /// Awaited before the batch is looked at.
    fn before(&self) -> BoxFuture<'_, ()>;

    /// Awaited between the batch and its answer, also when that is a refusal: it may rest on a commit that had to become
    /// durable first.
    fn after(&self) -> BoxFuture<'_, ()>;
}

/// A keyspace in memory, as plain as can be: the model that tests hold other engines against, and the catalog of a
/// simulated gateway. It keeps all changes unless told otherwise.
///
/// Clones are one keyspace, which outlives every catalog that is opened on it. Nothing locks it: whoever opens it again
/// sees to it that nobody uses what was opened before.
#[derive(Clone, Default)]
pub struct MemoryKeyspace {
    state: Arc<Mutex<State>>,
    gate: Option<Arc<dyn Gate>>,
}

impl fmt::Debug for MemoryKeyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(f, "MemoryKeyspace({} rows at revision {})", state.rows.len(), state.revision)
    }
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

    /// The same keyspace; commits through this value, and its clones, pass the gate.
    #[must_use]
    pub fn with_gate(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Forgets the change log, as a restart or a full log does.
    pub fn forget_changes(&self) {
        let mut state = self.state.lock();
        state.changes.clear();
        state.floor = state.revision;
    }

    /// Takes everything away, and counts commits from above this one: it becomes a catalog that is restored.
    pub fn empty(&self, begins_after: Revision) {
        *self.state.lock() = State { revision: begins_after, floor: begins_after, ..State::default() };
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |(key, stored): (&Vec<u8>, &Versioned)| row_of(key, stored);
        self.state.lock().rows.iter().map(row).collect()
    }

    async fn commit_gated(&self, batch: Batch) -> Result<Revision, CommitError> {
        let Some(gate) = &self.gate else { return self.state.lock().commit(&batch) };
        gate.before().await;
        let outcome = self.state.lock().commit(&batch);
        gate.after().await;
        outcome
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
                let newer = self.changes.partition_point(|change| change.revision <= *since);
                let touched = |change: &Change| range.contains(&change.key);
                *since >= self.floor && !self.changes[newer..].iter().any(touched)
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
        let written = self.written(&batch.writes)?;
        // Copied only while a view has them too.
        let rows = Arc::make_mut(&mut self.rows);
        for (key, value) in written {
            match value {
                Some(value) => drop(rows.insert(key.to_vec(), Versioned { version, value })),
                None => drop(rows.remove(key)),
            }
        }
        self.changes.extend(batch.writes.iter().map(|write| {
            let deleted = matches!(write, Write::Delete { .. });
            let kind = if deleted { ChangeKind::Deleted } else { ChangeKind::Written };
            Change { revision: version, key: write.key().to_vec(), kind }
        }));
        self.revision = version;
        Ok(version)
    }

    /// What the keys of these writes hold after them; absent: nothing.
    fn written<'a>(&self, writes: &'a [Write]) -> Result<BTreeMap<&'a [u8], Option<Vec<u8>>>, CommitError> {
        let mut written: BTreeMap<&[u8], Option<Vec<u8>>> = BTreeMap::new();
        for (at, write) in writes.iter().enumerate() {
            let value = match write {
                Write::Put { value, .. } => Some(value.clone()),
                Write::Delete { .. } => None,
                Write::Add { key, delta } => {
                    let old = match written.get(key.as_slice()) {
                        Some(value) => value.as_deref(),
                        None => self.rows.get(key).map(|row| row.value.as_slice()),
                    };
                    let old = old.map_or(Some(0), |old| old.try_into().map(i64::from_le_bytes).ok());
                    let sum = old.ok_or(CommitError::NotACounter { write: at })?.wrapping_add(*delta);
                    Some(sum.to_le_bytes().to_vec())
                }
            };
            written.insert(write.key(), value);
        }
        Ok(written)
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
        self.commit_gated(batch)
    }

    fn changes_since(
        &self,
        since: Revision,
        limit: usize,
    ) -> impl Future<Output = Result<Changes, ChangesError>> + Send {
        ready(self.state.lock().changes_since(since, limit))
    }
}
