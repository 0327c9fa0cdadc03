//! One pass over a file: everything that lives in it is read, proven and handed to the writer.

use bytes::Bytes;
use datamesh_shard::ShardKey;

use super::{Compactor, Halt, MoveError, Request};
use crate::batch::Job;
use crate::error::{Damage, GetError};
use crate::format::{LogNumber, LogRow, Position, RecordHead, RecordKind};
use crate::scan::{Scan, ScanError};

/// Bytes of a batch of moves, after which no more are added: what the foreground may have to wait for.
const MOVE_BYTES_MAX: usize = 4 << 20;
/// Shards of a batch of moves at most.
const MOVES_MAX: usize = 256;
/// Rows of shards that are looked up in the whole index at once: what they take in memory does not depend on the file.
const STRAGGLERS_MAX: usize = 4096;

/// A shard on its way out of a file, held against its checksums.
pub(crate) struct Moving {
    pub(crate) key: ShardKey,
    /// Where it was read.
    pub(crate) from: Position,
    pub(crate) header: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) body_crc: u32,
}

/// Moves that are handed over together.
#[derive(Default)]
struct Load {
    shards: Vec<Moving>,
    bytes: usize,
}

impl Compactor {
    /// Moves what lives in `log`. The file is removed by the writer, with the last thing in it that lives.
    pub(super) fn pass(&self, log: LogNumber) -> Result<(), Halt> {
        let mut scan = self.scan(log)?;
        let mut load = Load::default();
        while let Some((head, offset)) = next_head(&mut scan, log)? {
            if head.kind == RecordKind::Shard {
                self.take(&mut load, head.key, Position { log, offset })?;
            }
            if self.is_due(&load) && self.hand_over(log, &mut load)?.is_none() {
                return Ok(());
            }
            self.breathe()?;
        }
        // As long as it is open the file's space does not come back.
        drop(scan);
        // A shard whose record does not even have a head any more is not met on the way through the file.
        if has_stragglers(self.hand_over(log, &mut load)?) && has_stragglers(self.move_stragglers(log)?) {
            tracing::warn!(%log, "more is said to live in a log file than the index knows; it stays");
        }
        Ok(())
    }

    /// Goes through the whole index for what lives in `log`; what the file holds afterwards.
    fn move_stragglers(&self, log: LogNumber) -> Result<Option<LogRow>, Halt> {
        let mut load = Load::default();
        let mut last = None;
        loop {
            let go_on = || self.breathe().is_ok();
            let some = self.shared.index.shards_in(log, last, STRAGGLERS_MAX, go_on)?;
            // What was cut short by a stop is no end.
            self.breathe()?;
            let is_end = some.len() < STRAGGLERS_MAX;
            for (key, row) in some {
                self.take(&mut load, key, Position { log, offset: row.offset })?;
                if self.is_due(&load) && self.hand_over(log, &mut load)?.is_none() {
                    return Ok(None);
                }
                self.breathe()?;
                last = Some(key);
            }
            if is_end {
                return self.hand_over(log, &mut load);
            }
        }
    }

    /// Whether it hands over what it has: also before each rest, which may be long enough for the file to go.
    fn is_due(&self, load: &Load) -> bool {
        load.is_full() || self.is_rest_due()
    }

    /// Reads a shard, if this is where it lies.
    fn take(&self, load: &mut Load, key: ShardKey, from: Position) -> Result<(), Halt> {
        match self.shared.read_record(key, from) {
            Ok(None) => Ok(()),
            Ok(Some((head, header, payload))) => {
                load.add(head, from, header, payload);
                Ok(())
            }
            // The whole disk may be away for a moment, and what is condemned stays so until it is put anew. Whoever wants this
            // shard, and the scrub, finds out.
            Err(error @ GetError::Corrupt { damage: Damage::Unreadable(_), .. }) => Err(error.into()),
            Err(error) => {
                let Some(at) = error.found_corrupt_at() else { return Err(error.into()) };
                tracing::warn!(%error, "corrupt shard");
                self.send(Job::Condemn { key, at })?;
                // The rest would be written anew, on a full disk into the reserve, and no space would come back for it.
                Err(Halt::Condemned)
            }
        }
    }

    /// What the file holds once the writer is done; `None` if it is gone.
    fn hand_over(&self, from: LogNumber, load: &mut Load) -> Result<Option<LogRow>, Halt> {
        let shards = std::mem::take(load).shards;
        self.ask(|answer| Request::Move { from, shards, answer })?.map_err(|error| match error {
            MoveError::NoRoom => Halt::NoRoom,
            MoveError::Failed => Halt::Ended,
        })
    }
}

impl Load {
    fn add(&mut self, head: RecordHead, from: Position, header: Bytes, payload: Bytes) {
        self.bytes += header.len() + payload.len();
        self.shards.push(Moving { key: head.key, from, header, payload, body_crc: head.body_crc });
    }

    fn is_full(&self) -> bool {
        self.bytes >= MOVE_BYTES_MAX || self.shards.len() >= MOVES_MAX
    }
}

/// The next record, or none if the disk cannot read on: what lies behind is found by the index, shard by shard.
fn next_head(scan: &mut Scan, log: LogNumber) -> Result<Option<(RecordHead, u64)>, ScanError> {
    match scan.next_head() {
        Err(ScanError::Io(error)) => {
            tracing::warn!(%log, %error, "a log file cannot be read on; what lives in it is read one by one");
            Ok(None)
        }
        next => next,
    }
}

fn has_stragglers(row: Option<LogRow>) -> bool {
    row.is_some_and(|row| row.live_shards > row.corrupt_shards)
}
