//! The fewest moves with which a table can follow another, exactly: a minimum-cost flow. What placement comes to is held
//! against it. Slow, for small pools.

use std::collections::VecDeque;

use datamesh_placement::{PartitionId, Table};

use crate::table::held;

/// More than all moves together: what a zone has to hold of a partition goes before everything else.
const OWED: i64 = 1 << 32;

struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

/// Successive shortest paths; each edge is followed by its reverse.
#[derive(Default)]
struct Flow {
    edges: Vec<Edge>,
    from: Vec<Vec<usize>>,
}

impl Flow {
    fn node(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        self.from[from].push(self.edges.len());
        self.edges.push(Edge { to, room, cost });
        self.from[to].push(self.edges.len());
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
    }

    /// The edge by which each node is reached at the least cost.
    fn reach(&self, source: usize) -> Vec<(i64, Option<usize>)> {
        let mut reached = vec![(i64::MAX, None); self.from.len()];
        reached[source].0 = 0;
        let (mut queue, mut queued) = (VecDeque::from([source]), vec![false; self.from.len()]);
        while let Some(node) = queue.pop_front() {
            queued[node] = false;
            for &at in &self.from[node] {
                let Edge { to, room, cost } = self.edges[at];
                let by_this = reached[node].0.saturating_add(cost);
                if room > 0 && by_this < reached[to].0 {
                    reached[to] = (by_this, Some(at));
                    if !std::mem::replace(&mut queued[to], true) {
                        queue.push_back(to);
                    }
                }
            }
        }
        reached
    }

    /// The cost of the cheapest flow of that many units.
    fn cost(&mut self, source: usize, sink: usize, units: u64) -> i64 {
        let mut cost = 0;
        for _ in 0..units {
            let reached = self.reach(source);
            cost += reached[sink].0;
            let mut node = sink;
            while let Some(at) = reached[node].1 {
                self.edges[at].room -= 1;
                self.edges[at ^ 1].room += 1;
                node = self.edges[at ^ 1].to;
            }
            assert_eq!(node, source, "not all shards have a place");
        }
        cost
    }
}

/// Shards of partitions that have to change their node, if every member is to hold what it holds in `fair` and every zone what
/// it may.
pub(crate) fn fewest_moves(before: &Table, fair: &Table) -> u64 {
    let layout = fair.layout();
    let shares = held(fair);
    let zones = usize::from(*fair.zones().iter().max().unwrap()) + 1;
    let mut slots = vec![0; zones];
    for (zone, (share, _)) in fair.zones().iter().zip(&shares) {
        slots[usize::from(*zone)] += i64::from(*share);
    }
    let mut flow = Flow::default();
    let (source, sink) = (flow.node(), flow.node());
    let members: Vec<usize> = layout.members.iter().map(|_| flow.node()).collect();
    for (node, (share, _)) in members.iter().zip(&shares) {
        flow.edge(*node, sink, i64::from(*share), 0);
    }
    let splits = layout.partitions_log2 - before.layout().partitions_log2;
    let (mut owed, partitions) = (0, i64::from(fair.partitions()));
    for partition in 0..fair.partitions() {
        let this = flow.node();
        flow.edge(source, this, layout.profile.total() as i64, 0);
        let holders = before.holders(PartitionId(partition >> splits)).iter();
        let names: Vec<_> = holders.map(|at| &before.layout().members[usize::from(*at)].node).collect();
        for (zone, slots) in slots.iter().enumerate() {
            let (least, here) = (slots / partitions, flow.node());
            flow.edge(this, here, least, -OWED);
            flow.edge(this, here, i64::from(slots % partitions > 0), 0);
            owed += least;
            let of_zone = (0..members.len()).filter(|at| usize::from(fair.zones()[*at]) == zone);
            for at in of_zone.filter(|at| shares[*at].0 > 0) {
                let stays = names.contains(&&layout.members[at].node);
                flow.edge(here, members[at], 1, i64::from(!stays));
            }
        }
    }
    let units = u64::from(fair.partitions()) * layout.profile.total() as u64;
    let moves = flow.cost(source, sink, units) + owed * OWED;
    u64::try_from(moves).expect("every zone has what it has to hold")
}
