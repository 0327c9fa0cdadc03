//! Tables of real layouts, and what a change of the layout moves. All in slots: shards of partitions.

use std::collections::HashMap;

use datamesh_placement::{Layout, Member, PartitionId, Table};
use datamesh_shard::limits::POOL_MEMBERS_MAX;
use datamesh_shard::{Epoch, NodeName, PeerKey, PoolName, ZoneName};
use serde::{Deserialize, Serialize};

use crate::inputs::{ZONES, profile};

/// What one size of pool comes to. The tables are part of the wire format, so these figures only change with it: they are
/// recorded, because those of a thousand nodes take half a minute to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placed {
    pub(crate) nodes: usize,
    pub(crate) partitions: u32,
    /// Bytes of the holders in the layout that follows when one node is lost.
    pub(crate) holder_bytes: usize,
    /// Slots of the node that is lost, or added.
    pub(crate) node_slots: u64,
    /// Slots that change their node when one node is lost or added (to the others, or to it).
    pub(crate) node_moved: u64,
    /// The most that any node gives away when one is added.
    pub(crate) node_given_most: u64,
    /// Slots of the zone that is removed, and those that change their node then.
    pub(crate) zone_slots: u64,
    pub(crate) zone_moved: u64,
    /// Partitions of the busiest steward.
    pub(crate) stewarded_most: u64,
    /// Of the lost node's slots: rebuilt by the busiest steward, read or written by the busiest disk, received by the
    /// busiest network card.
    pub(crate) rebuilt_most: u64,
    pub(crate) accessed_most: u64,
    pub(crate) received_most: u64,
    /// Stewards that rebuild at all.
    pub(crate) stewards: u64,
}

/// A layout of `nodes` nodes in [`ZONES`] zones without the members that `left_out` picks. `name_bytes` long names.
pub(crate) fn layout(nodes: usize, name_bytes: usize, left_out: impl Fn(usize) -> bool) -> Layout {
    let name = |kind: &str, at: usize| format!("{kind}-{at:0width$}", width = name_bytes - kind.len() - 1);
    let member = |at: usize| Member {
        node: NodeName::new(&name("node", at)).expect("a node's name"),
        peer: PeerKey(key(at)),
        zone: ZoneName::new(&name("zone", at % ZONES)).expect("a zone's name"),
        capacity_bytes: 10_000_000_000_000,
        draining: false,
    };
    Layout {
        cluster: NodeName::new("cluster").expect("a cluster's name"),
        pool: PoolName::new("main").expect("a pool's name"),
        profile: profile(),
        epoch: Epoch(1000),
        partitions_log2: Layout::partitions_log2_for(profile(), nodes),
        members: (0..nodes).filter(|at| !left_out(*at)).map(member).collect(),
        earlier: Vec::new(),
        holders: Vec::new(),
    }
}

/// 32 bytes that differ from member to member. Placement goes by names, so which they are makes no difference.
fn key(at: usize) -> [u8; 32] {
    let bytes = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    std::array::from_fn(|byte| bytes[byte % bytes.len()])
}

fn table(nodes: usize, left_out: impl Fn(usize) -> bool) -> Table {
    assert!(nodes <= POOL_MEMBERS_MAX);
    Table::compute(layout(nodes, 9, left_out)).expect("a layout that is right")
}

/// What the gateway commits after `full` when nodes are left out; and the bytes of the holders in it.
fn follow(full: &Table, nodes: usize, left_out: impl Fn(usize) -> bool) -> (Table, usize) {
    let next = layout(nodes, 9, left_out);
    let without = next.encode().len();
    let next = full.followed_by(next).expect("a layout that is right");
    let holder_bytes = next.encode().len() - without;
    (Table::compute(next).expect("a layout that is right"), holder_bytes)
}

/// A table's holders by node number of the full pool.
struct Holders<'a> {
    table: &'a Table,
    numbers: Vec<usize>,
}

