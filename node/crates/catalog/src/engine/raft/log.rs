//! The log: entries by their number, the vote, and how far the log is purged.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use rocksdb::{IteratorMode, ReadOptions, WriteBatch};

use super::limits::ENTRIES_BYTES_MAX;
use super::recent::Recent;
use super::record::{EntryRecord, Place, VoteRecord};
use super::types::{Entry, LogId, Types, Vote};
use super::volume::Volume;
use crate::record;

pub(super) const VOTE_KEY: &[u8] = b"vote";
const COMMITTED_KEY: &[u8] = b"committed";
const PURGED_KEY: &[u8] = b"purged";

/// A replica's log. Clones are one log.
#[derive(Clone)]
pub struct LogStore {
    volume: Arc<Volume>,
    recent: Arc<Mutex<Recent>>,
}

impl LogStore {
    /// The log of this volume.
    #[must_use]
    pub fn new(volume: Arc<Volume>) -> Self {
        Self { volume, recent: Arc::default() }
    }

    fn read(&self, begin: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.recent.lock().read(begin, end, bytes_max) {
            return Ok(entries);
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(begin.to_be_bytes());
        options.set_iterate_upper_bound(end.to_be_bytes());
        let stored = self.volume.db().iterator_cf_opt(&self.volume.log()?, options, IteratorMode::Start);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for item in stored {
            let (_, item) = item.map_err(io::Error::other)?;
            let entry = record::decode::<EntryRecord>(&item).map_err(io::Error::other)?;
            entries.push(Entry::from(entry));
            bytes += item.len();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    fn last(&self) -> io::Result<Option<LogId>> {
        let mut stored = self.volume.db().iterator_cf(&self.volume.log()?, IteratorMode::End);
        let Some(item) = stored.next() else { return Ok(None) };
        let (_, item) = item.map_err(io::Error::other)?;
        let entry = record::decode::<EntryRecord>(&item).map_err(io::Error::other)?;
        Ok(Some(entry.at.into()))
    }

    fn place(&self, key: &[u8]) -> io::Result<Option<LogId>> {
        Ok(self.volume.meta::<Place>(key)?.map(LogId::from))
    }

    /// Removes entries from `begin` to before `end`.
    fn remove(&self, begin: u64, end: u64, batch: &mut WriteBatch) -> io::Result<()> {
        batch.delete_range_cf(&self.volume.log()?, begin.to_be_bytes(), end.to_be_bytes());
        Ok(())
    }
}

fn ends(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let begin = match range.start_bound() {
        Bound::Included(&begin) => begin,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (begin, end)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (begin, end) = ends(&range);
        self.read(begin, end, usize::MAX)
    }

    /// What is to be applied, a few at a time: it may be all that the log has.
    async fn entries_stream<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend {
        let (begin, end) = ends(&range);
        let parts = stream::try_unfold((self.clone(), begin), move |(log, next)| async move {
            let part = if next < end { log.read(next, end, ENTRIES_BYTES_MAX)? } else { Vec::new() };
            let Some(last) = part.last() else { return Ok(None) };
            let next = last.log_id.index + 1;
            Ok::<_, io::Error>(Some((stream::iter(part.into_iter().map(Ok)), (log, next))))
        });
        // Boxed: openraft polls it where it is.
        parts.try_flatten().boxed()
    }

    async fn limited_get_log_entries(&mut self, begin: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(begin, end, ENTRIES_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.volume.meta::<VoteRecord>(VOTE_KEY)?.map(Vote::from))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let last_purged_log_id = self.place(PURGED_KEY)?;
        let last_log_id = self.last()?.or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.volume.put_meta(VOTE_KEY, &VoteRecord::from(*vote))?;
        self.volume.flusher().durable().await
    }

    /// Not synced: it spares work at the next start, and reads do not rest on it.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        match committed {
            Some(at) => self.volume.put_meta(COMMITTED_KEY, &Place::from(at)),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.place(COMMITTED_KEY)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.write(entries)?;
        self.volume.flusher().when_durable(Box::new(move |synced| flushed.io_completed(synced))).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let begin = last.map_or(0, |last| last.index + 1);
        let mut batch = WriteBatch::default();
        self.remove(begin, u64::MAX, &mut batch)?;
        self.recent.lock().truncate(begin);
        self.volume.write(batch)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut batch = WriteBatch::default();
        self.remove(0, upto.index + 1, &mut batch)?;
        batch.put(PURGED_KEY, record::encode(&Place::from(upto)).map_err(io::Error::other)?);
        self.recent.lock().purge(upto.index);
        self.volume.write(batch)
    }
}

impl LogStore {
    fn write(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
        let (log, mut batch) = (self.volume.log()?, WriteBatch::default());
        let mut recent = self.recent.lock();
        for entry in entries {
            let bytes = record::encode(&EntryRecord::from(&entry)).map_err(io::Error::other)?;
            batch.put_cf(&log, entry.log_id.index.to_be_bytes(), &bytes);
            recent.push(entry, bytes.len());
        }
        self.volume.write(batch)
    }
}
