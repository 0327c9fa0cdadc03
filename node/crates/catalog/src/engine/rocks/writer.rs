use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};

use super::{Tally, read, row};
use crate::engine::changes::ChangeLog;
use crate::keyspace::{Batch, Change, ChangeKind, Check, CommitError, KeyRange, Revision, Write};

/// Commits that share one sync at most: bounds how long the first of them waits for the others' evaluation.
const GROUP_COMMITS_MAX: usize = 512;
/// Bytes of one synced write, reached by the last commit taken in: the same reason.
const GROUP_BYTES_MAX: usize = 4 << 20;

type Reply = oneshot::Sender<Result<Revision, CommitError>>;

/// One commit on its way.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) reply: Reply,
}

/// The only writer: commits are evaluated in the order they arrive, so their order is one order.
pub(super) struct Writer {
    db: Arc<DB>,
    changes: Arc<Mutex<ChangeLog>>,
    tally: Arc<Tally>,
    newest: Revision,
    /// Why no commit can succeed any more: a write whose outcome is unknown.
    failed: Option<String>,
}

/// A key and what a batch leaves in its row; absent: deleted.
type Staged = (Vec<u8>, Option<Vec<u8>>);

/// Commits evaluated, not yet written.
struct Group {
    newest: Revision,
    /// What the written keys will hold; absent: deleted.
    rows: HashMap<Vec<u8>, Option<(Revision, Vec<u8>)>>,
    changes: Vec<Change>,
    bytes: usize,
    answers: Vec<(Reply, Result<Revision, CommitError>)>,
}

impl Writer {
    pub(super) fn new(
        db: Arc<DB>,
        changes: Arc<Mutex<ChangeLog>>,
        tally: Arc<Tally>,
        newest: Revision,
    ) -> Self {
        Self { db, changes, tally, newest, failed: None }
    }

    /// Until the last sender is gone.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = self.group();
            self.admit(&mut group, first);
            while group.answers.len() < GROUP_COMMITS_MAX && group.bytes < GROUP_BYTES_MAX {
                let Ok(next) = requests.try_recv() else { break };
                self.admit(&mut group, next);
            }
            self.finish(group);
        }
    }

    fn group(&self) -> Group {
        Group {
            newest: self.newest,
            rows: HashMap::new(),
            changes: Vec::new(),
            bytes: 0,
            answers: Vec::new(),
        }
    }

    fn admit(&self, group: &mut Group, request: Request) {
        let bytes = request.batch.bytes();
        let answer = match &self.failed {
            Some(failure) => Err(CommitError::Engine(failure.clone())),
            None => self.evaluate(group, request.batch),
        };
        match answer {
            Ok(_) => group.bytes += bytes,
            Err(CommitError::Conflict { .. }) => drop(self.tally.conflicts.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {}
        }
        group.answers.push((request.reply, answer));
    }

    fn evaluate(&self, group: &mut Group, batch: Batch) -> Result<Revision, CommitError> {
        for (at, check) in batch.checks.iter().enumerate() {
            if !self.holds(group, check)? {
                return Err(CommitError::Conflict { check: at });
            }
        }
        if batch.writes.is_empty() {
            return Ok(group.newest);
        }
        let revision = Revision(group.newest.0 + 1);
        let staged = self.stage(group, batch.writes)?;
        for (key, value) in staged {
            let kind = if value.is_some() { ChangeKind::Written } else { ChangeKind::Deleted };
            group.changes.push(Change { revision, key: key.clone(), kind });
            group.rows.insert(key, value.map(|value| (revision, value)));
        }
        group.newest = revision;
        Ok(revision)
    }

    fn holds(&self, group: &Group, check: &Check) -> Result<bool, CommitError> {
        Ok(match check {
            Check::At { key, version } => self.version(group, key)? == Some(*version),
            Check::Absent { key } => self.version(group, key)?.is_none(),
            Check::Unchanged { range, since } => self.unchanged(group, range, *since),
        })
    }

    fn version(&self, group: &Group, key: &[u8]) -> Result<Option<Revision>, CommitError> {
        match group.rows.get(key) {
            Some(pending) => Ok(pending.as_ref().map(|(version, _)| *version)),
            None => Ok(read::version(&self.db, key)?),
        }
    }

    fn unchanged(&self, group: &Group, range: &KeyRange, since: Revision) -> bool {
        let touched = |change: &Change| change.revision > since && range.contains(&change.key);
        !group.changes.iter().any(touched) && self.changes.lock().proves_unchanged(range, since)
    }

    /// What each write leaves in its row. Nothing is taken over into the group before all of them are known to be good.
    fn stage(&self, group: &Group, writes: Vec<Write>) -> Result<Vec<Staged>, CommitError> {
        let mut staged: Vec<Staged> = Vec::with_capacity(writes.len());
        for (at, write) in writes.into_iter().enumerate() {
            staged.push(match write {
                Write::Put { key, value } => (key, Some(value)),
                Write::Delete { key } => (key, None),
                Write::Add { key, delta } => {
                    let earlier = staged.iter().rev().find(|(staged, _)| *staged == key);
                    let old = match earlier {
                        Some((_, value)) => value.clone(),
                        None => self.value(group, &key)?,
                    };
                    let sum = counter(old, at)?.wrapping_add(delta);
                    (key, Some(sum.to_le_bytes().to_vec()))
                }
            });
        }
        Ok(staged)
    }

    fn value(&self, group: &Group, key: &[u8]) -> Result<Option<Vec<u8>>, CommitError> {
        match group.rows.get(key) {
            Some(pending) => Ok(pending.as_ref().map(|(_, value)| value.clone())),
            None => Ok(read::get(&self.db, key)?.map(|row| row.value)),
        }
    }

    /// Writes and syncs the group, then answers all of it: also a refusal may rest on a commit that had to become
    /// durable first.
    fn finish(&mut self, group: Group) {
        let Group { newest, rows, changes, answers, .. } = group;
        if let Err(failure) = self.write(newest, &rows) {
            tracing::error!(%failure, "the catalog cannot write any more and must be opened again");
            self.tally.failed.send_replace(true);
            self.failed = Some(failure.clone());
            for (reply, _) in answers {
                answer(reply, Err(CommitError::Engine(failure.clone())));
            }
            return;
        }
        self.changes.lock().extend(changes);
        self.tally.commits.fetch_add(newest.0 - self.newest.0, Ordering::Relaxed);
        self.newest = newest;
        for (reply, outcome) in answers {
            answer(reply, outcome);
        }
    }

    fn write(
        &self,
        newest: Revision,
        rows: &HashMap<Vec<u8>, Option<(Revision, Vec<u8>)>>,
    ) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put(row::REVISION_KEY, row::encode(newest, &[]));
        for (key, pending) in rows {
            match pending {
                Some((revision, value)) => batch.put(key, row::encode(*revision, value)),
                None => batch.delete(key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(rocksdb::Error::into_string)?;
        self.tally.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn counter(value: Option<Vec<u8>>, write: usize) -> Result<i64, CommitError> {
    let Some(value) = value else { return Ok(0) };
    value.try_into().map(i64::from_le_bytes).map_err(|_| CommitError::NotACounter { write })
}

/// A caller that went away does not need its answer.
fn answer(reply: Reply, outcome: Result<Revision, CommitError>) {
    drop(reply.send(outcome));
}
