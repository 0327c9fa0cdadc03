//! Pools for tests.

use datamesh_placement::{Layout, Member, PartitionId, Table};
use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) name: &'static str,
    data: u8,
    parity: u8,
    log2: u8,
    zones: Vec<usize>,
    capacities: Vec<u64>,
    joined: Vec<(String, String)>,
}

impl Pool {
    pub(crate) fn new(name: &'static str, data: u8, parity: u8, log2: u8) -> Self {
        Self { name, data, parity, log2, zones: vec![], capacities: vec![1], joined: vec![] }
    }

    /// Nodes in each zone.
    pub(crate) fn zones(mut self, zones: &[usize]) -> Self {
        self.zones = zones.to_vec();
        self
    }

    /// Capacities in units of 100 GiB, taken in turns.
    pub(crate) fn capacities(mut self, capacities: &[u64]) -> Self {
        self.capacities = capacities.to_vec();
        self
    }

    pub(crate) fn joined(mut self, node: &str, zone: &str) -> Self {
        self.joined.push((node.into(), zone.into()));
        self
    }

    pub(crate) fn layout(&self) -> Layout {
        let zones = self.zones.iter().enumerate().flat_map(|(zone, &nodes)| vec![zone; nodes]);
        let old = zones.enumerate().map(|(at, zone)| (format!("node-{at:03}"), format!("zone-{zone}")));
        let named: Vec<(String, String)> = old.chain(self.joined.clone()).collect();
        let mut members: Vec<Member> = (0_u64..)
            .zip(named)
            .map(|(at, (node, zone))| Member {
                node: NodeName::new(&node).unwrap(),
                peer: PeerKey(std::array::from_fn(|byte| {
                    u8::try_from(at >> (8 * (byte % 2)) & 0xff).unwrap()
                })),
                zone: ZoneName::new(&zone).unwrap(),
                capacity_bytes: self.capacities[usize::try_from(at).unwrap() % self.capacities.len()]
                    * (100 << 30),
                draining: false,
            })
            .collect();
        members.sort_by(|a, b| a.node.cmp(&b.node));
        Layout {
            cluster: NodeName::new("test").unwrap(),
            pool: PoolName::new("pool").unwrap(),
            profile: ErasureProfile::new(self.data, self.parity).unwrap(),
            epoch: Epoch(1),
            partitions_log2: self.log2,
            members,
            earlier: Vec::new(),
            holders: Vec::new(),
        }
    }

    pub(crate) fn table(&self) -> Table {
        Table::compute(self.layout()).unwrap()
    }
}

pub(crate) fn node_count(pool: &Pool) -> usize {
    pool.layout().members.len()
}

/// Shards that another node holds after than before, in parts of the partitions there are after: what a layout change has to
/// move. A shard that stays in its node but gets another index counts, since its bytes are others.
pub(crate) fn moved(before: &Table, after: &Table) -> u64 {
    let node = |table: &Table, member: u16| table.layout().members[usize::from(member)].node.clone();
    let row = |table: &Table, partition| -> Vec<NodeName> {
        table.holders(PartitionId(partition)).iter().map(|&member| node(table, member)).collect()
    };
    let splits = after.layout().partitions_log2 - before.layout().partitions_log2;
    let changed = |partition: u32| {
        let (before, after) = (row(before, partition >> splits), row(after, partition));
        before.iter().zip(&after).filter(|(before, after)| before != after).count() as u64
    };
    (0..after.partitions()).map(changed).sum()
}
