//! The one thread that writes. It takes what waits, appends it in one go, syncs once, writes the index rows, answers.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use crate::batch::{Batch, BatchFailure, Job, Moved};
use crate::compact::{Pressure, Request};
use crate::disk::Disk;
use crate::error::{CloseError, IndexError};
use crate::format::LogNumber;
use crate::log::ActiveLog;
use crate::shared::Shared;
use crate::shred::Condemn;
use crate::table::{Changes, LogTable};

/// Jobs that wait while a batch is written; whoever comes then waits for room. Four batches: a queue longer than the
/// disk is fast only holds callers' buffers.
pub(crate) const QUEUE_JOBS_MAX: usize = 256;
/// Jobs of one batch at most. Three parts each stay below what one system call takes.
const BATCH_JOBS_MAX: usize = 256;
/// Bytes of one batch, after which no more jobs are added: some 10 ms of a fast disk.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// A file being appended to in which nothing lives is replaced once it is this large.
const DEAD_BYTES_MAX: u64 = 1 << 20;

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) active: ActiveLog,
    pub(crate) table: LogTable,
    pub(crate) next: LogNumber,
    pub(crate) disk: Disk,
    /// How much room there was when the compactor was told last.
    pub(crate) pressure: Pressure,
}

/// What waited, by who waits for it.
#[derive(Default)]
struct Gathered {
    jobs: Vec<Job>,
    /// The compactor waits for each answer, so there is one at most.
    request: Option<Request>,
    shreds: Vec<Condemn>,
    closing: Option<oneshot::Sender<Result<(), CloseError>>>,
}

impl Writer {
    /// Works until the store is closed or dropped.
    pub(crate) fn run(mut self) {
        let mut closing = None;
        while closing.is_none()
            && let Some(first) = self.jobs.blocking_recv()
        {
            let gathered = self.gather(first);
            if !gathered.jobs.is_empty() {
                // Everyone was answered; nobody is left to tell.
                let _ = self.commit(gathered.jobs);
            }
            gathered.shreds.into_iter().for_each(|condemn| self.shred(condemn));
            // By itself: a lack of room for moves is none for clients.
            if let Some(request) = gathered.request {
                self.compact(request);
            }
            closing = gathered.closing;
        }
        self.shared.compaction.stop();
        // All answers are durable already; this only spares the next open some reading.
        let synced = self.shared.index.sync();
        match closing {
            Some(answer) => drop(answer.send(synced.map_err(CloseError::from))),
            None => {
                synced.unwrap_or_else(|error| tracing::warn!(%error, "the index was not synced at the end"))
            }
        }
    }

