//! Opening after whatever happened: index and logs are brought to agree.
//!
//! 1. Rows that point at files, or parts of files, that are gone are dropped and counted.
//! 2. Records behind the position the index knows are read and indexed. The newest log is cut off behind its last whole
//!    record; what lay there was never acknowledged, since a record is whole on the disk before its put is answered.
//! 3. Files in which nothing lives are removed.
//!
//! A lost index is the same with position zero: every log is read. (A deleted shard may then come back when the file
//! with the note of its deletion is gone already; it is garbage that the catalog's check finds.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use datamesh_shard::{Incarnation, ShardKey};
use rustix::fs::ftruncate;

use crate::error::{IndexError, OpenError};
use crate::format::{FILE_HEAD_BYTES, LogNumber, Position, RecordError, ShardRow};
use crate::index::Index;
use crate::log::SyncFile;
use crate::scan::{Found, Scan, ScanError};
use crate::table::{Changes, LogTable};

/// Changes held in memory before they are written.
const CHANGES_MAX: usize = 4096;

/// What opening had to mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records found in the logs that the index did not know yet.
    pub indexed_records: u64,
    /// Records among them, or heads of files, that are not whole although something whole follows.
    pub damaged_records: u64,
    /// Bytes cut off behind the last whole record.
    pub truncated_bytes: u64,
    /// Shards the index knew whose bytes are gone. They are not here any more; repair brings them back.
    pub dropped_shards: u64,
    /// Log files removed because nothing in them lives.
    pub removed_logs: u64,
}

pub(crate) struct Recovered {
    pub(crate) table: LogTable,
    /// The newest file and its end, unless there is none yet.
    pub(crate) newest: Option<Position>,
    /// The number of the next file to be made.
    pub(crate) next: LogNumber,
    pub(crate) report: Recovery,
}

/// The incarnation the newest log file was made by: a bound from below, should the index be lost.
pub(crate) fn incarnation_of_logs(dir: &Path) -> Result<Incarnation, OpenError> {
    let Some(newest) = list(dir)?.pop_last() else { return Ok(Incarnation(0)) };
    let path = dir.join(newest.file_name());
    let head = || Scan::new(File::open(&path)?, newest, 0)?.file_head();
    Ok(head().map_err(OpenError::io(&path))?.map_or(Incarnation(0), |head| head.incarnation))
}

/// Brings index and logs to agree; all it tells is on the disk when it returns.
pub(crate) fn recover(index: &Index, dir: &Path, sync: &SyncFile) -> Result<Recovered, OpenError> {
    let files = list(dir)?;
    let known = index.position()?.unwrap_or_default();
    let table = LogTable::new(index.logs()?);
    let mut work = Work { index, dir, sync, files, table, known, report: Recovery::default() };
    work.drop_lost()?;
    let newest = work.replay()?;
    work.remove_dead(newest)?;
    let last = work.files.last().copied().max(work.table.iter().map(|(log, _)| log).max()).unwrap_or_default();
    let next = LogNumber(last.max(known.log).0.saturating_add(1));
    Ok(Recovered { table: work.table, newest, next, report: work.report })
}

struct Work<'a> {
    index: &'a Index,
    dir: &'a Path,
    sync: &'a SyncFile,
    files: BTreeSet<LogNumber>,
    table: LogTable,
    known: Position,
    report: Recovery,
}

