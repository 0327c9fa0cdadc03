//! Shards that are lost, for good or for a while.

use datamesh_shard::{PeerKey, SegmentId, ShardKey};

use super::{FakeNodes, Kept};

/// Shards, and whose they are.
pub(crate) struct TakenAway(Vec<(PeerKey, ShardKey, Kept)>);

impl FakeNodes {
    /// All nodes lose a segment's shards.
    pub(crate) fn lose(&self, segment: SegmentId) {
        drop(self.take_away(&[segment]));
    }

    /// Loses all its shards.
    pub(crate) fn wipe(&self, n: u8) {
        self.change(n, |node| node.shards.clear());
    }

    /// The same of several, which may come back.
    pub(crate) fn take_away(&self, segments: &[SegmentId]) -> TakenAway {
        let mut taken = Vec::new();
        for (peer, node) in self.nodes.lock().iter_mut() {
            let away = node.shards.extract_if(.., |key, _| segments.contains(&key.segment));
            taken.extend(away.map(|(key, kept)| (*peer, key, kept)));
        }
        TakenAway(taken)
    }

    /// As if they had never been away.
    pub(crate) fn put_back(&self, taken: TakenAway) {
        let mut nodes = self.nodes.lock();
        for (peer, key, kept) in taken.0 {
            nodes.get_mut(&peer).unwrap().shards.insert(key, kept);
        }
    }
}
