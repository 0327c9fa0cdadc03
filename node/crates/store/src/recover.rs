//! Opening after whatever happened: index and logs are brought to agree.
//!
//! 1. Rows that point at files, or parts of files, that are gone are dropped and counted.
//! 2. Records behind the position the index knows are read and indexed, those behind damaged parts too: they may have
//!    been acknowledged. The newest log is cut off behind its last whole record; what lay there is taken for never
//!    acknowledged, since a record is whole on the disk before its put is answered.
//! 3. Files in which nothing lives are removed, unless a part of them is damaged.
//!
//! A power loss may tear a batch in the middle and leave whole records of it behind the torn one. They are kept, and the
//! torn one counts as damaged: nothing tells them from acknowledged ones, and though nobody was told that they are there
//! they do no harm. A shard proves itself, and if its put is not repeated the catalog's check finds it; a delete is one
//! the catalog asked for, and its generation spares what is put anew.
//!
//! A shard that compaction moved has two records for a while, and its row says which counts. Both are read only when the
//! index is lost or behind, and the later one wins as it did then: it carries the generation the shard had by then.
//!
//! A lost index is the same with position zero: every log is read. (A deleted shard may then come back when the file
//! with the note of its deletion is gone already; it is garbage that the catalog's check finds. And a generation may be
//! an earlier one when the note that raised it is gone.)

mod lost;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use datamesh_shard::Incarnation;

use crate::disk::Disk;
use crate::error::{IndexError, OpenError};
use crate::format::{FILE_HEAD_BYTES, LogNumber, LogRow, Position};
use crate::index::Index;
use crate::scan::{Found, Scan, ScanError};
use crate::table::{Changes, LogTable};

/// Changes held in memory before they are written.
const CHANGES_MAX: usize = 4096;

/// What opening had to mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records found in the logs that the index did not know yet.
    pub indexed_records: u64,
    /// Records among them, or heads of files, that are not whole although something whole follows. A part of a file in
    /// which no record begins counts as one, however many it held.
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
    /// The newest file and its end, unless there is none.
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

/// Brings index and logs to agree; what it tells is on the disk when it returns.
pub(crate) fn recover(index: &Index, dir: &Path, disk: &Disk) -> Result<Recovered, OpenError> {
    let files = list(dir)?;
    let known = index.position()?.unwrap_or_default();
    let table = LogTable::new(index.logs()?);
    let last = files.last().copied().max(table.iter().map(|(log, _)| log).max()).max(Some(known.log));
    let next = last.unwrap_or_default().following();
    let mut work = Work { index, dir, disk, files, table, known, report: Recovery::default() };
    work.drop_lost()?;
    work.remove_unfinished()?;
    let newest = work.replay()?;
    work.remove_dead(newest.map(|newest| newest.log))?;
    Ok(Recovered { table: work.table, newest, next, report: work.report })
}

/// The log files of a folder.
fn list(dir: &Path) -> Result<BTreeSet<LogNumber>, OpenError> {
    let names = || -> io::Result<BTreeSet<LogNumber>> {
        let mut logs = BTreeSet::new();
        for entry in std::fs::read_dir(dir)? {
            logs.extend(entry?.file_name().to_str().and_then(LogNumber::from_file_name));
        }
        Ok(logs)
    };
    names().map_err(OpenError::io(dir))
}

struct Work<'a> {
    index: &'a Index,
    dir: &'a Path,
    disk: &'a Disk,
    files: BTreeSet<LogNumber>,
    table: LogTable,
    known: Position,
    report: Recovery,
}

impl Work<'_> {
    fn path(&self, log: LogNumber) -> PathBuf {
        self.dir.join(log.file_name())
    }

    /// Nothing can be in a newest file without a whole head: the process ended while making it, or what was in it is lost.
    fn remove_unfinished(&mut self) -> Result<(), OpenError> {
        let Some(newest) = self.files.last().copied() else { return Ok(()) };
        let path = self.path(newest);
        let unfinished = || -> io::Result<bool> {
            let scan = Scan::new(File::open(&path)?, newest, 0)?;
            Ok(scan.file_bytes() <= FILE_HEAD_BYTES as u64 && scan.file_head()?.is_err())
        };
        if unfinished().map_err(OpenError::io(&path))? {
            self.disk.remove_file(&path).map_err(OpenError::io(&path))?;
            self.files.remove(&newest);
        }
        Ok(())
    }

    /// Removes files in which nothing lives, rows first. Damaged parts count as alive (see [`Work::note_damage`]), as
    /// long as there is a file for them to be in.
    fn remove_dead(&mut self, newest: Option<LogNumber>) -> Result<(), OpenError> {
        let keep = |log: LogNumber| Some(log) == newest;
        let is_empty =
            |log, row: &LogRow| row.live_shards == 0 && (row.live_bytes == 0 || !self.files.contains(&log));
        let dead: BTreeSet<LogNumber> = self
            .table
            .iter()
            .filter(|(log, row)| is_empty(*log, row) && !keep(*log))
            .map(|(log, _)| log)
            .collect();
        if !dead.is_empty() {
            let mut rows = self.index.rows()?;
            for log in &dead {
                rows.log(*log, None)?;
                self.table.set(*log, None);
            }
            self.index.write(rows)?;
        }
        self.index.sync()?;
        // A file without a row is one whose row was removed before the process ended.
        for log in self.files.iter().copied().filter(|log| self.table.get(*log).is_none() && !keep(*log)) {
            let path = self.path(log);
            self.disk.remove_file(&path).map_err(OpenError::io(&path))?;
            self.report.removed_logs += 1;
        }
        Ok(())
    }

    fn scan(&self, log: LogNumber, from: u64) -> Result<Scan, OpenError> {
        let path = self.path(log);
        let scan = || -> io::Result<Scan> {
            let file = File::open(&path)?;
            // What is read here is acknowledged or indexed next: it has to be on the disk.
            self.disk.sync_file(&file)?;
            Scan::new(file, log, from)
        };
        scan().map_err(OpenError::io(&path))
    }

    fn next(&self, scan: &mut Scan, log: LogNumber) -> Result<Found, OpenError> {
        scan.next().map_err(|error| match error {
            ScanError::Io(source) => OpenError::Io { path: self.path(log), source },
            ScanError::Record(source) => OpenError::Log { path: self.path(log), source },
        })
    }
}

/// Writes changes as one; the rows of logs as they are after it.
fn write(
    mut changes: Changes<'_>,
    index: &Index,
    position: Position,
) -> Result<BTreeMap<LogNumber, LogRow>, IndexError> {
    changes.end(position);
    index.write(changes.rows(position)?)?;
    Ok(changes.into_logs())
}
