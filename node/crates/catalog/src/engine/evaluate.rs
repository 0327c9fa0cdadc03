//! What a batch does to rows: the one evaluation, used by the single writer and by every replica of a group.

use std::collections::HashMap;

use crate::keyspace::{
    Batch, Change, ChangeKind, Check, CommitError, KeyRange, ReadError, Revision, Versioned, Write,
};

/// The rows that batches are evaluated against.
pub(super) trait Committed {
    /// The commit that wrote a row.
    fn version(&self, key: &[u8]) -> Result<Option<Revision>, ReadError>;

    /// A row.
    fn row(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError>;

    /// Whether it is certain that no commit after `since` touched the range.
    fn proves_unchanged(&self, range: &KeyRange, since: Revision) -> bool;
}

/// A key and what a batch leaves in its row; absent: deleted.
type Staged = (Vec<u8>, Option<Vec<u8>>);

/// Commits that are evaluated and not yet written. Each sees those before it.
#[derive(Debug)]
pub(super) struct Pending {
    /// The newest commit.
    pub(super) newest: Revision,
    /// What the written keys will hold; absent: deleted.
    pub(super) rows: HashMap<Vec<u8>, Option<(Revision, Vec<u8>)>>,
    /// In the order of commits.
    pub(super) changes: Vec<Change>,
}

impl Pending {
    /// Nothing, on rows whose newest commit is this.
    pub(super) fn new(newest: Revision) -> Self {
        Self { newest, rows: HashMap::new(), changes: Vec::new() }
    }

    /// Evaluates the next batch: takes all of its writes in, or none.
    pub(super) fn commit(
        &mut self,
        committed: &impl Committed,
        batch: Batch,
    ) -> Result<Revision, CommitError> {
        for (at, check) in batch.checks.iter().enumerate() {
            if !self.holds(committed, check)? {
                return Err(CommitError::Conflict { check: at });
            }
        }
        if batch.writes.is_empty() {
            return Ok(self.newest);
        }
        let revision = Revision(self.newest.0 + 1);
        for (key, value) in self.stage(committed, batch.writes)? {
            let kind = if value.is_some() { ChangeKind::Written } else { ChangeKind::Deleted };
            self.changes.push(Change { revision, key: key.clone(), kind });
            self.rows.insert(key, value.map(|value| (revision, value)));
        }
        self.newest = revision;
        Ok(revision)
    }

    fn holds(&self, committed: &impl Committed, check: &Check) -> Result<bool, ReadError> {
        Ok(match check {
            Check::At { key, version } => self.version(committed, key)? == Some(*version),
            Check::Absent { key } => self.version(committed, key)?.is_none(),
            Check::Unchanged { range, since } => {
                let touched = |change: &Change| change.revision > *since && range.contains(&change.key);
                !self.changes.iter().any(touched) && committed.proves_unchanged(range, *since)
            }
        })
    }

    fn version(&self, committed: &impl Committed, key: &[u8]) -> Result<Option<Revision>, ReadError> {
        match self.rows.get(key) {
            Some(pending) => Ok(pending.as_ref().map(|(version, _)| *version)),
            None => committed.version(key),
        }
    }

    /// What each write leaves in its row. Nothing is taken over before all of them are known to be good.
    fn stage(&self, committed: &impl Committed, writes: Vec<Write>) -> Result<Vec<Staged>, CommitError> {
        let mut staged: Vec<Staged> = Vec::with_capacity(writes.len());
        for (at, write) in writes.into_iter().enumerate() {
            staged.push(match write {
                Write::Put { key, value } => (key, Some(value)),
                Write::Delete { key } => (key, None),
                Write::Add { key, delta } => {
                    let earlier = staged.iter().rev().find(|(staged, _)| *staged == key);
                    let old = match earlier {
                        Some((_, value)) => value.clone(),
                        None => self.value(committed, &key)?,
                    };
                    let sum = counter(old, at)?.wrapping_add(delta);
                    (key, Some(sum.to_le_bytes().to_vec()))
                }
            });
        }
        Ok(staged)
    }

    fn value(&self, committed: &impl Committed, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.rows.get(key) {
            Some(pending) => Ok(pending.as_ref().map(|(_, value)| value.clone())),
            None => Ok(committed.row(key)?.map(|row| row.value)),
        }
    }
}

fn counter(value: Option<Vec<u8>>, write: usize) -> Result<i64, CommitError> {
    let Some(value) = value else { return Ok(0) };
    value.try_into().map(i64::from_le_bytes).map_err(|_| CommitError::NotACounter { write })
}