    /// What waits, up to a batch.
    fn gather(&mut self, first: Job) -> Gathered {
        let mut gathered = Gathered::default();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            bytes += job.bytes();
            match job {
                Job::Close { answer } => gathered.closing = Some(answer),
                Job::Compact(request) => gathered.request = Some(request),
                Job::Shred(condemn) => gathered.shreds.push(condemn),
                job => gathered.jobs.push(job),
            }
            let has_room = gathered.jobs.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX;
            if gathered.closing.is_none() && has_room {
                next = self.jobs.try_recv().ok();
            }
        }
        gathered
    }

    pub(crate) fn commit(&mut self, jobs: Vec<Job>) -> Result<Moved, BatchFailure> {
        let mut touched = BTreeSet::from([self.active.position().log]);
        let rolled = self.roll_for(&jobs);
        let shared = Arc::clone(&self.shared);
        let changes = Changes::new(&shared.index, &self.table);
        let mut batch = Batch::new(changes, self.active.position(), &shared.space());
        for job in jobs {
            batch.add(job);
        }
        let stored = rolled.and_then(|()| store(&shared, &mut self.active, &mut batch));
        let moved = batch.moved;
        let (changes, answers) = batch.into_parts();
        let logs = changes.into_logs();
        touched.extend(logs.keys());
        if stored.is_ok() {
            self.table.merge(logs);
            shared.publish(self.table.sums());
            self.tell_compactor(&touched);
        }
        for answer in answers {
            answer.send(stored.clone());
        }
        if stored.is_ok() {
            self.reclaim(&touched);
        }
        stored.map(|()| moved)
    }

    /// Begins a new file if the batch does not fit into this one.
    fn roll_for(&mut self, jobs: &[Job]) -> Result<(), BatchFailure> {
        if let Some(reason) = self.shared.failure() {
            return Err(BatchFailure::Failed(reason));
        }
        let bytes = jobs.iter().map(|job| job.bytes() as u64).sum::<u64>();
        let end = self.active.position().offset.saturating_add(bytes);
        if end <= self.shared.options.log_bytes_max || self.active.is_empty() {
            return Ok(());
        }
        self.roll()
    }

    pub(crate) fn roll(&mut self) -> Result<(), BatchFailure> {
        // Bounds what the next open reads again to one file.
        let synced = self.shared.index.sync().and_then(|()| self.shared.measure_index());
        synced.map_err(|error| self.failed(&format!("the index cannot be synced: {error}")))?;
        let made = ActiveLog::create(
            self.shared.reader.dir(),
            self.next,
            self.shared.incarnation,
            self.disk.clone(),
        );
        match made {
            Ok(active) => {
                self.active = active;
                self.next = self.next.following();
                Ok(())
            }
            // The file there is may grow beyond its size.
            Err(error) if is_full(&error) => Ok(()),
            Err(error) => Err(self.failed(&format!("log {} cannot be made: {error}", self.next))),
        }
    }

    fn failed(&self, reason: &str) -> BatchFailure {
        BatchFailure::Failed(self.shared.fail(reason))
    }

    /// Removes those of the touched files in which nothing lives any more.
    pub(crate) fn reclaim(&mut self, touched: &BTreeSet<LogNumber>) {
        let active = self.active.position();
        let is_dead = |log: &LogNumber| {
            self.table.get(*log).is_some_and(|row| row.live_shards == 0 && row.live_bytes == 0)
        };
        let dead: Vec<LogNumber> = touched.iter().copied().filter(is_dead).collect();
        if dead.contains(&active.log) && active.offset > DEAD_BYTES_MAX && self.roll().is_err() {
            return;
        }
        let active = self.active.position().log;
        let dead: Vec<LogNumber> = dead.into_iter().filter(|log| *log != active).collect();
        if !dead.is_empty() {
            self.remove_all(&dead);
        }
    }

    pub(crate) fn remove_all(&mut self, dead: &[LogNumber]) {
        if let Err(error) = self.remove(dead) {
            tracing::warn!(%error, "dead log files stay until the next open");
        }
        self.shared.publish(self.table.sums());
        // It may have waited for room.
        self.shared.compaction.want();
    }

    /// Rows first and synced: a file is gone only when nothing can point at it again.
    fn remove(&mut self, dead: &[LogNumber]) -> Result<(), IndexError> {
        let mut rows = self.shared.index.rows()?;
        for log in dead {
            rows.log(*log, None)?;
        }
        self.shared.index.write(rows)?;
        self.shared.index.sync()?;
        for log in dead {
            let bytes = self.table.get(*log).map_or(0, |row| row.bytes);
            self.table.set(*log, None);
            match self.disk.remove_file(&self.shared.reader.dir().join(log.file_name())) {
                Ok(()) => drop(self.shared.counting.removed_bytes.fetch_add(bytes, Ordering::Relaxed)),
                Err(error) => tracing::warn!(%log, %error, "a dead log file stays until the next open"),
            }
            // Behind the removal: whoever opens it from now on finds none, and who did before keeps it no longer.
            self.shared.reader.forget(*log);
        }
        Ok(())
    }
}

/// Makes a batch durable: data first, then the rows that point at it.
fn store(shared: &Shared, active: &mut ActiveLog, batch: &mut Batch<'_>) -> Result<(), BatchFailure> {
    let before = active.position();
    let appended = batch.end().offset - before.offset;
    if appended == 0 && batch.changes.is_empty() {
        return Ok(());
    }
    if appended > 0 {
        append(shared, active, batch)?;
    }
    batch.changes.end(active.position());
    let written = batch.changes.rows(active.position()).and_then(|rows| shared.index.write(rows));
    // The log does not say what is corrupt: after a power loss it would be offered again until somebody reads it. Seldom,
    // so the sync costs nothing.
    let written = written.and_then(|()| if batch.condemned { shared.index.sync() } else { Ok(()) });
    written.map_err(|error| {
        BatchFailure::Failed(shared.fail(&format!("the index cannot be written: {error}")))
    })?;
    shared.counting.puts.fetch_add(batch.puts, Ordering::Relaxed);
    shared.counting.deletes.fetch_add(batch.deletes, Ordering::Relaxed);
    shared.counting.appended_bytes.fetch_add(appended, Ordering::Relaxed);
    Ok(())
}

fn append(shared: &Shared, active: &mut ActiveLog, batch: &Batch<'_>) -> Result<(), BatchFailure> {
    let before = active.position();
    let failed = |active: &mut ActiveLog, what: &str, error: &io::Error| {
        // None of it was acknowledged; none of it shall be found at the next open.
        let rewound = active.rewind(before.offset);
        // Synced: the next records may go to another file, and a power loss must not bring these back in front of them.
        if is_full(error) && what == "written" && rewound.and_then(|()| active.sync()).is_ok() {
            let reserve_bytes = shared.options.reserve_bytes;
            return BatchFailure::NoSpace { free_bytes: shared.free_bytes(), reserve_bytes };
        }
        BatchFailure::Failed(shared.fail(&format!("log {} cannot be {what}: {error}", before.log)))
    };
    if let Err(error) = active.append(&mut batch.parts(), batch.is_large()) {
        return Err(failed(active, "written", &error));
    }
    shared.counting.syncs.fetch_add(1, Ordering::Relaxed);
    match active.sync() {
        Ok(()) => Ok(()),
        Err(error) => Err(failed(active, "synced", &error)),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
