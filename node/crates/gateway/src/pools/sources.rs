//! Whom to ask for a segment's shards.

use std::collections::HashSet;

use datamesh_placement::Table;
use datamesh_shard::{ErasureProfile, PeerKey, SegmentId};

use super::Pool;

/// Everyone who may have shards of a segment, the likeliest first. Members of different layouts have different indexes,
/// so these have their own: positions in this list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    peers: Vec<PeerKey>,
    /// So many at the front hold the shards, by shard index.
    holders: usize,
}

impl Sources {
    /// The holders by the table to read by; then all other members, in the order in which they step in: a shard may have
    /// gone home already, or not yet. Who is in no layout any more gave all it had away before.
    pub(super) fn new(pool: &Pool, read: &Table, profile: ErasureProfile, segment: SegmentId) -> Self {
        let partition = read.partition_of(segment);
        let mut peers = peers_of(read, &read.order(profile, partition));
        if let Some(newest) = pool.newest().filter(|newest| newest.layout().epoch != read.layout().epoch) {
            let seen: HashSet<PeerKey> = peers.iter().copied().collect();
            let order = peers_of(newest, &newest.order(profile, newest.partition_of(segment)));
            peers.extend(order.into_iter().filter(|peer| !seen.contains(peer)));
        }
        Self { peers, holders: read.holders_of(profile, partition).len() }
    }

    /// The holders, by shard index.
    pub(crate) fn holders(&self) -> Vec<u16> {
        numbered(0, self.holders)
    }

    /// The others.
    pub(crate) fn others(&self) -> Vec<u16> {
        numbered(self.holders, self.peers.len())
    }

    /// The member at a position.
    pub(crate) fn peer(&self, position: u16) -> Option<PeerKey> {
        self.peers.get(usize::from(position)).copied()
    }
}

fn peers_of(table: &Table, order: &[u16]) -> Vec<PeerKey> {
    order
        .iter()
        .filter_map(|at| table.layout().members.get(usize::from(*at)))
        .map(|member| member.peer)
        .collect()
}

fn numbered(from: usize, to: usize) -> Vec<u16> {
    (from..to).filter_map(|position| u16::try_from(position).ok()).collect()
}
