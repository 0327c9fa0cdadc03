use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};

use super::{Rows, SINGLE_FAMILY, Tally, row};
use crate::engine::changes::ChangeLog;
use crate::engine::evaluate::{Committed, Pending};
use crate::keyspace::{Batch, CommitError, KeyRange, ReadError, Revision, Versioned};

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

/// Commits evaluated, not yet written.
struct Group {
    pending: Pending,
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

    fn rows(&self) -> Result<Rows<'_>, ReadError> {
        Rows::of(&self.db, SINGLE_FAMILY)
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
        Group { pending: Pending::new(self.newest), bytes: 0, answers: Vec::new() }
    }

    fn admit(&self, group: &mut Group, request: Request) {
        let bytes = request.batch.bytes();
        let answer = match &self.failed {
            Some(failure) => Err(CommitError::Engine(failure.clone())),
            None => group.pending.commit(self, request.batch),
        };
        match answer {
            Ok(_) => group.bytes += bytes,
            Err(CommitError::Conflict { .. }) => drop(self.tally.conflicts.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {}
        }
        group.answers.push((request.reply, answer));
    }

    /// Writes and syncs the group, then answers all of it: also a refusal may rest on a commit that had to become
    /// durable first.
    fn finish(&mut self, group: Group) {
        let Group { pending: Pending { newest, rows, changes }, answers, .. } = group;
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

impl Committed for Writer {
    fn version(&self, key: &[u8]) -> Result<Option<Revision>, ReadError> {
        self.rows()?.version(key)
    }

    fn row(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.rows()?.get(key)
    }

    fn proves_unchanged(&self, range: &KeyRange, since: Revision) -> bool {
        self.changes.lock().proves_unchanged(range, since)
    }
}

/// A caller that went away does not need its answer.
fn answer(reply: Reply, outcome: Result<Revision, CommitError>) {
    drop(reply.send(outcome));
}
