//! What runs came to, to be printed and asserted: a simulation that did nothing proves nothing.

use std::sync::Arc;

use parking_lot::Mutex;

/// Counts of one run or many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Puts that were acknowledged.
    pub puts: u64,
    /// Of these, the ones that were short.
    pub short_puts: u64,
    /// Gets that brought the bytes.
    pub gets: u64,
    /// Segments that gets had from the gateway's memory.
    pub cache_hits: u64,
    /// Deletes that were done.
    pub deletes: u64,
    /// Those of them that shred.
    pub shreds: u64,
    /// Operations that failed or were refused, as they may while something is broken.
    pub refused: u64,
    /// Faults injected, of all kinds.
    pub faults: u64,
    /// Crashes of nodes and gateways.
    pub crashes: u64,
    /// Crashes of nodes that cut off writes to their disk between begin and sync.
    pub torn: u64,
    /// Crashes of gateways that cut off a commit of the catalog.
    pub cut_commits: u64,
    /// Disks lost whole.
    pub disks_lost: u64,
    /// Those of them whose node was lost too, and was left out.
    pub given_up: u64,
    /// Those of them that came back with what was on their disk.
    pub came_back: u64,
    /// Shards that rotted.
    pub rotted: u64,
    /// Rotten shards that a read found.
    pub rot_found: u64,
    /// Shards that were changed on their way out of a node.
    pub lies: u64,
    /// Segments that were put again while they were being deleted.
    pub put_again: u64,
    /// Looks at the status in which a member was avoided.
    pub avoided: u64,
    /// Layouts committed after the first.
    pub epochs: u64,
    /// Nodes that were to be drained, and those that were to leave for good.
    pub drains: u64,
    /// Times that all partitions were to be split.
    pub splits: u64,
    /// Changes of the profile asked for.
    pub profiles: u64,
    /// Bytes coded anew in another profile.
    pub recoded_bytes: u64,
    /// Drains called off.
    pub undrains: u64,
    /// Backups of the catalog that were said to be kept, each newer than the one before.
    pub backups: u64,
    /// Catalogs that were lost and restored.
    pub restored: u64,
    /// Keys that were not in a restored catalog as they were in the lost one.
    pub set_back: u64,
    /// Shards rebuilt.
    pub rebuilt: u64,
    /// Shards found at home by whoever stood in for it, and dropped there.
    pub sent_home: u64,
    /// Deletes of a segment, one a node.
    pub segments_deleted: u64,
    /// Hints of damage that stewards were given.
    pub looks: u64,
    /// Requests over the net, and those that got lost.
    pub requests: u64,
    /// Requests or answers lost.
    pub lost: u64,
    /// Virtual seconds.
    pub seconds: u64,
}

impl Counts {
    /// What clients asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.puts + self.gets + self.deletes + self.refused
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.puts += other.puts;
        self.short_puts += other.short_puts;
        self.gets += other.gets;
        self.cache_hits += other.cache_hits;
        self.deletes += other.deletes;
        self.shreds += other.shreds;
        self.refused += other.refused;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.torn += other.torn;
        self.cut_commits += other.cut_commits;
        self.disks_lost += other.disks_lost;
        self.given_up += other.given_up;
        self.came_back += other.came_back;
        self.rotted += other.rotted;
        self.rot_found += other.rot_found;
        self.lies += other.lies;
        self.put_again += other.put_again;
        self.avoided += other.avoided;
        self.epochs += other.epochs;
        self.drains += other.drains;
        self.splits += other.splits;
        self.profiles += other.profiles;
        self.recoded_bytes += other.recoded_bytes;
        self.undrains += other.undrains;
        self.backups += other.backups;
        self.restored += other.restored;
        self.set_back += other.set_back;
        self.rebuilt += other.rebuilt;
        self.sent_home += other.sent_home;
        self.segments_deleted += other.segments_deleted;
        self.looks += other.looks;
        self.requests += other.requests;
        self.lost += other.lost;
        self.seconds += other.seconds;
    }
}

/// Counts that the parts of one run share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Mutex<Counts>>);

impl Totals {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock());
    }

    pub(crate) fn rot_found(&self) {
        self.count(|counts| counts.rot_found += 1);
    }

    pub(crate) fn read(&self) -> Counts {
        *self.0.lock()
    }
}
