//! Shredding: deleted bytes leave the log files now, however much else lives in them.
//!
//! The index forgets a shard with its delete, and copies of one that was moved lie in the file it came from. So the heads of all
//! records are read, of files in which anything is dead; where a segment is met, the file is compacted whatever it pays.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use datamesh_shard::SegmentId;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::batch::Job;
use crate::error::ShredError;
use crate::format::{FILE_HEAD_BYTES, LogNumber, LogRow, RecordKind};
use crate::scan::{Scan, ScanError};
use crate::shared::Shared;
use crate::store::Store;
use crate::writer::Writer;

/// What shredding came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shredded {
    /// Log files that held records of the segments.
    pub found: u32,
    /// Those of them that are still there: they do not fit into what is free, hold corrupt shards, or cannot be read. They go
    /// once that has passed.
    pub left: u32,
}

/// Files that are to be emptied whatever it pays.
pub(crate) struct Condemn {
    pub(crate) logs: BTreeSet<LogNumber>,
    pub(crate) answer: oneshot::Sender<()>,
}

impl Store {
    /// Removes the bytes of these segments, which were deleted, from the log files: each file that holds any is compacted, and
    /// gone when this returns, or counted. What a drive or a file system keeps of a removed file is not its business. What is
    /// not deleted is kept, and moved.
    ///
    /// # Errors
    /// Fails if the index does, or a log file cannot be read; nothing is lost, and it can be tried again.
    pub async fn shred(&self, segments: Arc<BTreeSet<SegmentId>>) -> Result<Shredded, ShredError> {
        let shared = Arc::clone(self.shared());
        let logs = spawn_blocking(move || holding(&shared, &segments)).await;
        let logs = logs.map_err(|_| ShredError::Closed)??;
        if logs.is_empty() {
            return Ok(Shredded::default());
        }
        let (answer, answered) = oneshot::channel();
        self.send(Job::Shred(Condemn { logs: logs.clone(), answer }))
            .await
            .map_err(|_| ShredError::Closed)?;
        answered.await.map_err(|_| ShredError::Closed)?;
        self.compacted().await;
        let dir = self.shared().reader.dir();
        let left = logs.iter().filter(|log| dir.join(log.file_name()).exists());
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Shredded { found: count(logs.len()), left: count(left.count()) })
    }
}

/// The log files with records of these segments.
fn holding(shared: &Shared, segments: &BTreeSet<SegmentId>) -> Result<BTreeSet<LogNumber>, ShredError> {
    let mut holding = BTreeSet::new();
    for (log, _) in shared.index.logs()?.into_iter().filter(|(_, row)| has_dead(row)) {
        if shared.compaction.is_stopped() {
            return Err(ShredError::Closed);
        }
        if holds(shared, log, segments)
            .map_err(|error| ShredError::Read { log, reason: error.to_string() })?
        {
            holding.insert(log);
        }
    }
    Ok(holding)
}

fn has_dead(row: &LogRow) -> bool {
    row.live_bytes.saturating_add(FILE_HEAD_BYTES as u64) < row.bytes
}

/// Of the file being appended to, what was there when it was opened for this.
fn holds(shared: &Shared, log: LogNumber, segments: &BTreeSet<SegmentId>) -> Result<bool, ScanError> {
    let file = match File::open(shared.reader.dir().join(log.file_name())) {
        Ok(file) => file,
        // It went meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut scan = Scan::new(file, log, FILE_HEAD_BYTES as u64)?;
    while let Some((head, _)) = scan.next_head()? {
        if head.kind == RecordKind::Shard && segments.contains(&head.key.segment) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Writer {
    /// Has the compactor empty these files. The one being appended to is closed for it.
    pub(crate) fn shred(&mut self, condemn: Condemn) {
        let Condemn { logs, answer } = condemn;
        // Where it cannot be closed the file is found to be there, and counted.
        let _ = !logs.contains(&self.active.position().log) || self.roll().is_ok();
        self.reclaim(&logs);
        self.shared.shredding.lock().extend(logs);
        self.shared.compaction.want();
        // Whoever asked may have gone away; it is done all the same.
        let _ = answer.send(());
    }

    /// A file to be emptied whatever it pays, each once a time.
    pub(crate) fn condemned(&self) -> Option<LogNumber> {
        let (space, active) = (self.shared.space(), self.active.position().log);
        let mut shredding = self.shared.shredding.lock();
        shredding.retain(|log| self.table.get(*log).is_some());
        let can_go = |log: &LogNumber| {
            let row = self.table.get(*log).filter(|_| *log != active);
            row.is_some_and(|row| row.corrupt_shards == 0 && row.live_shards > 0 && space.fits(row))
        };
        let log = shredding.iter().copied().find(can_go)?;
        shredding.remove(&log);
        Some(log)
    }
}
