//! What one column of the table comes to.

use datamesh_exchange::survey::Rebuild;
use datamesh_shard::{Held, SegmentHeader, SegmentId, ShardKey};

use crate::inputs::{
    BULK_CONNECTION_BYTES, CHANGED_SHARE, Case, DIGEST_LEAF_BYTES, DIGEST_LEAVES, Disk, GATEWAYS, GB,
    INDEX_ROWS_PER_SECOND, NET_BYTES_PER_SECOND, REBUILD_CPU_SECONDS_PER_GB, ROCKSDB_ROW_BYTES,
    ROUND_TRIP_SECONDS, SURVEYED_ROWS_PER_SECOND, SWARM_CONNECTION_BYTES, profile,
};
use crate::placed::Placed;
use crate::source::Constants;
use crate::wire::{self, float};

/// Everything a figure may need.
pub(crate) struct Figures<'a> {
    pub(crate) case: Case,
    pub(crate) placed: &'a Placed,
    pub(crate) code: &'a Constants,
}

/// Slots and partitions are below 2^19.
fn count(slots: u64) -> f64 {
    f64::from(u32::try_from(slots).unwrap_or(u32::MAX))
}

impl Figures<'_> {
    fn slots(&self) -> f64 {
        f64::from(self.placed.partitions) * float(profile().total())
    }

    /// Segments of a partition: what each of its holders has of it.
    pub(crate) fn rows(&self) -> f64 {
        self.case.shards() * self.case.node_count() / self.slots()
    }

    /// Bytes of so many slots.
    pub(crate) fn bytes_of(&self, slots: u64) -> f64 {
        count(slots) * self.rows() * self.case.shard_bytes
    }

    /// Bytes of such shards on a node up to which every partition is counted.
    pub(crate) fn counted_bytes(&self) -> f64 {
        self.case.shards() * self.case.shard_bytes * self.code.rows_max / self.rows()
    }

    /// Whether partitions have few enough rows to be counted at all.
    pub(crate) fn is_counted(&self) -> bool {
        self.rows() < self.code.rows_max
    }
}

/// Seconds a steward takes for a row it was sent.
fn taking_seconds() -> f64 {
    1.0 / SURVEYED_ROWS_PER_SECOND + wire::inventory_row() / NET_BYTES_PER_SECOND
}

/// Memory and index of a node.
impl Figures<'_> {
    /// k+m member indexes for each partition, and for each member its zone, place and two numbers to draw with.
    pub(crate) fn table_bytes(&self) -> f64 {
        self.slots() * float(size_of::<u16>())
            + self.case.node_count() * float(2 * size_of::<u16>() + 2 * size_of::<u64>())
    }

    pub(crate) fn log_files(&self) -> f64 {
        let header = float(SegmentHeader::encoded_bytes(profile()));
        self.case.shards() * (64.0 + header + self.case.shard_bytes) / self.code.log_file_bytes
    }

    /// A log file's number and row, in a tree that is two thirds full.
    pub(crate) fn log_table_bytes(&self) -> f64 {
        self.log_files() * float(8 + 5 * size_of::<u64>()) * 1.5
    }

    /// Bytes of one shard in the index, RocksDB's own included.
    pub(crate) fn index_row_bytes(&self) -> f64 {
        let header = float(SegmentHeader::encoded_bytes(profile()));
        let code = self.code;
        let row = wire::usual_shard_row(self.log_files(), code.log_file_bytes, header, self.case.shard_bytes);
        // The key: a segment's id and a shard's index.
        float(size_of::<ShardKey>() + row) + ROCKSDB_ROW_BYTES
    }

    pub(crate) fn index_bytes(&self) -> f64 {
        self.case.shards() * (self.index_row_bytes() + self.code.bloom_bits_per_key / 8.0)
    }

    pub(crate) fn filter_bytes(&self) -> f64 {
        self.case.shards() * self.code.bloom_bits_per_key / 8.0
    }

    /// Of every other member, and of gateways that put: as many as they may keep.
    pub(crate) fn bulk_connections_in(&self, of_each_member: f64) -> f64 {
        (self.case.node_count() - 1.0) * of_each_member + GATEWAYS * self.code.connections_per_peer
    }

    /// One bulk connection of and to each member, those of gateways, and the swarm's.
    pub(crate) fn connection_bytes(&self) -> f64 {
        let others = self.case.node_count() - 1.0;
        (self.bulk_connections_in(1.0) + others) * BULK_CONNECTION_BYTES
            + (others + GATEWAYS) * SWARM_CONNECTION_BYTES
    }

    /// Both sides may have called at once.
    pub(crate) fn swarm_connections(&self) -> f64 {
        2.0 * (self.case.node_count() - 1.0 + GATEWAYS)
    }

    /// Everything above and what RocksDB and transfers are allowed: a cache, two buffers of each family (one large).
    pub(crate) fn memory_bytes(&self) -> f64 {
        let code = self.code;
        let index = code.block_cache_bytes + 2.0 * code.shards_buffer_bytes + 6.0 * code.small_buffer_bytes;
        let transfers = code.inbound_bytes + code.idle_bytes;
        let tables = self.table_bytes() + self.log_table_bytes();
        index + transfers + tables + self.connection_bytes() + self.count_bytes()
    }

    /// A steward's memory while it counts one partition of which a member was lost: all holders' rows, a tree of segments
    /// with room for eight places each, and what is to be rebuilt.
    pub(crate) fn count_bytes(&self) -> f64 {
        let places = float(size_of::<SegmentId>() + size_of::<Vec<u16>>()) * 1.5 + 8.0 * 16.0;
        let rebuild = float(size_of::<Rebuild>()) + 4.0 + 5.0 * 4.0;
        self.rows() * (float(profile().total() * size_of::<Held>()) + places + rebuild)
    }
}

