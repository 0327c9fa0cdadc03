use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use datamesh_shard::{Generation, Held, Incarnation, SegmentHeader, SegmentId, ShardIndex, ShardKey};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::batch::{Job, PutJob};
use crate::compact::Compactor;
use crate::disk::Disk;
use crate::error::{CloseError, DeleteError, GetError, LocateError, NodeKeyError, OpenError, PutError};
use crate::format::{body_crc, decode_node_key, encode_node_key};
use crate::index::Index;
use crate::lock::Lock;
use crate::log::ActiveLog;
use crate::log_reader::LogReader;
use crate::options::StoreOptions;
use crate::read::Shard;
use crate::records::Records;
use crate::recover::{Recovery, incarnation_of_logs, recover};
use crate::shared::{Counters, Parts, Shared, Usage};
use crate::writer::{QUEUE_JOBS_MAX, Writer};

/// Payloads up to this are proven where they arrive: hashing them takes less than handing them to another thread.
const HASH_HERE_BYTES_MAX: usize = 16 << 10;
/// Bytes of the node's key at most.
const NODE_KEY_BYTES_MAX: usize = 4096;

const INDEX_DIR: &str = "index";
const LOGS_DIR: &str = "logs";

/// The shards of one node on one disk. Cheap to clone. The folder is let go of when the last clone, the last
/// [`Records`], and the last reader at work are gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// `None` while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    /// The compactor and the writer, in the order in which they end.
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    /// Waits for the batch being written and the shard being moved, a matter of milliseconds, so that the folder is free
    /// afterwards.
    fn drop(&mut self) {
        self.jobs = None;
        self.shared.compaction.stop();
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(name, "a thread of the store ended in a panic");
            }
        }
    }
}

impl Inner {
    fn start(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(OpenError::io(self.shared.reader.dir()))?);
        Ok(())
    }
}

