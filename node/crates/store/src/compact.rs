//! Compaction: what lives in log files that are mostly dead is written anew, and the files go.
//!
//! * One thread, the compactor, reads; the store's one writer writes, as ever. A move is a job like a put: the writer
//!   looks whether the shard still lies where it was read, so whatever was put, deleted or raised meanwhile wins.
//! * Nothing is remembered but what the index has: how much lives in each file ([`choice`]). Stopped or killed anywhere,
//!   the next opening goes on with what it finds.
//! * What is found corrupt is noted as by a reader, and never copied.
//! * One batch of moves waits at the writer at most, it is committed apart from what clients wait for, and afterwards the
//!   compactor rests, unless space is short.

pub(crate) mod choice;
mod pass;
mod serve;
mod signal;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

pub(crate) use choice::Pressure;
pub(crate) use pass::Moving;
pub(crate) use serve::{MoveError, Request};
pub(crate) use signal::Signal;

use crate::batch::Job;
use crate::compact::choice::{Done, Next};
use crate::format::{FILE_HEAD_BYTES, LogNumber};
use crate::scan::{Found, Scan, ScanError};
use crate::shared::Shared;

/// Without room to move anything, how long until the compactor looks again: others may share the file system, and they
/// send no word when they made room. Nor does a disk that can be read again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The compactor works for as long at a time, if single steps do not take longer.
const WORK_MAX: Duration = Duration::from_millis(100);
/// Then it rests this many times as long as it worked: it takes a quarter of what the disk could do for it.
const REST_TIMES: u32 = 3;

/// Reads what lives in files that pay, and hands it to the writer.
pub(crate) struct Compactor {
    shared: Arc<Shared>,
    /// Weak: the writer ends when the store lets go of its end of the queue.
    jobs: mpsc::WeakSender<Job>,
    done: Done,
    /// When it began to work after the last rest.
    since: Cell<Instant>,
}

/// Why the compactor does not go on with what it is at.
pub(crate) enum Halt {
    /// Nothing pays.
    Idle,
    /// The store is closed, or takes no writes any more.
    Ended,
    /// What lives does not fit into what is free.
    NoRoom,
    /// A shard of this file is corrupt, which its row says by now: the file could not go, so it is left alone.
    Condemned,
    /// This file cannot be dealt with, or not now.
    File(FileError),
}

/// Why a file is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Read(#[from] crate::error::GetError),
    #[error(transparent)]
    Index(#[from] crate::error::IndexError),
}

impl FileError {
    /// The file went since it was chosen.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Scan(ScanError::Io(error)) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Trying again is of no use to this opening: a later version wrote the file. Anything else may pass, from a lack of
    /// descriptors to a disk that was away.
    fn is_final(&self) -> bool {
        matches!(self, Self::Scan(ScanError::Record(_)))
    }
}

impl<E: Into<FileError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::File(error.into())
    }
}

impl Compactor {
    pub(crate) fn new(shared: Arc<Shared>, jobs: &mpsc::Sender<Job>) -> Self {
        Self { shared, jobs: jobs.downgrade(), done: Done::default(), since: Cell::new(Instant::now()) }
    }

    /// Works until the store is closed or dropped, or takes no writes any more.
    pub(crate) fn run(mut self) {
        let (mut settled, mut patience) = (0, None);
        while let Some(wanted) = self.shared.compaction.wait(settled, patience) {
            self.since.set(Instant::now());
            patience = match self.work() {
                Halt::Idle if self.done.aside.is_empty() => None,
                Halt::Idle | Halt::NoRoom => Some(LOOK_AGAIN),
                Halt::Ended | Halt::Condemned | Halt::File(_) => break,
            };
            settled = wanted;
            self.shared.compaction.settle(settled);
        }
        self.shared.compaction.settle(u64::MAX);
    }

    /// Deals with one file after the other, until there is none or it has to halt.
    fn work(&mut self) -> Halt {
        loop {
            match self.step() {
                Ok(()) => {}
                Err(halt) => return halt,
            }
        }
    }

