//! The rows of a replica: entries are applied to them in the log's order, and to nothing else.

use std::io;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use rocksdb::WriteBatch;

use super::changes_rows::{ChangesRows, EngineRow};
use super::record::AppliedRecord;
use super::snapshot::{SnapshotData, StateSnapshot};
use super::types::{Entry, Group, LogId, Members, Outcomes, SnapshotMeta, Types};
use super::volume::Volume;
use crate::engine::changes::ChangeLog;
use crate::engine::evaluate::{Committed, Pending};
use crate::engine::rocks::{Rows, row};
use crate::keyspace::{Batch, CommitError, KeyRange, ReadError, Revision, Versioned};

/// Applies entries to a volume's rows.
pub struct StateMachine {
    volume: Arc<Volume>,
    changes: Arc<Mutex<ChangeLog>>,
    stored: ChangesRows,
    applied: AppliedRecord,
    newest: Revision,
}

/// What evaluation may see of a replica.
struct Base<'a> {
    rows: Rows<'a>,
    changes: &'a Mutex<ChangeLog>,
}

impl Committed for Base<'_> {
    fn version(&self, key: &[u8]) -> Result<Option<Revision>, ReadError> {
        self.rows.version(key)
    }

    fn row(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.rows.get(key)
    }

    fn proves_unchanged(&self, range: &KeyRange, since: Revision) -> bool {
        self.changes.lock().proves_unchanged(range, since)
    }
}

impl StateMachine {
    /// The rows of this volume, as far as they are.
    ///
    /// # Errors
    /// What does not read.
    pub fn open(volume: Arc<Volume>) -> io::Result<Self> {
        let changes = Arc::new(Mutex::new(ChangeLog::new(Revision(0), super::limits::CHANGES_MAX)));
        let (stored, applied) = (ChangesRows::default(), AppliedRecord::default());
        let mut machine = Self { volume, changes, stored, applied, newest: Revision(0) };
        machine.load()?;
        Ok(machine)
    }

    /// The changes that this replica remembers.
    pub(super) fn changes(&self) -> Arc<Mutex<ChangeLog>> {
        Arc::clone(&self.changes)
    }

    fn load(&mut self) -> io::Result<()> {
        let rows = self.volume.rows().map_err(io::Error::other)?;
        self.newest = rows.newest_revision().map_err(io::Error::other)?;
        let applied = rows.get(AppliedRecord::KEY).map_err(io::Error::other)?;
        self.applied = AppliedRecord::read(applied)?.unwrap_or_default();
        let (stored, changes) = ChangesRows::load(&rows, self.applied.floor)?;
        self.stored = stored;
        *self.changes.lock() = changes;
        Ok(())
    }

    /// Each entry is written by itself: which changes a check may rest on must follow from the log alone, not from how
    /// many entries came at once.
    fn apply_one(&mut self, entry: Entry) -> io::Result<Outcomes> {
        let mut pending = Pending::new(self.newest);
        let at = Some(entry.log_id.into());
        let mut applied = AppliedRecord { at, ..self.applied.clone() };
        let mut outcomes = Outcomes::default();
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(group) => outcomes = self.evaluate(&mut pending, &group)?,
            EntryPayload::Membership(members) => {
                applied.members_at = at;
                applied.members = (&members).into();
            }
        }
        self.write(pending, applied)?;
        Ok(outcomes)
    }

    /// A check that cannot be read is no outcome: another replica may read it. It stops this one.
    fn evaluate(&self, pending: &mut Pending, group: &Group) -> io::Result<Outcomes> {
        let base = Base { rows: self.volume.rows().map_err(io::Error::other)?, changes: &self.changes };
        let outcome = |batch: &Batch| match pending.commit(&base, batch.clone()) {
            Err(CommitError::Read(error)) => Err(io::Error::other(error)),
            outcome => Ok(outcome),
        };
        Ok(Outcomes(group.0.iter().map(outcome).collect::<io::Result<_>>()?))
    }

    /// Rows, changes and the place of the entry go together.
    fn write(&mut self, pending: Pending, mut applied: AppliedRecord) -> io::Result<()> {
        let Pending { newest, rows: written, changes } = pending;
        applied.floor = self.changes.lock().floor();
        let rows = self.volume.rows().map_err(io::Error::other)?;
        let (family, mut writes) = (rows.family(), WriteBatch::default());
        for (key, pending) in &written {
            match pending {
                Some((revision, value)) => writes.put_cf(family, key, row::encode(*revision, value)),
                None => writes.delete_cf(family, key),
            }
        }
        if newest > self.newest {
            writes.put_cf(family, row::REVISION_KEY, row::encode(newest, &[]));
            self.stored.write(newest, &changes, applied.floor, |key, value| match value {
                Some(value) => writes.put_cf(family, key, value),
                None => writes.delete_cf(family, key),
            })?;
        }
        writes.put_cf(family, AppliedRecord::KEY, applied.row(newest)?);
        self.volume.write(writes)?;
        self.changes.lock().extend(changes);
        (self.newest, self.applied) = (newest, applied);
        Ok(())
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), io::Error> {
        Ok((self.applied.at.map(LogId::from), self.applied.stored_members()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let outcomes = self.apply_one(entry)?;
            if let Some(responder) = responder {
                responder.send(outcomes);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            meta: self.applied.meta().unwrap_or_default(),
            data: SnapshotData::Of(Arc::clone(&self.volume)),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: SnapshotData) -> Result<(), io::Error> {
        let generation = data.staged_in(&self.volume, meta)?;
        self.volume.adopt(generation).await?;
        self.load()
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<StateSnapshot>, io::Error> {
        Ok(self
            .applied
            .meta()
            .map(|meta| Snapshot { meta, snapshot: SnapshotData::Of(Arc::clone(&self.volume)) }))
    }
}

/// Makes a snapshot of rows that are on disk anyway: it says how far they are, once that is durable.
pub struct Builder {
    meta: SnapshotMeta,
    data: SnapshotData,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<StateSnapshot, io::Error> {
        self.data.durable().await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: self.data.clone() })
    }
}
