//! Where the shards of one write go.

use datamesh_shard::ErasureProfile;

use crate::table::{PartitionId, Table};

/// Too few live nodes: one of them would hold more than m shards of the segment, and its loss would lose it.
///
/// A pool that is allowed to acknowledge k shards may still write: to the holders, of which the dead ones fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{live} live nodes cannot take {shards} shards, at most {per_node} on each")]
pub struct NoPlace {
    /// Nodes that can take shards.
    pub live: usize,
    /// k + m.
    pub shards: usize,
    /// m.
    pub per_node: usize,
}

/// The node for each shard of a write in one of the table's profiles, by shard index: its holder if that is available, else a stand-in.
///
/// No node gets more than m shards of a segment, and no zone where there are others; stand-ins are those with the fewest
/// shards of the segment so far, then those whose zone has the fewest, then the first in the partition's order. Anyone
/// with the same table and the same view of who is available comes to the same answer.
///
/// # Errors
/// [`NoPlace`] if a node would have to take more than m shards.
pub fn assign(
    table: &Table,
    (profile, partition): (ErasureProfile, PartitionId),
    available: impl Fn(u16) -> bool,
) -> Result<Vec<u16>, NoPlace> {
    let holders = table.holders_of(profile, partition);
    let mut placed: Vec<Option<u16>> =
        holders.iter().map(|&node| Some(node).filter(|&node| available(node))).collect();
    if placed.iter().all(Option::is_some) {
        return Ok(holders.to_vec());
    }
    let zones = table.zones();
    let mut live = table.order(profile, partition);
    live.retain(|&node| available(node));
    let zone = |node: u16| zones.get(usize::from(node));
    for at in 0..placed.len() {
        if placed[at].is_some() {
            continue;
        }
        let load = |node: u16| placed.iter().flatten().filter(|&&other| other == node).count();
        let zone_load =
            |node: u16| placed.iter().flatten().filter(|&&other| zone(other) == zone(node)).count();
        let rank = |&node: &u16| (zone_load(node) >= profile.m(), load(node), zone_load(node));
        let best = live.iter().copied().filter(|&node| load(node) < profile.m()).min_by_key(rank);
        let none = NoPlace { live: live.len(), shards: profile.total(), per_node: profile.m() };
        placed[at] = Some(best.ok_or(none)?);
    }
    Ok(placed.into_iter().flatten().collect())
}