    fn step(&mut self) -> Result<(), Halt> {
        self.breathe()?;
        let (log, dealt) = match self.choose()? {
            Next::NoRoom => return Err(Halt::NoRoom),
            Next::Move(log) => (log, self.pass(log).map(|()| self.done.moved.insert(log))),
            Next::Judge { log, damaged_bytes } => {
                (log, self.judge(log, damaged_bytes).map(|()| self.done.judged.insert(log)))
            }
        };
        match dealt {
            Ok(_) | Err(Halt::Condemned) => {}
            Err(Halt::File(error)) => self.put_off(log, &error),
            Err(halt) => return Err(halt),
        }
        Ok(())
    }

    fn choose(&mut self) -> Result<Next, Halt> {
        let mut done = std::mem::take(&mut self.done);
        let now = Instant::now();
        done.aside.retain(|_, again| *again > now);
        let next;
        (next, self.done) = self.ask(|answer| Request::Choose { done, answer })?;
        next.ok_or(Halt::Idle)
    }

    /// A file that cannot be dealt with has its turn again in a while, unless that is of no use.
    fn put_off(&mut self, log: LogNumber, error: &FileError) {
        if error.is_gone() || error.is_final() {
            self.done.moved.insert(log);
            self.done.judged.insert(log);
        } else {
            self.done.aside.insert(log, Instant::now() + LOOK_AGAIN);
        }
        if !error.is_gone() {
            tracing::warn!(%log, %error, "a log file cannot be compacted");
        }
    }

    /// Asks the writer, and waits for its answer.
    fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Halt> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Compact(request(answer)))?;
        answered.blocking_recv().map_err(|_| Halt::Ended)
    }

    fn send(&self, job: Job) -> Result<(), Halt> {
        let jobs = self.jobs.upgrade().ok_or(Halt::Ended)?;
        jobs.blocking_send(job).map_err(|_| Halt::Ended)
    }

    /// Whether to go on, between two steps of the work. Leaves the disk to others for a while first, if it worked for long
    /// enough.
    fn breathe(&self) -> Result<(), Halt> {
        if self.shared.compaction.is_stopped() {
            return Err(Halt::Ended);
        }
        if self.is_rest_due() {
            let rests = || self.shared.space().pressure().rests();
            self.shared.compaction.rest(self.since.get().elapsed() * REST_TIMES, rests);
            self.since.set(Instant::now());
        }
        Ok(())
    }

    fn is_rest_due(&self) -> bool {
        self.since.get().elapsed() >= WORK_MAX
    }

    /// Nothing in the file lives, and a part of it was damaged when the store was opened. Reads it again: if more of it is
    /// whole now, that may be shards the index does not know, and whether they were deleted since cannot be told; the
    /// file stays, and an opening without the index finds them. Else there is nothing to wait for.
    fn judge(&self, log: LogNumber, damaged_bytes: u64) -> Result<(), Halt> {
        let damaged_now = self.damaged_bytes(log)?;
        if damaged_now < damaged_bytes {
            tracing::warn!(
                %log,
                damaged_bytes,
                damaged_now,
                "a damaged part of a log file can be read again; the file stays, although nothing the index knows is in it"
            );
            return Ok(());
        }
        if self.ask(|answer| Request::Discard { log, damaged_bytes, answer })? {
            tracing::warn!(%log, damaged_bytes, "a log file with nothing but damage is gone, and what was in the damaged part for good");
        }
        Ok(())
    }

    /// Bytes of the file that belong to no whole record.
    fn damaged_bytes(&self, log: LogNumber) -> Result<u64, Halt> {
        let mut scan = self.scan(log)?;
        let mut damaged = scan.file_bytes().saturating_sub(FILE_HEAD_BYTES as u64);
        loop {
            self.breathe()?;
            match scan.next()? {
                Found::Record(record) => damaged = damaged.saturating_sub(record.head.record_bytes()),
                Found::Damaged => {}
                Found::End => return Ok(damaged),
            }
        }
    }

    fn scan(&self, log: LogNumber) -> Result<Scan, ScanError> {
        let file = std::fs::File::open(self.shared.reader.dir().join(log.file_name()))?;
        Ok(Scan::new(file, log, FILE_HEAD_BYTES as u64)?)
    }
}
