use std::fs::OpenOptions;
use std::io;
use std::ops::Range;

use rustix::fs::ftruncate;

use super::{CHANGES_MAX, Work, write};
use crate::error::OpenError;
use crate::format::{FILE_HEAD_BYTES, LogNumber, Position, RecordError};
use crate::scan::{Found, Scan, Whole};
use crate::table::Changes;

impl Work<'_> {
    /// Reads what the index does not know yet; the newest file and its end.
    pub(super) fn replay(&mut self) -> Result<Option<Position>, OpenError> {
        let files: Vec<LogNumber> = self.files.range(self.known.log..).copied().collect();
        let mut newest = None;
        for log in &files {
            newest = Some(self.replay_file(*log, files.last() == Some(log))?);
        }
        Ok(newest)
    }

    fn replay_file(&mut self, log: LogNumber, is_newest: bool) -> Result<Position, OpenError> {
        let head_bytes = FILE_HEAD_BYTES as u64;
        let from = if log == self.known.log { self.known.offset.max(head_bytes) } else { head_bytes };
        let mut scan = self.scan(log, from)?;
        let path = self.path(log);
        match scan.file_head().map_err(OpenError::io(&path))? {
            Ok(_) => {}
            Err(source @ RecordError::Version(_)) => return Err(OpenError::Log { path, source }),
            // Records prove themselves; the head is not needed to read them.
            Err(error) => {
                tracing::warn!(path = %path.display(), offset = 0, %error, "the head of a log file is damaged");
                self.report.damaged_records += 1;
            }
        }
        self.index_records(&mut scan, log)?;
        let mut end = scan.whole();
        if is_newest {
            self.cut(log, end, scan.file_bytes())?;
        } else if scan.file_bytes() > end {
            // Not the tail: files are whole before the next one is begun.
            self.note_damage(log, end..scan.file_bytes(), 1);
            end = scan.file_bytes();
        }
        let position = Position { log, offset: end };
        self.table.merge(write(Changes::new(self.index, &self.table), self.index, position)?);
        Ok(position)
    }

    fn index_records(&mut self, scan: &mut Scan, log: LogNumber) -> Result<(), OpenError> {
        loop {
            let (records, ended) = self.read_records(scan, log)?;
            if !records.is_empty() {
                let mut changes = Changes::new(self.index, &self.table);
                for record in &records {
                    changes.replay(record)?;
                }
                self.table.merge(write(changes, self.index, Position { log, offset: scan.whole() })?);
                self.report.indexed_records += records.len() as u64;
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn read_records(&mut self, scan: &mut Scan, log: LogNumber) -> Result<(Vec<Whole>, bool), OpenError> {
        let mut records = Vec::new();
        let mut damaged = 0;
        while records.len() < CHANGES_MAX {
            let whole = scan.whole();
            match self.next(scan, log)? {
                Found::Record(record) => {
                    let offset = record.offset;
                    records.push(record);
                    if damaged > 0 {
                        self.note_damage(log, whole..offset, std::mem::take(&mut damaged));
                    }
                }
                // Counted once something whole follows; else it belongs to the torn tail.
                Found::Damaged => damaged += 1,
                Found::End => return Ok((records, true)),
            }
        }
        Ok((records, false))
    }

    /// Counts and names a damaged part that is not the torn tail. Which shards it held is not known, so none of them is
    /// known to be dead; and perhaps only the reading failed, which a file that is gone cannot be tried for again. So the
    /// part's bytes count as living until nothing else in the file does and space is short; then compaction reads the part
    /// once more, and lets the file go. The next write takes the row along with a position behind the part, so that it is
    /// counted once.
    fn note_damage(&mut self, log: LogNumber, part: Range<u64>, records: u64) {
        let (path, bytes) = (self.path(log), part.end - part.start);
        tracing::warn!(
            path = %path.display(),
            offset = part.start,
            bytes,
            "a part of a log file is damaged; the shards in it are lost to this node, those behind it are not"
        );
        self.report.damaged_records += records;
        let mut row = self.table.get(log).copied().unwrap_or_default();
        row.live_bytes = row.live_bytes.saturating_add(bytes);
        self.table.set(log, Some(row));
    }

    /// Cuts off the torn tail.
    fn cut(&mut self, log: LogNumber, end: u64, file_bytes: u64) -> Result<(), OpenError> {
        if file_bytes <= end {
            return Ok(());
        }
        let path = self.path(log);
        let cut = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(&path)?;
            ftruncate(&file, end)?;
            self.disk.sync_file(&file)
        };
        cut().map_err(OpenError::io(&path))?;
        self.report.truncated_bytes += file_bytes - end;
        Ok(())
    }
}
