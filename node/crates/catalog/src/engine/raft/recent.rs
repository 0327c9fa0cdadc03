//! The log's newest entries, in memory: those that followers and the rows are about to ask for.

use std::collections::VecDeque;

use super::types::Entry;

/// Bytes of entries kept at most.
const BYTES_MAX: usize = 8 << 20;

/// A run of entries without holes that ends with the log's last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Recent {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index)
    }

    /// Takes in the log's next entry.
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        let next = self.entries.back().map(|(last, _)| last.log_id.index + 1);
        if next.is_some_and(|next| next != entry.log_id.index) {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.entries.push_back((entry, bytes));
        while self.bytes > BYTES_MAX && self.entries.len() > 1 {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, bytes)) = self.entries.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// Entries from `begin` to before `end`, as many as the bytes allow; absent when they are not all here.
    pub(super) fn read(&self, begin: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let skipped = usize::try_from(begin.checked_sub(self.first()?)?).ok()?;
        let mut bytes = 0;
        let within = self.entries.iter().skip(skipped).take_while(|(entry, size)| {
            let taken = entry.log_id.index < end && bytes < bytes_max;
            bytes += size;
            taken
        });
        Some(within.map(|(entry, _)| entry.clone()).collect())
    }

    /// Forgets entries from here on.
    pub(super) fn truncate(&mut self, begin: u64) {
        while let Some((_, bytes)) = self.entries.pop_back_if(|(entry, _)| entry.log_id.index >= begin) {
            self.bytes -= bytes;
        }
    }

    /// Forgets entries up to this one.
    pub(super) fn purge(&mut self, upto: u64) {
        while self.first().is_some_and(|first| first <= upto) {
            self.forget_first();
        }
    }
}
