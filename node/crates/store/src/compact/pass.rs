//! One pass over a file: everything that lives in it is read, proven and handed to the writer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_shard::ShardKey;

use super::{Compactor, Halt, MoveError, Request};
use crate::batch::Job;
use crate::format::{LogNumber, LogRow, Position, RecordHead, RecordKind};
use crate::scan::{Scan, ScanError};

/// Bytes of a batch of moves, after which no more are added: what the foreground may have to wait for.
const MOVE_BYTES_MAX: usize = 4 << 20;
/// Shards of a batch of moves at most.
const MOVES_MAX: usize = 256;
/// The compactor rests this many times as long as it worked: it takes a quarter of what the disk could do for it.
const REST_TIMES: u32 = 3;

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
        let mut since = Instant::now();
        while let Some((head, offset)) = next_head(&mut scan, log)? {
            self.go_on()?;
            if head.kind == RecordKind::Shard {
                self.take(&mut load, head.key, Position { log, offset })?;
            }
            if load.is_full() {
                self.hand_over(log, &mut load)?;
                since = self.rest(since);
            }
        }
        let left = self.hand_over(log, &mut load)?;
        // A shard whose record does not even have a head any more is not met on the way through the file.
        if has_stragglers(left) {
            self.take_stragglers(log, &mut load)?;
            if has_stragglers(self.hand_over(log, &mut load)?) {
                tracing::warn!(%log, "more is said to live in a log file than the index knows; it stays");
            }
        }
        self.rest(since);
        Ok(())
    }

    /// Goes through the whole index for what lives in `log`.
    fn take_stragglers(&self, log: LogNumber, load: &mut Load) -> Result<(), Halt> {
        let stragglers = self.shared.index.shards_in(log, || self.go_on().is_ok())?;
        for (key, row) in stragglers {
            self.go_on()?;
            self.take(load, key, Position { log, offset: row.offset })?;
            if load.is_full() {
                self.hand_over(log, load)?;
            }
        }
        Ok(())
    }

    /// Reads a shard, if this is where it lies.
    fn take(&self, load: &mut Load, key: ShardKey, from: Position) -> Result<(), Halt> {
        match self.shared.read_record(key, from) {
            Ok(None) => Ok(()),
            Ok(Some((head, header, payload))) => {
                load.add(head, from, header, payload);
                Ok(())
            }
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

    /// Leaves the disk to others for a while after working since `since`; when it begins to work again.
    fn rest(&self, since: Instant) -> Instant {
        if let Some(pause) = pause(since.elapsed(), self.shared.space().pressure().rests()) {
            self.shared.compaction.rest(pause);
        }
        Instant::now()
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

fn pause(worked: Duration, rests: bool) -> Option<Duration> {
    rests.then(|| worked * REST_TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_three_times_as_long_as_it_worked_unless_space_is_short() {
        let worked = Duration::from_millis(20);
        assert_eq!(pause(worked, true), Some(Duration::from_millis(60)));
        assert_eq!(pause(worked, false), None);
    }
}