impl<'a> Holders<'a> {
    fn new(full: &Table, table: &'a Table) -> Self {
        let number: HashMap<&NodeName, usize> =
            full.layout().members.iter().enumerate().map(|(at, member)| (&member.node, at)).collect();
        let numbers = table.layout().members.iter().map(|member| number[&member.node]).collect();
        Self { table, numbers }
    }

    fn row(&self, partition: u32) -> Vec<usize> {
        let row = self.table.holders(PartitionId(partition));
        row.iter().map(|member| self.numbers[usize::from(*member)]).collect()
    }
}

/// Computes everything for a pool of `nodes`; the node in the middle is the one that is lost or added, the last zone the
/// one that is removed.
pub(crate) fn place(nodes: usize) -> Placed {
    let lost = nodes / 2;
    let full = table(nodes, |_| false);
    let ((less, holder_bytes), (zoned, _)) = std::thread::scope(|scope| {
        let less = scope.spawn(|| follow(&full, nodes, |at| at == lost));
        let zoned = scope.spawn(|| follow(&full, nodes, |at| at % ZONES == ZONES - 1));
        (less.join().expect("a table"), zoned.join().expect("a table"))
    });
    let before = Holders::new(&full, &full);
    let mut placed = Placed { nodes, partitions: full.partitions(), holder_bytes, ..Placed::default() };
    let mut loads = Loads::new(nodes);
    let (after, zoned) = (Holders::new(&full, &less), Holders::new(&full, &zoned));
    for partition in 0..full.partitions() {
        let (old, new) = (before.row(partition), after.row(partition));
        loads.stewarded[old[0]] += 1;
        for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
            placed.node_moved += 1;
            loads.given[*new] += 1;
            placed.node_slots += u64::from(*old == lost);
        }
        if let Some(missing) = old.iter().position(|holder| *holder == lost) {
            loads.rebuild(&old, &new, missing);
        }
        for (old, new) in old.iter().zip(&zoned.row(partition)) {
            placed.zone_slots += u64::from(old % ZONES == ZONES - 1);
            placed.zone_moved += u64::from(old != new);
        }
    }
    loads.into_figures(placed)
}

/// By node: what it has to do.
struct Loads {
    stewarded: Vec<u64>,
    given: Vec<u64>,
    rebuilt: Vec<u64>,
    accessed: Vec<u64>,
    received: Vec<u64>,
}

impl Loads {
    fn new(nodes: usize) -> Self {
        let none = || vec![0; nodes];
        Self { stewarded: none(), given: none(), rebuilt: none(), accessed: none(), received: none() }
    }

    /// As `steward::rebuild`: the first holder by the layout without the lost node reads the first k shards there are,
    /// from where they lay, and writes the missing one to its new holder.
    fn rebuild(&mut self, old: &[usize], new: &[usize], missing: usize) {
        let steward = new[0];
        self.rebuilt[steward] += 1;
        let sources = old.iter().enumerate().filter(|(shard, _)| *shard != missing).map(|(_, node)| *node);
        for source in sources.take(profile().k()) {
            self.accessed[source] += 1;
            self.received[steward] += u64::from(source != steward);
        }
        self.accessed[new[missing]] += 1;
        self.received[new[missing]] += u64::from(new[missing] != steward);
    }

    fn into_figures(self, placed: Placed) -> Placed {
        let most = |of: &[u64]| of.iter().copied().max().unwrap_or_default();
        Placed {
            // Read backwards, who took the lost node's slots are those who give them to one that is added.
            node_given_most: most(&self.given),
            stewarded_most: most(&self.stewarded),
            rebuilt_most: most(&self.rebuilt),
            accessed_most: most(&self.accessed),
            received_most: most(&self.received),
            stewards: self.rebuilt.iter().fold(0, |sum, rebuilt| sum + u64::from(*rebuilt > 0)),
            ..placed
        }
    }
}