impl Store {
    /// Opens the store in `dir`, which is made if need be, and mends what the last end left behind. Blocks.
    ///
    /// # Errors
    /// Names the holder if the folder stays locked; fails if the disk or the index does, or a later version wrote them.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        Self::open_with(dir, options, Disk::system())
    }

    pub(crate) fn open_with(dir: &Path, options: StoreOptions, disk: Disk) -> Result<Self, OpenError> {
        let logs = dir.join(LOGS_DIR);
        let (lock, index) = open_folders(dir, &logs, &options, &disk)?;
        let incarnation = index.incarnation()?.max(incarnation_of_logs(&logs)?).next();
        index.set_incarnation(incarnation)?;
        lock.note(incarnation)?;
        let found = recover(&index, &logs, &disk)?;
        tracing::info!(path = %dir.display(), %incarnation, recovery = ?found.report, "store opened");
        let (active, next) = match found.newest {
            Some(position) => (ActiveLog::reopen(&logs, position, disk.clone()), found.next),
            None => (ActiveLog::create(&logs, found.next, incarnation, disk.clone()), found.next.following()),
        };
        let active = active.map_err(OpenError::io(&logs))?;
        let dir = std::fs::File::open(dir).map_err(OpenError::io(dir))?;
        let (reader, recovery) = (LogReader::new(logs), found.report);
        let shared = Shared::new(Parts { index, reader, options, incarnation, recovery, dir, lock });
        shared.publish(found.table.sums());
        shared.measure_index()?;
        let shared = Arc::new(shared);
        let (jobs, waiting) = mpsc::channel(QUEUE_JOBS_MAX);
        let (table, pressure) = (found.table, shared.space().pressure());
        let writer =
            Writer { shared: Arc::clone(&shared), jobs: waiting, active, table, next, disk, pressure };
        let compactor = Compactor::new(Arc::clone(&shared), &jobs);
        // Dropped half-way, it ends the threads it has.
        let mut inner = Inner { shared, jobs: Some(jobs), threads: Vec::new() };
        inner.start("shard-compactor", || compactor.run())?;
        inner.start("shard-writer", || writer.run())?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The number of this opening: higher than all before.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.shared.incarnation
    }

    /// What opening had to mend.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.inner.shared.recovery
    }

    /// The node's key as it lies on the volume; the first call makes and syncs it.
    ///
    /// # Errors
    /// Refuses an empty key and one over 4 KiB; fails if the index does.
    pub fn node_key(&self, generate: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, NodeKeyError> {
        let shared = &self.inner.shared;
        let _making = shared.making_node_key.lock();
        if let Some(row) = shared.index.node_key()? {
            return Ok(decode_node_key(row)?);
        }
        let key = generate();
        if key.is_empty() || key.len() > NODE_KEY_BYTES_MAX {
            return Err(NodeKeyError::Length(key.len()));
        }
        shared.index.set_node_key(&encode_node_key(&key))?;
        Ok(key)
    }

    /// Stores a shard; it is durable when this returns. A shard that is there already is not written again, only its
    /// generation rises if this one is higher.
    ///
    /// # Errors
    /// Refuses what does not prove itself, and everything new once the disk is full or failed.
    pub async fn put(
        &self,
        key: ShardKey,
        generation: Generation,
        header: Bytes,
        payload: Bytes,
    ) -> Result<(), PutError> {
        let body_crc = prove(key, &header, &payload).await?;
        let (answer, answered) = oneshot::channel();
        let job = PutJob { key, generation, header, payload, body_crc, answer };
        self.send(Job::Put(job)).await.map_err(|Closed| PutError::Closed)?;
        answered.await.unwrap_or(Err(PutError::Closed))
    }

    /// Reads a shard and holds it against its checksum. Whoever uses it proves it by its header or its frames.
    ///
    /// # Errors
    /// A corrupt shard is named with its place, counted, and not offered again until it is put anew.
    pub async fn get(&self, key: ShardKey) -> Result<Option<Shard>, GetError> {
        self.read(key, move |shared| shared.read_shard(key)).await
    }

    /// Reads `len` bytes of a shard's payload from `offset` on. They are not proven: their frame's tag does that.
    ///
    /// # Errors
    /// Refuses a range beyond the payload; a shard whose bytes are gone is treated as in [`Store::get`].
    pub async fn get_range(&self, key: ShardKey, offset: u32, len: u32) -> Result<Option<Bytes>, GetError> {
        self.read(key, move |shared| shared.read_range(key, offset, len)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        key: ShardKey,
        read: impl FnOnce(&Shared) -> Result<Option<T>, GetError> + Send + 'static,
    ) -> Result<Option<T>, GetError> {
        let shared = Arc::clone(&self.inner.shared);
        let result = spawn_blocking(move || read(&shared)).await.unwrap_or(Err(GetError::Cancelled));
        if let Err(error) = &result
            && let Some(at) = error.found_corrupt_at()
        {
            tracing::warn!(%error, "corrupt shard");
            // A closed store notes nothing; the next reader finds it again.
            let _ = self.send(Job::Condemn { key, at }).await;
        }
        result
    }

    /// Deletes a shard, durably. False if it is not there, or has a higher generation than this delete.
    ///
    /// # Errors
    /// Fails if the disk or the index does; a full disk is no hindrance as long as it has room for a line.
    pub async fn delete(&self, key: ShardKey, generation: Generation) -> Result<bool, DeleteError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Delete { key, generation, answer }).await.map_err(|Closed| DeleteError::Closed)?;
        answered.await.unwrap_or(Err(DeleteError::Closed))
    }

    /// The shards of a segment that are here and not known to be corrupt.
    ///
    /// # Errors
    /// Fails if the index does.
    pub async fn locate(&self, segment: SegmentId) -> Result<Vec<ShardIndex>, LocateError> {
        self.find(segment, false).await
    }

    /// All shards of a segment that are here, those known to be corrupt too: what a delete has to take away.
    ///
    /// # Errors
    /// Fails if the index does.
    pub async fn present(&self, segment: SegmentId) -> Result<Vec<ShardIndex>, LocateError> {
        self.find(segment, true).await
    }

    async fn find(&self, segment: SegmentId, corrupt_too: bool) -> Result<Vec<ShardIndex>, LocateError> {
        let shared = Arc::clone(&self.inner.shared);
        let found = spawn_blocking(move || shared.index.locate(segment, corrupt_too)).await;
        Ok(found.map_err(|_| LocateError::Cancelled)??)
    }

    /// What is here of the segments of `range` (from, up to) behind `after`, at most `limit` of them, by rising segment.
    /// Shards known to be corrupt are left out.
    ///
    /// # Errors
    /// Fails if the index does.
    pub async fn held(
        &self,
        range: (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Held>, LocateError> {
        let shared = Arc::clone(&self.inner.shared);
        let found = spawn_blocking(move || shared.index.held(range, after, limit)).await;
        Ok(found.map_err(|_| LocateError::Cancelled)??)
    }

    /// Shards known to be corrupt and their generations, at most `limit` of them. Reads the whole index.
    ///
    /// # Errors
    /// Fails if the index does.
    pub async fn corrupt(&self, limit: usize) -> Result<Vec<(ShardKey, Generation)>, LocateError> {
        let shared = Arc::clone(&self.inner.shared);
        let found = spawn_blocking(move || shared.index.corrupt(limit)).await;
        Ok(found.map_err(|_| LocateError::Cancelled)??)
    }

    /// How full it is, and how well.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.inner.shared.usage()
    }

    /// What it did since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.shared.counters()
    }

    /// Returns once compaction has nothing more to do about what was answered so far, or cannot do it for now, for lack of
    /// room or of a file that can be read.
    pub async fn compacted(&self) {
        self.inner.shared.compaction.settled().await;
    }

    /// Why it takes no writes any more, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<str>> {
        self.inner.shared.failure()
    }

    /// Small things kept next to the shards.
    #[must_use]
    pub fn records(&self) -> Records {
        Records::new(Arc::clone(&self.inner.shared))
    }

    /// Takes no more writes, finishes those that wait, and syncs the index, so that the next open has nothing to read.
    ///
    /// # Errors
    /// Fails if the index does; what was acknowledged is safe all the same.
    pub async fn close(self) -> Result<(), CloseError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Close { answer }).await.map_err(|Closed| CloseError::Closed)?;
        answered.await.unwrap_or(Err(CloseError::Closed))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) async fn send(&self, job: Job) -> Result<(), Closed> {
        let jobs = self.inner.jobs.as_ref().ok_or(Closed)?;
        jobs.send(job).await.map_err(|_| Closed)
    }
}