impl Work<'_> {
    /// Drops rows that point behind the end of what is left of their file.
    fn drop_lost(&mut self) -> Result<(), OpenError> {
        let left = self.shortened()?;
        if left.is_empty() {
            return Ok(());
        }
        if let Some(end) = left.get(&self.known.log) {
            self.known.offset = *end;
        }
        let mut lost: Vec<(ShardKey, ShardRow)> = Vec::new();
        let (index, known, table) = (self.index, self.known, &mut self.table);
        let mut dropped = 0;
        index.each_shard(|key, row| {
            if left.get(&row.log).is_some_and(|end| row.end() > *end) {
                dropped += 1;
                lost.push((key, row));
            }
            if lost.len() >= CHANGES_MAX { drop_rows(index, table, &mut lost, known) } else { Ok(()) }
        })?;
        drop_rows(index, table, &mut lost, known)?;
        self.report.dropped_shards = dropped;
        Ok(())
    }

    /// Files that are shorter than the index knows, and what is left of them.
    fn shortened(&self) -> Result<BTreeMap<LogNumber, u64>, OpenError> {
        let mut left = BTreeMap::new();
        for (log, row) in self.table.iter() {
            let path = self.dir.join(log.file_name());
            let bytes = match std::fs::metadata(&path) {
                Ok(meta) => meta.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(OpenError::Io { path, source: error }),
            };
            let expected = if log == self.known.log { self.known.offset } else { row.bytes };
            if bytes >= expected {
                continue;
            }
            // The known position lies behind the end: go on behind the last record that is whole.
            let whole = if log == self.known.log && bytes > 0 { self.last_whole(log)? } else { bytes };
            left.insert(log, whole);
        }
        Ok(left)
    }

    fn last_whole(&self, log: LogNumber) -> Result<u64, OpenError> {
        let mut scan = self.scan(log, FILE_HEAD_BYTES as u64)?;
        while !matches!(self.next(&mut scan, log)?, Found::End) {}
        Ok(scan.whole())
    }

    /// Reads what the index does not know yet; the newest file's end.
    fn replay(&mut self) -> Result<Option<Position>, OpenError> {
        let files: Vec<LogNumber> = self.files.range(self.known.log..).copied().collect();
        let mut newest = None;
        for log in &files {
            let is_newest = files.last() == Some(log);
            if let Some(position) = self.replay_file(*log, is_newest)? {
                newest = Some(position);
            }
        }
        Ok(newest)
    }

    fn replay_file(&mut self, log: LogNumber, is_newest: bool) -> Result<Option<Position>, OpenError> {
        let path = self.dir.join(log.file_name());
        let head_bytes = FILE_HEAD_BYTES as u64;
        let from = if log == self.known.log { self.known.offset.max(head_bytes) } else { head_bytes };
        let mut scan = self.scan(log, from)?;
        match scan.file_head().map_err(OpenError::io(&path))? {
            Ok(_) => {}
            Err(source @ RecordError::Version(_)) => return Err(OpenError::Log { path, source }),
            // Torn while it was made: nothing was ever appended.
            Err(_) if is_newest && scan.file_bytes() <= head_bytes => {
                std::fs::remove_file(&path).map_err(OpenError::io(&path))?;
                self.files.remove(&log);
                return Ok(None);
            }
            // Records prove themselves; the head is not needed to read them.
            Err(_) => self.report.damaged_records += 1,
        }
        self.index_records(&mut scan, log)?;
        let mut end = scan.whole();
        if is_newest {
            self.cut(log, end, scan.file_bytes())?;
        } else if scan.file_bytes() > end {
            self.report.damaged_records += 1;
            end = scan.file_bytes();
        }
        let position = Position { log, offset: end };
        self.flush(Changes::new(self.index, &LogTable::default()).nothing(), position)?;
        Ok(Some(position))
    }

    fn index_records(&mut self, scan: &mut Scan, log: LogNumber) -> Result<(), OpenError> {
        let mut damaged = 0;
        loop {
            let mut records = Vec::new();
            let mut ended = false;
            while records.len() < CHANGES_MAX && !ended {
                match self.next(scan, log)? {
                    Found::Record(head, offset) => {
                        records.push((head, offset));
                        self.report.damaged_records += std::mem::take(&mut damaged);
                    }
                    // Counted only once something whole follows; else it is the torn tail.
                    Found::Damaged => damaged += 1,
                    Found::End => ended = true,
                }
            }
            self.report.indexed_records += records.len() as u64;
            let mut changes = Changes::new(self.index, &self.table);
            for (head, offset) in &records {
                changes.replay(head, *offset)?;
            }
            let position = Position { log, offset: scan.whole() };
            let changed = write(changes, self.index, position)?;
            self.merge(changed);
            if ended {
                return Ok(());
            }
        }
    }
}
