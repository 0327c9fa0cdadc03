//! What the figures are computed for. Everything here is assumed, everything else comes from the code.

use datamesh_shard::ErasureProfile;

/// Bytes of a gigabyte and a terabyte, as disks are sold.
pub(crate) const GB: f64 = 1e9;
pub(crate) const TB: f64 = 1e12;
/// Milliseconds of a second.
const MS: f64 = 1e-3;

/// Payload bytes that lie on each node, 10 TB: its disk is a little larger.
pub(crate) const NODE_BYTES: f64 = 10.0 * TB;
/// Failure domains the nodes are spread over.
pub(crate) const ZONES: usize = 5;
/// Gateways of the cluster.
pub(crate) const GATEWAYS: f64 = 3.0;
/// Bytes a second each way of 10 GbE, after headers.
pub(crate) const NET_BYTES_PER_SECOND: f64 = 1.15 * GB;
/// Seconds from a small request to its answer between two nodes, handling included.
pub(crate) const ROUND_TRIP_SECONDS: f64 = 0.5 * MS;
/// CPU-seconds per GB that a steward takes to check what it read, decode, hash and send (docs/performance.md: leaf hashes
/// 0.38, coding 0.06, transport 1.35 for both ends).
pub(crate) const REBUILD_CPU_SECONDS_PER_GB: f64 = 1.1;
/// Rows of RocksDB read in order per second by one core: assumed, a little below what its own benchmarks say.
pub(crate) const INDEX_ROWS_PER_SECOND: f64 = 1e6;
/// Rows compared per second by a steward: measured by this program, rounded down.
pub(crate) const SURVEYED_ROWS_PER_SECOND: f64 = 2e6;
/// Bytes RocksDB adds to a row: sequence number and kind 8, lengths 3, block index and padding 1.
pub(crate) const ROCKSDB_ROW_BYTES: f64 = 12.0;
/// Bytes a libp2p connection takes, noise and yamux with their buffers: assumed.
pub(crate) const SWARM_CONNECTION_BYTES: f64 = 32.0 * 1024.0;
/// Bytes a bulk connection takes at most (`mesh::peers`, `mesh::server`).
pub(crate) const BULK_CONNECTION_BYTES: f64 = 100.0 * 1024.0;
/// Digests a member gives of a partition at most, one of it all and one of each range (`exchange::digest`), and bytes of one: a
/// BLAKE3 hash and two numbers.
pub(crate) const DIGEST_LEAVES: f64 = 257.0;
pub(crate) const DIGEST_LEAF_BYTES: f64 = 36.0;
/// Of the segments, those that differ between two counts while nothing is wrong: just written or deleted.
pub(crate) const CHANGED_SHARE: f64 = 1e-4;

/// A disk of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) name: &'static str,
    /// Seconds until the first byte of a random read, or until an append is synced.
    pub(crate) access_seconds: f64,
    /// Bytes a second once there.
    pub(crate) bytes_per_second: f64,
}

/// What a node may have for a disk.
pub(crate) const DISKS: [Disk; 2] = [
    Disk { name: "hard disk", access_seconds: 10.0 * MS, bytes_per_second: 0.2 * GB },
    Disk { name: "NVMe", access_seconds: 0.2 * MS, bytes_per_second: 2.0 * GB },
];

impl Disk {
    /// Seconds to read a shard, or to append one for which nobody else waits.
    pub(crate) fn shard_seconds(&self, shard_bytes: f64) -> f64 {
        self.access_seconds + shard_bytes / self.bytes_per_second
    }
}

/// One column of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) nodes: usize,
    pub(crate) shard_bytes: f64,
    pub(crate) shard_name: &'static str,
}

/// All columns. 1 MiB: full segments of 4 MiB in 4+2; 64 KiB: files of 256 KiB.
pub(crate) const CASES: [Case; 4] = [
    Case { nodes: 100, shard_bytes: 1048576.0, shard_name: "1 MiB" },
    Case { nodes: 100, shard_bytes: 65536.0, shard_name: "64 KiB" },
    Case { nodes: 1000, shard_bytes: 1048576.0, shard_name: "1 MiB" },
    Case { nodes: 1000, shard_bytes: 65536.0, shard_name: "64 KiB" },
];

/// 4+2.
pub(crate) fn profile() -> ErasureProfile {
    ErasureProfile::new(4, 2).expect("4+2 is a profile")
}

impl Case {
    /// Shards on each node.
    pub(crate) fn shards(&self) -> f64 {
        NODE_BYTES / self.shard_bytes
    }

    /// Nodes, as a number to compute with.
    pub(crate) fn node_count(&self) -> f64 {
        f64::from(u32::try_from(self.nodes).unwrap_or(u32::MAX))
    }
}
