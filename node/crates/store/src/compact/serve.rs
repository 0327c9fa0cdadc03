//! What the writer does for the compactor, between the batches of clients.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::choice::{Done, Next, choose, closing_pays, is_spent, pays};
use super::pass::Moving;
use crate::batch::{BatchFailure, Job};
use crate::format::{LogNumber, LogRow};
use crate::writer::Writer;

/// What the compactor asks of the writer.
pub(crate) enum Request {
    /// What to do next; `done` comes back without files that are gone.
    Choose { done: Done, answer: oneshot::Sender<(Option<Next>, Done)> },
    /// Write these shards anew; the answer is what is left in the file `from`.
    Move { from: LogNumber, shards: Vec<Moving>, answer: oneshot::Sender<Result<Option<LogRow>, MoveError>> },
    /// Remove the file, if still nothing lives in it but this much damage.
    Discard { log: LogNumber, damaged_bytes: u64, answer: oneshot::Sender<bool> },
}

/// Why moves were not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveError {
    /// They do not fit into what is free.
    NoRoom,
    /// The store takes no writes any more.
    Failed,
}

impl Writer {
    /// Whoever asked may have gone away; that is no error.
    pub(crate) fn compact(&mut self, request: Request) {
        match request {
            Request::Choose { mut done, answer } => {
                done.keep(|log| self.table.get(log).is_some());
                drop(answer.send((self.choose(&done), done)));
            }
            Request::Move { from, shards, answer } => drop(answer.send(self.relocate(from, shards))),
            Request::Discard { log, damaged_bytes, answer } => {
                let _ = answer.send(self.discard(log, damaged_bytes));
            }
        }
    }

    /// Tells the compactor if these files, of which something changed, or the space there is may give it work.
    pub(crate) fn tell_compactor(&mut self, touched: &BTreeSet<LogNumber>) {
        let pressure = self.shared.space().pressure();
        let active = self.active.position().log;
        let may_pay = |log: &LogNumber| {
            self.table.get(*log).is_some_and(|row| match *log == active {
                true => closing_pays(row, pressure),
                false => pays(row, pressure) || is_spent(row, pressure),
            })
        };
        let is_condemned = {
            let shredding = self.shared.shredding.lock();
            touched.iter().any(|log| shredding.contains(log))
        };
        if pressure != self.pressure || is_condemned || touched.iter().any(may_pay) {
            self.pressure = pressure;
            self.shared.compaction.want();
        }
    }

    fn choose(&mut self, done: &Done) -> Option<Next> {
        if self.shared.failure().is_some() {
            return None;
        }
        let next = |writer: &Self| {
            choose(writer.table.iter(), writer.active.position().log, &writer.shared.space(), done)
        };
        if let Some(log) = self.condemned() {
            return Some(Next::Move(log));
        }
        match next(self) {
            found @ Some(Next::Move(_) | Next::Judge { .. }) => found,
            // The file being appended to may fit where none of the closed ones does.
            _ if self.closing_helps() => self.roll().ok().and_then(|()| next(self)),
            found => found,
        }
    }

    /// Whether the file being appended to would be moved if it were closed.
    fn closing_helps(&self) -> bool {
        let space = self.shared.space();
        let active = self.table.get(self.active.position().log);
        active.is_some_and(|row| closing_pays(row, space.pressure()) && space.fits(row))
    }

    fn relocate(&mut self, from: LogNumber, shards: Vec<Moving>) -> Result<Option<LogRow>, MoveError> {
        let is_there = self.table.get(from).is_some();
        let moved =
            self.commit(shards.into_iter().map(Job::Move).collect()).map_err(|failure| match failure {
                BatchFailure::NoSpace { .. } => MoveError::NoRoom,
                BatchFailure::Failed(_) => MoveError::Failed,
            })?;
        self.shared.counting.moved_bytes.fetch_add(moved.bytes, Ordering::Relaxed);
        let left = self.table.get(from).copied();
        if is_there && left.is_none() {
            self.shared.counting.compacted_logs.fetch_add(1, Ordering::Relaxed);
        }
        if moved.lacked_room { Err(MoveError::NoRoom) } else { Ok(left) }
    }

    fn discard(&mut self, log: LogNumber, damaged_bytes: u64) -> bool {
        let is_spent =
            self.table.get(log).is_some_and(|row| row.live_shards == 0 && row.live_bytes == damaged_bytes);
        if !is_spent || log == self.active.position().log || self.shared.failure().is_some() {
            return false;
        }
        self.remove_all(&[log]);
        self.table.get(log).is_none()
    }
}
