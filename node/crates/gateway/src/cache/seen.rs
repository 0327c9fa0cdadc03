//! What was asked for lately and is not kept: an id and a number instead of a copy, until it has shown to be worth one.

use std::collections::{HashMap, VecDeque};

use datamesh_shard::SegmentId;

/// A segment of which this share was asked for before, in one piece or many, is read whole and kept when it is asked for again:
/// the bargain of `pipeline/window`, summed up over requests. So ranges that follow each other read ahead.
const SHARE: usize = 4;
/// Segments are remembered until so many times the cache's bytes passed: what comes again later would not be there any more.
const CACHES_REMEMBERED: u64 = 4;
/// One id for so many bytes of the cache, at most: with all that belongs to it, a fiftieth of them.
const BYTES_FOR_AN_ID: u64 = 8 << 10;

struct Asked {
    /// Plaintext bytes asked for so far.
    bytes: usize,
    whole: usize,
}

/// The segments seen lately, oldest out first. What is asked for again keeps its place: who comes often comes again soon.
pub(super) struct Seen {
    asked: HashMap<SegmentId, Asked>,
    order: VecDeque<SegmentId>,
    /// Of all that is remembered, whole.
    bytes: u64,
    bytes_max: u64,
    ids_max: usize,
}

impl Seen {
    /// For a cache of this many bytes.
    pub(super) fn beside(cache_bytes: u64) -> Self {
        Self {
            asked: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max: cache_bytes.saturating_mul(CACHES_REMEMBERED),
            ids_max: usize::try_from(cache_bytes / BYTES_FOR_AN_ID).unwrap_or(usize::MAX),
        }
    }

    /// Takes note that `asked` of a segment's `whole` bytes are wanted. True if this is not the first time and all together is
    /// the share from which on it is kept.
    pub(super) fn touch(&mut self, id: &SegmentId, asked: usize, whole: usize) -> bool {
        if let Some(before) = self.asked.get_mut(id) {
            before.bytes = before.bytes.saturating_add(asked).min(before.whole);
            return before.bytes.saturating_mul(SHARE) >= before.whole;
        }
        self.asked.insert(*id, Asked { bytes: asked, whole });
        self.order.push_back(*id);
        self.bytes += whole as u64;
        while self.order.len() > self.ids_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.asked.remove(&oldest).map_or(0, |asked| asked.whole as u64);
        }
        false
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.asked.len(), self.order.len());
        self.order.len()
    }
}