/// Makes what is missing of the folders, and opens lock and index in them; on the disk, names and all, when this returns.
fn open_folders(
    dir: &Path,
    logs: &Path,
    options: &StoreOptions,
    disk: &Disk,
) -> Result<(Lock, Index), OpenError> {
    // The folder holds the node's key: nobody else reads it.
    disk.make_dir(logs).map_err(OpenError::io(logs))?;
    let lock = Lock::acquire(dir, options.lock_wait)?;
    let index = Index::open(&dir.join(INDEX_DIR), disk.clone())?;
    // RocksDB syncs the names in its folder, not the name of its folder. An opening before this one may have been cut
    // short between making a folder or a log file and syncing its name, so both are synced whoever made what is there.
    for folder in [dir, logs] {
        disk.sync_dir(folder).map_err(OpenError::io(folder))?;
    }
    Ok((lock, index))
}

/// The writer is gone.
pub(crate) struct Closed;

/// Proves a shard before it is queued, beside the writer rather than in it; the checksum of its record's body.
async fn prove(key: ShardKey, header: &Bytes, payload: &Bytes) -> Result<u32, PutError> {
    let decoded = SegmentHeader::decode(header)?;
    let (header, bytes) = (header.clone(), payload.clone());
    let work = move || {
        decoded.verify(key, &bytes)?;
        Ok(body_crc(&header, &bytes))
    };
    if payload.len() <= HASH_HERE_BYTES_MAX {
        return work();
    }
    spawn_blocking(work).await.unwrap_or(Err(PutError::Closed))
}
