//! Hot segments in memory: sealed, as they lie on the nodes ([ADR 15](../../../../docs/adr/0015-segments-are-cached-sealed.md)).
//!
//! A segment's id names its content, and what opens it comes from the object's row, which is read for each request. So an entry
//! is never old, is of no use without the row, and proves itself by its frames' tags each time, as what a node gives does.
//! Who is evicted is decided by S3-FIFO (`quick_cache`), which weighs how often against how lately; what was asked for once is
//! not kept at all ([`seen`]), so that a scan costs no copy and drives nothing out.

mod flights;
mod seen;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use datamesh_shard::SegmentId;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::metrics::CacheMetrics;
use flights::{Boarding, Flights};
use seen::Seen;

pub(crate) use flights::Flight;

/// Memory of an entry besides its bytes: its place in index and queues, which double as they grow, and two allocations.
const ENTRY_BYTES: u64 = 256;
/// Of the cache's memory, the part for what is remembered of segments that are not in it: 1/32.
const SEEN_PART: u64 = 32;
/// Share of the memory for entries that were asked for again since they came. The library's 0.97 expects that most of what comes
/// is never asked for again; here that was sorted out before.
const HOT_SHARE: f64 = 0.75;
/// A guess from which the library reckons how many evicted entries it remembers; they are small.
const USUAL_BYTES: u64 = 64 << 10;
/// Times a read waits for others that read the same segment, before it goes on its own: theirs may have failed, or been given up.
const FLIGHTS_AWAITED: usize = 2;

/// What the cache knows of a segment.
pub(crate) enum Lookup {
    /// Its sealed bytes.
    Hit(Bytes),
    /// Nothing. Others that look for it wait while the flight lasts, if there is one.
    Miss(Option<Flight>),
}

/// The cache; it may be switched off.
pub(crate) struct SegmentCache(Option<Hot>);

struct Hot {
    entries: Cache<SegmentId, Bytes, Weight, DefaultHashBuilder, Evictions>,
    seen: Mutex<Seen>,
    flights: Arc<Flights>,
    metrics: CacheMetrics,
}

impl SegmentCache {
    /// A cache of this many bytes, all that belongs to it counted; 0: none.
    pub(crate) fn new(bytes: u64, metrics: CacheMetrics) -> Self {
        let for_entries = bytes - bytes / SEEN_PART;
        let items = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        // One shard: each would have a part of the memory, which a segment of 4 MiB may not fit. Hits take a read lock.
        options
            .shards(1)
            .hot_allocation(HOT_SHARE)
            .weight_capacity(for_entries)
            .estimated_items_capacity(items);
        let Some(options) = options.build().ok().filter(|_| bytes > 0) else { return Self(None) };
        let evictions = Evictions(metrics.clone());
        metrics.budget.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        Self(Some(Hot {
            entries: Cache::with_options(options, Weight, DefaultHashBuilder::default(), evictions),
            seen: Mutex::new(Seen::beside(bytes)),
            flights: Arc::default(),
            metrics,
        }))
    }

    /// A segment's sealed bytes, if they are here. Counted when they are; when not, [`SegmentCache::touch`] counts.
    pub(crate) fn get(&self, id: &SegmentId) -> Option<Bytes> {
        let hot = self.0.as_ref()?;
        let found = hot.entries.get(id)?;
        hot.metrics.hits.inc();
        Some(found)
    }

    /// As [`SegmentCache::get`]; where the segment is being read already, it is waited for rather than read twice. Whoever
    /// looks holds its buffers by then, and so does who reads: nobody waits here for memory.
    pub(crate) async fn lookup(&self, id: SegmentId) -> Lookup {
        let Some(hot) = &self.0 else { return Lookup::Miss(None) };
        for _ in 0..FLIGHTS_AWAITED {
            if let Some(sealed) = self.get(&id) {
                return Lookup::Hit(sealed);
            }
            match hot.flights.board(id) {
                Boarding::Lead(flight) => return Lookup::Miss(Some(flight)),
                Boarding::Follow(landed) => landed.cancelled().await,
            }
        }
        self.get(&id).map_or(Lookup::Miss(None), Lookup::Hit)
    }

    /// Counts a miss: `asked` of a segment's `whole` plaintext bytes are wanted. True if so much of it was wanted lately that it
    /// is to be read whole and kept.
    pub(crate) fn touch(&self, id: &SegmentId, asked: usize, whole: usize) -> bool {
        let Some(hot) = &self.0 else { return false };
        hot.metrics.misses.inc();
        hot.seen.lock().touch(id, asked, whole)
    }

    /// Keeps a segment's sealed bytes, which have just been opened.
    pub(crate) fn insert(&self, id: SegmentId, sealed: Bytes) {
        if let Some(hot) = &self.0
            && !hot.entries.contains_key(&id)
        {
            hot.entries.insert(id, sealed);
            hot.measure();
        }
    }

    /// Drops an entry: the segment is deleted, or its bytes do not open any more.
    pub(crate) fn remove(&self, id: &SegmentId) {
        if let Some(hot) = &self.0 {
            hot.entries.remove(id);
            hot.measure();
        }
    }
}

#[cfg(test)]
impl SegmentCache {
    /// Replaces what is kept by what `change` makes of it: as memory that is damaged would.
    pub(crate) fn damage(&self, change: impl Fn(&Bytes) -> Bytes) {
        let Some(hot) = &self.0 else { return };
        let kept: Vec<_> = hot.entries.iter().collect();
        for (id, sealed) in kept {
            hot.entries.insert(id, change(&sealed));
        }
    }
}

impl Hot {
    fn measure(&self) {
        self.metrics.used.set(i64::try_from(self.entries.weight()).unwrap_or(i64::MAX));
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<SegmentId, Bytes> for Weight {
    fn weight(&self, _: &SegmentId, sealed: &Bytes) -> u64 {
        sealed.len() as u64 + ENTRY_BYTES
    }
}

/// Counts what is evicted.
#[derive(Clone)]
struct Evictions(CacheMetrics);

impl Lifecycle<SegmentId, Bytes> for Evictions {
    /// What was evicted, freed after the lock is given back.
    type RequestState = Vec<Bytes>;

    fn on_evict(&self, evicted: &mut Vec<Bytes>, _: SegmentId, sealed: Bytes) {
        self.0.evictions.inc();
        evicted.push(sealed);
    }
}