/// Counting what is there.
impl Figures<'_> {
    /// Requests that a node answers while all stewards count all partitions once by inventories.
    pub(crate) fn answered(&self) -> f64 {
        f64::from(self.placed.partitions)
    }

    /// Partitions of which one answer has digests at worst: when the member has something of each.
    fn at_once(&self) -> f64 {
        (self.code.digested_rows_max / self.rows()).ceil().min(self.code.partitions_at_once)
    }

    /// Of the partitions, those in which something was just written or deleted.
    pub(crate) fn differing_partitions(&self) -> f64 {
        1.0 - (1.0 - CHANGED_SHARE).powf(self.rows())
    }

    /// Requests for each of so many partitions by digests: with others first, then by themselves twice those that differ.
    pub(crate) fn questions(&self, partitions: f64, differing: f64) -> f64 {
        partitions * (1.0 / self.at_once() + 2.0 * differing)
    }

    /// Those that a node answers: while nothing differs, and with what does.
    pub(crate) fn digests_answered(&self) -> [f64; 2] {
        [0.0, self.differing_partitions()].map(|differing| self.questions(self.answered(), differing))
    }

    /// Bytes a node sends and receives, each, for one count of everything by whole inventories.
    pub(crate) fn inventory_bytes(&self) -> f64 {
        self.case.shards() * wire::inventory_row() + self.answered() * wire::empty_inventory()
    }

    /// The same by digests: one of each holder, and the rows of the leaves that differ.
    pub(crate) fn digest_bytes(&self) -> f64 {
        let slots = self.slots() / self.case.node_count();
        let of_each = wire::digests_of(2) - wire::digests_of(1);
        let [_, questions] = self.digests_answered();
        let asked = questions * (wire::digests_of(1) - of_each) + self.answered() * of_each;
        asked
            + slots * (DIGEST_LEAVES - 1.0) * DIGEST_LEAF_BYTES
            + self.differing_share() * self.case.shards() * wire::inventory_row()
    }

    /// Of the leaves of a partition, those in which something was just written or deleted.
    pub(crate) fn differing_share(&self) -> f64 {
        1.0 - (1.0 - 1.0 / DIGEST_LEAVES).powf(self.rows() * CHANGED_SHARE)
    }

    /// Seconds for which the busiest steward counts all its partitions while the others count theirs: of the rows, which
    /// share is read where they lie, and which is sent and compared; `requests` of each member for one partition.
    pub(crate) fn count_seconds(&self, requests: f64, read: f64, sent: f64) -> f64 {
        let stewarded = count(self.placed.stewarded_most);
        let asking =
            requests * stewarded * self.case.node_count() / self.code.asked_at_once * ROUND_TRIP_SECONDS;
        let rows = stewarded * self.rows() * float(profile().total());
        asking + read * rows / INDEX_ROWS_PER_SECOND + sent * rows * taking_seconds()
    }

    /// Of a node's time, what counting takes: a twenty-first, were there no longest rest.
    pub(crate) fn count_share(&self, seconds: f64) -> f64 {
        let rest = (seconds * self.code.rest_factor).max(self.code.rest_whole).min(self.code.rest_max);
        seconds / (seconds + rest)
    }
}

