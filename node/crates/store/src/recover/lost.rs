use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use datamesh_shard::ShardKey;

use super::{CHANGES_MAX, Work, write};
use crate::error::{IndexError, OpenError};
use crate::format::{FILE_HEAD_BYTES, LogNumber, Position, ShardRow};
use crate::index::Index;
use crate::scan::Found;
use crate::table::{Changes, LogTable};

impl Work<'_> {
    /// Drops rows that point behind the end of what is left of their file.
    pub(super) fn drop_lost(&mut self) -> Result<(), OpenError> {
        let left = self.shortened()?;
        if left.is_empty() {
            return Ok(());
        }
        if let Some(end) = left.get(&self.known.log) {
            self.known.offset = *end;
        }
        let (index, known, table, dropped) =
            (self.index, self.known, &mut self.table, &mut self.report.dropped_shards);
        let mut lost = Vec::new();
        index.each_shard(None, |key, row| {
            if left.get(&row.log).is_some_and(|end| row.end() > *end) {
                *dropped += 1;
                lost.push((key, row));
            }
            if lost.len() >= CHANGES_MAX {
                drop_rows(index, table, &mut lost, known)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(drop_rows(index, table, &mut lost, known)?)
    }

    /// Files that are shorter than the index knows, and what is left of them.
    fn shortened(&self) -> Result<BTreeMap<LogNumber, u64>, OpenError> {
        let mut left = BTreeMap::new();
        for (log, row) in self.table.iter() {
            let path = self.path(log);
            let bytes = match std::fs::metadata(&path) {
                Ok(meta) => meta.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(source) => return Err(OpenError::Io { path, source }),
            };
            let is_known = log == self.known.log;
            if bytes >= if is_known { self.known.offset } else { row.bytes } {
                continue;
            }
            // Appending goes on behind the last record that is whole.
            left.insert(log, if is_known && bytes > 0 { self.last_whole(log)? } else { bytes });
        }
        Ok(left)
    }

    fn last_whole(&self, log: LogNumber) -> Result<u64, OpenError> {
        let mut scan = self.scan(log, FILE_HEAD_BYTES as u64)?;
        while !matches!(self.next(&mut scan, log)?, Found::End) {}
        Ok(scan.whole())
    }
}

fn drop_rows(
    index: &Index,
    table: &mut LogTable,
    lost: &mut Vec<(ShardKey, ShardRow)>,
    known: Position,
) -> Result<(), IndexError> {
    let mut changes = Changes::new(index, table);
    for (key, row) in lost.drain(..) {
        changes.remove(key, &row);
    }
    table.merge(write(changes, index, known)?);
    Ok(())
}
