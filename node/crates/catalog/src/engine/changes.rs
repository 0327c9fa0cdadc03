use std::collections::VecDeque;

use crate::keyspace::{Change, Changes, ChangesError, KeyRange, Revision};

/// Bytes of keys kept at most, whatever their number: bounds memory when keys are long.
const BYTES_MAX: usize = 16 << 20;

/// The newest changes, in memory: enough for checks of recent reads and for caches that keep up.
#[derive(Debug)]
pub(super) struct ChangeLog {
    entries: VecDeque<Change>,
    bytes: usize,
    entries_max: usize,
    /// All changes after it are in `entries`.
    floor: Revision,
    newest: Revision,
}

impl ChangeLog {
    /// An empty log that begins at a keyspace's newest revision.
    pub(super) fn new(newest: Revision, entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, entries_max, floor: newest, newest }
    }

    /// Takes in the changes of the next commits and forgets the oldest.
    pub(super) fn extend(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.newest = change.revision;
            self.bytes += change.key.len();
            self.entries.push_back(change);
        }
        while self.entries.len() > self.entries_max || self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
    }

    /// Whole commits go, so that what is kept follows from the history alone: replicas agree on it, also after a restart.
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.front().map(|change| change.revision) else { return };
        while let Some(change) = self.entries.pop_front_if(|change| change.revision == oldest) {
            self.bytes -= change.key.len();
        }
        self.floor = oldest;
    }

    /// Changes up to here are forgotten.
    pub(super) fn floor(&self) -> Revision {
        self.floor
    }

    /// Whether it can prove that no commit after `since` touched the range.
    pub(super) fn proves_unchanged(&self, range: &KeyRange, since: Revision) -> bool {
        since >= self.floor && !self.after(since).any(|change| range.contains(&change.key))
    }

    /// Changes of whole commits after `since`.
    pub(super) fn since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        if since < self.floor {
            return Err(ChangesError::Forgotten { through: self.floor });
        }
        if since > self.newest {
            return Err(ChangesError::Future { newest: self.newest });
        }
        let mut changes: Vec<Change> = Vec::new();
        let mut through = self.newest;
        for change in self.after(since) {
            if let Some(last) = changes.last()
                && changes.len() >= limit
                && change.revision != last.revision
            {
                through = last.revision;
                break;
            }
            changes.push(change.clone());
        }
        Ok(Changes { changes, through })
    }

    fn after(&self, since: Revision) -> impl Iterator<Item = &Change> {
        let begin = self.entries.partition_point(|change| change.revision <= since);
        self.entries.range(begin..)
    }
}