/// Repair and change.
impl Figures<'_> {
    /// Segments a steward rebuilds per second: [`Constants::rebuilds_at_once`] at a time, each followed by as long a rest.
    pub(crate) fn rebuilt_per_second(&self, disk: Disk) -> f64 {
        let (shard, k) = (self.case.shard_bytes, float(profile().k()));
        let gather = disk.shard_seconds(shard) + ROUND_TRIP_SECONDS + k * shard / NET_BYTES_PER_SECOND;
        let make = k * shard / GB * REBUILD_CPU_SECONDS_PER_GB;
        let keep = ROUND_TRIP_SECONDS + shard / NET_BYTES_PER_SECOND + disk.shard_seconds(shard);
        self.code.rebuilds_at_once / (2.0 * (gather + make + keep))
    }

    /// Segments a steward rebuilds per second over many passes: each rebuilds what its queue and its time hold, and counts
    /// the partition before and after.
    pub(crate) fn repaired_per_second(&self, disk: Disk) -> f64 {
        let rate = self.rebuilt_per_second(disk);
        let of_pass = self.code.queue_max.min(self.code.rebuild_max * rate).min(self.rows());
        let asking = self.case.node_count() / self.code.asked_at_once * ROUND_TRIP_SECONDS;
        let rows = self.rows() * float(profile().total());
        // Its holders read their rows at the same time.
        let counting = asking + self.rows() / INDEX_ROWS_PER_SECOND + rows * taking_seconds();
        of_pass / (of_pass / rate + 2.0 * counting + self.code.look)
    }

    /// Seconds until all that a lost node had is rebuilt, by what is slowest: the busiest steward, disk, network card. A
    /// shard that is written counts like one that is read, which is a little too much: appends share their syncs.
    pub(crate) fn repair_seconds(&self, disk: Disk) -> [f64; 3] {
        let segments = |slots: u64| count(slots) * self.rows();
        let shard = self.case.shard_bytes;
        [
            segments(self.placed.rebuilt_most) / self.repaired_per_second(disk),
            segments(self.placed.accessed_most) * disk.shard_seconds(shard),
            segments(self.placed.received_most) * shard / NET_BYTES_PER_SECOND,
        ]
    }

    /// The same, if every steward had an equal part.
    pub(crate) fn repair_seconds_even(&self, disk: Disk) -> f64 {
        let each = count(self.placed.node_slots) / (self.case.node_count() - 1.0);
        each * self.rows() / self.repaired_per_second(disk)
    }

    /// Seconds until an added node has all that belongs to it: its disk and network card take it, or the busiest giver is
    /// slower. Many give at once, so appends share their syncs; what is read again at once is still in memory.
    pub(crate) fn fill_seconds(&self, disk: Disk) -> f64 {
        let shard = self.case.shard_bytes;
        let given = count(self.placed.node_given_most) * self.rows();
        // Home, put, home again, locate; read here, written there.
        let one = 4.0 * ROUND_TRIP_SECONDS + 2.0 * disk.shard_seconds(shard) + shard / NET_BYTES_PER_SECOND;
        let giving = given * one / self.code.segments_homed_at_once;
        let taking = self.bytes_of(self.placed.node_slots) / disk.bytes_per_second.min(NET_BYTES_PER_SECOND);
        giving.max(taking)
    }
}

/// Control traffic.
impl Figures<'_> {
    /// Greetings a node sends per second when it has nothing else to say: each other member is asked once it was silent.
    pub(crate) fn greetings(&self) -> f64 {
        (self.case.node_count() - 1.0 + GATEWAYS) / (self.code.silence + self.code.probe_period)
    }

    pub(crate) fn pings(&self) -> f64 {
        (self.case.node_count() - 1.0 + GATEWAYS) / self.code.ping_period
    }

    /// Seconds until every member's descriptor was looked up again.
    pub(crate) fn lookup_round(&self) -> f64 {
        self.case.node_count() / self.code.lookups_at_once * self.code.lookup_ticks
    }

    /// Bytes a gateway asks and is answered per second.
    pub(crate) fn poll_rate(&self) -> f64 {
        let stewarded =
            u64::from(self.placed.partitions) / u64::try_from(self.case.nodes).unwrap_or(u64::MAX);
        self.case.node_count() * wire::poll(stewarded) / self.code.poll_period
    }

    /// Seconds until every member was pushed a layout.
    pub(crate) fn push_seconds(&self, layout_bytes: f64) -> f64 {
        let waiting = self.case.node_count() / self.code.pushes_at_once * ROUND_TRIP_SECONDS;
        waiting + self.case.node_count() * layout_bytes / NET_BYTES_PER_SECOND
    }
}
