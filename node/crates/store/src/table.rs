//! What each log file holds, and what a batch of records changes about it.

use std::collections::{BTreeMap, HashMap};

use datamesh_shard::{Generation, ShardKey};

use crate::error::IndexError;
use crate::format::{LogNumber, LogRow, Position, RecordKind, ShardRow};
use crate::index::{Index, Rows};
use crate::scan::Whole;

/// Every log file's row, and their sums.
#[derive(Debug, Default)]
pub(crate) struct LogTable {
    rows: BTreeMap<LogNumber, LogRow>,
    sums: LogRow,
}

impl LogTable {
    pub(crate) fn new(rows: impl IntoIterator<Item = (LogNumber, LogRow)>) -> Self {
        let mut table = Self::default();
        for (log, row) in rows {
            table.set(log, Some(row));
        }
        table
    }

    pub(crate) fn get(&self, log: LogNumber) -> Option<&LogRow> {
        self.rows.get(&log)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LogNumber, &LogRow)> {
        self.rows.iter().map(|(log, row)| (*log, row))
    }

    /// All files together.
    pub(crate) fn sums(&self) -> LogRow {
        self.sums
    }

    /// Takes over the rows a batch changed.
    pub(crate) fn merge(&mut self, rows: BTreeMap<LogNumber, LogRow>) {
        for (log, row) in rows {
            self.set(log, Some(row));
        }
    }

    pub(crate) fn set(&mut self, log: LogNumber, row: Option<LogRow>) {
        let old = match row {
            Some(row) => self.rows.insert(log, row),
            None => self.rows.remove(&log),
        };
        let (old, new) = (old.unwrap_or_default(), row.unwrap_or_default());
        let move_sum = |sum: &mut u64, old: u64, new: u64| *sum = sum.saturating_sub(old).saturating_add(new);
        move_sum(&mut self.sums.bytes, old.bytes, new.bytes);
        move_sum(&mut self.sums.live_bytes, old.live_bytes, new.live_bytes);
        move_sum(&mut self.sums.payload_bytes, old.payload_bytes, new.payload_bytes);
        move_sum(&mut self.sums.live_shards, old.live_shards, new.live_shards);
        move_sum(&mut self.sums.corrupt_shards, old.corrupt_shards, new.corrupt_shards);
    }
}

/// What a batch of records will change once they are durable: seen by the records behind in the same batch, written to
/// the index as one.
pub(crate) struct Changes<'a> {
    index: &'a Index,
    table: &'a LogTable,
    shards: HashMap<ShardKey, Option<ShardRow>>,
    logs: BTreeMap<LogNumber, LogRow>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(index: &'a Index, table: &'a LogTable) -> Self {
        Self { index, table, shards: HashMap::new(), logs: BTreeMap::new() }
    }

    /// Whether no shard was changed so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Reads what a record of a log says, as it was decided when it was written.
    pub(crate) fn replay(&mut self, Whole { head, offset, profile }: &Whole) -> Result<(), IndexError> {
        let current = self.current(head.key)?;
        match (head.kind, current) {
            (RecordKind::Shard, old) => {
                let Some(profile) = *profile else { return Ok(()) };
                self.place(head.key, old, ShardRow::of(head, *offset, profile));
            }
            (RecordKind::Delete, Some(old)) if old.generation <= head.generation => {
                self.remove(head.key, &old)
            }
            (RecordKind::Raise, Some(old)) if old.generation < head.generation => {
                self.raise(head.key, &old, head.generation);
            }
            (RecordKind::Delete | RecordKind::Raise, _) => {}
        }
        Ok(())
    }

    /// Where the shard lies, earlier changes of this batch included.
    pub(crate) fn current(&self, key: ShardKey) -> Result<Option<ShardRow>, IndexError> {
        match self.shards.get(&key) {
            Some(row) => Ok(*row),
            None => self.index.shard(key),
        }
    }

    /// The shard lies here from now on; `old` is where it lay so far.
    pub(crate) fn place(&mut self, key: ShardKey, old: Option<ShardRow>, row: ShardRow) {
        if let Some(old) = old {
            self.release(&old);
        }
        let log = self.log(row.log);
        log.live_bytes = log.live_bytes.saturating_add(row.record_bytes());
        log.payload_bytes = log.payload_bytes.saturating_add(row.payload_bytes.into());
        log.live_shards = log.live_shards.saturating_add(1);
        log.corrupt_shards = log.corrupt_shards.saturating_add(row.corrupt.into());
        self.shards.insert(key, Some(row));
    }

    /// The shard is gone.
    pub(crate) fn remove(&mut self, key: ShardKey, old: &ShardRow) {
        self.release(old);
        self.shards.insert(key, None);
    }

    /// The shard stays where it is with a higher generation.
    pub(crate) fn raise(&mut self, key: ShardKey, old: &ShardRow, generation: Generation) {
        self.shards.insert(key, Some(ShardRow { generation, ..*old }));
    }

    /// The shard was found corrupt.
    pub(crate) fn condemn(&mut self, key: ShardKey, old: ShardRow) {
        self.place(key, Some(old), ShardRow { corrupt: true, ..old });
    }

    /// The file's end.
    pub(crate) fn end(&mut self, position: Position) {
        self.log(position.log).bytes = position.offset;
    }

    /// All changes as rows, for one write.
    pub(crate) fn rows(&self, position: Position) -> Result<Rows<'a>, IndexError> {
        let mut rows = self.index.rows()?;
        for (key, row) in &self.shards {
            rows.shard(*key, row.as_ref())?;
        }
        for (log, row) in &self.logs {
            rows.log(*log, Some(row))?;
        }
        rows.position(position)?;
        Ok(rows)
    }

    /// The files' rows as they are after this batch.
    pub(crate) fn into_logs(self) -> BTreeMap<LogNumber, LogRow> {
        self.logs
    }

    fn release(&mut self, old: &ShardRow) {
        let log = self.log(old.log);
        log.live_bytes = log.live_bytes.saturating_sub(old.record_bytes());
        log.payload_bytes = log.payload_bytes.saturating_sub(old.payload_bytes.into());
        log.live_shards = log.live_shards.saturating_sub(1);
        log.corrupt_shards = log.corrupt_shards.saturating_sub(old.corrupt.into());
    }

    fn log(&mut self, log: LogNumber) -> &mut LogRow {
        let known = self.table.get(log).copied();
        self.logs.entry(log).or_insert_with(|| known.unwrap_or_default())
    }
}
