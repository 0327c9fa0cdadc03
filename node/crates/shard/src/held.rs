use serde::{Deserialize, Serialize};

use crate::{ErasureProfile, Generation, SegmentId, ShardIndex};

/// Some shards of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardSet(u32);

impl ShardSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// Adds a shard. Indexes beyond every profile are left out.
    pub const fn insert(&mut self, shard: ShardIndex) {
        if shard.0 < 32 {
            self.0 |= 1 << shard.0;
        }
    }

    /// Whether it is there.
    #[must_use]
    pub const fn contains(self, shard: ShardIndex) -> bool {
        shard.0 < 32 && self.0 & (1 << shard.0) != 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// By rising index.
    pub fn iter(self) -> impl Iterator<Item = ShardIndex> {
        (0..32).map(ShardIndex).filter(move |shard| self.contains(*shard))
    }
}

impl FromIterator<ShardIndex> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardIndex>>(shards: I) -> Self {
        let mut set = Self::EMPTY;
        shards.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

/// What one member has of one segment, not known to be corrupt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The segment.
    pub segment: SegmentId,
    /// Its k and m: what its shards say of themselves, since each carries the segment's header.
    pub profile: ErasureProfile,
    /// The highest generation of these shards.
    pub generation: Generation,
    /// Which.
    pub shards: ShardSet,
}
