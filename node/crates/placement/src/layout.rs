//! A pool's layout: its members at one epoch, and what each holds where that follows from the epoch before. Everything else is
//! computed from it.

mod wire;

use datamesh_shard::limits::{PARTITIONS_LOG2_MAX, POOL_MEMBERS_MAX};
use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};
use serde::{Deserialize, Serialize};

/// Context string of the cluster key's signature over an encoded layout.
pub const LAYOUT_CONTEXT: &str = "datamesh.io 2026 layout";
/// Bytes of an encoded layout at most: a thousand members with the longest names, twice [`SLOTS_MAX`] holders, and room.
pub const LAYOUT_BYTES_MAX: usize = 960 << 10;
/// Shards of partitions each member gets: few enough segments in each partition for its steward to count, however full nodes are.
const SLOTS_PER_MEMBER: usize = 500;
/// More are not asked for however many members there are: a layout names the holder of each.
const SLOTS_MAX: usize = 200_000;
/// Shards of partitions that the table of a layout with several profiles may have: see [`LAYOUT_BYTES_MAX`].
const SLOTS_OF_ALL_MAX: usize = 2 * SLOTS_MAX;
/// Profiles of a layout at most, the present one included: data of two earlier ones may wait to be coded anew.
pub const PROFILES_MAX: usize = 3;
/// A pool that grew has its partitions split when it has less than this part of what a new one would.
const SPLIT_BELOW: usize = 2;
/// A pool of a few nodes may grow: 1,024 partitions at least.
const PARTITIONS_LOG2_MIN: u8 = 10;

/// One storage node of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name: its identity in placement, which stays when its key is replaced.
    pub node: NodeName,
    /// Its public key: its identity on the wire.
    pub peer: PeerKey,
    /// Its failure domain.
    pub zone: ZoneName,
    /// Its weight.
    pub capacity_bytes: u64,
    /// Whether it gives its shards away: it holds no partition and stands in for nobody, but is asked for what it still has.
    pub draining: bool,
}

/// The members of a pool at one epoch. Made by the catalog's leader alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The cluster, so that one cluster's layout means nothing to another.
    pub cluster: NodeName,
    /// The pool.
    pub pool: PoolName,
    /// k and m of what is written from now on.
    pub profile: ErasureProfile,
    /// Those of what was written before and is still there, each once and none the present one. None in a first layout.
    pub earlier: Vec<ErasureProfile>,
    /// Its version.
    pub epoch: Epoch,
    /// Binary logarithm of the number of partitions.
    pub partitions_log2: u8,
    /// Sorted by node, each node and each key once.
    pub members: Vec<Member>,
    /// For each profile, the present one first: k+m member indexes for each partition, by shard index. None in a pool's first
    /// layout, whose table is computed from its members alone. See [`crate::Table::followed_by`].
    pub holders: Vec<u16>,
}

/// An encoded layout and the cluster key's signature over it (context [`LAYOUT_CONTEXT`]).
///
/// Nothing here checks the signature; whoever receives one does, before decoding it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLayout {
    /// [`Layout::encode`]'s bytes, as they were signed.
    pub bytes: Vec<u8>,
    /// Ed25519.
    #[serde(with = "signature")]
    pub signature: [u8; 64],
}

impl std::fmt::Debug for SignedLayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedLayout({} bytes)", self.bytes.len())
    }
}

/// Why there is no layout or no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Longer than any layout.
    #[error("a layout of {0} bytes: at most {LAYOUT_BYTES_MAX} are read")]
    Bytes(usize),
    /// Written by a later version.
    #[error("layout version {0} is not known to this version")]
    Version(u8),
    /// Not an encoded layout.
    #[error("malformed layout: {0}")]
    Malformed(postcard::Error),
    /// Bytes are left after it.
    #[error("{0} bytes left over after the layout")]
    Trailing(usize),
    /// Too many partitions.
    #[error("2^{0} partitions: at most 2^{PARTITIONS_LOG2_MAX} are allowed")]
    Partitions(u8),
    /// Fewer nodes than shards, or more than a pool may have.
    #[error("{members} members that stay: profile {profile} needs {} to {POOL_MEMBERS_MAX}", profile.total())]
    Members {
        /// How many there are that are not draining.
        members: usize,
        /// For which profile.
        profile: ErasureProfile,
    },
    /// A node is there twice, or members are not sorted by node.
    #[error("member {0} is there twice or out of order")]
    Order(NodeName),
    /// Two nodes with one key.
    #[error("member {0} has the same key as another")]
    SharedKey(NodeName),
    /// A node without capacity.
    #[error("member {0} has no capacity")]
    NoCapacity(NodeName),
    /// Another number of holders than k+m for each partition.
    #[error("{0} holders: not as many as shards of partitions")]
    HolderCount(usize),
    /// A partition with a holder that drains, is no member, or is there twice.
    #[error("partition {0} has holders it cannot have")]
    Holders(usize),
    /// Of another pool than the layout before, or with data in a profile that the layout before knows nothing of.
    #[error("a layout follows one of the same pool, and its earlier profiles are of that one")]
    Unrelated,
    /// A profile twice, more of them than there may be, or earlier ones in a first layout.
    #[error(
        "{0} earlier profiles: each is there once, fewer than {PROFILES_MAX}, and a first layout has none"
    )]
    Profiles(usize),
    /// Too many holders to be named.
    #[error("{0} shards of partitions in all profiles together: at most {SLOTS_OF_ALL_MAX} are allowed")]
    Slots(usize),
    /// Fewer partitions than in the layout before.
    #[error("partitions are split, never joined again")]
    Joined,
}

impl Layout {
    /// How many partitions a pool's first layout should have, as a binary logarithm: 1,024, or more so that each of
    /// `members` nodes gets some 500 shards of partitions, 200 where they are a thousand.
    #[must_use]
    pub fn partitions_log2_for(profile: ErasureProfile, members: usize) -> u8 {
        partitions_log2(PARTITIONS_LOG2_MIN, profile.total(), slots_for(members))
    }

    /// How many partitions the next layout should have when `members` stay: as many as this one has, or so many halves of
    /// them that each gets half of what it would in a new pool.
    #[must_use]
    pub fn split_log2_for(&self, members: usize) -> u8 {
        partitions_log2(self.partitions_log2, self.shards(), slots_for(members) / SPLIT_BELOW)
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partitions(&self) -> usize {
        1 << self.partitions_log2
    }

    /// All profiles that it has rows for, the present one first.
    pub fn profiles(&self) -> impl Iterator<Item = ErasureProfile> + Clone + '_ {
        std::iter::once(self.profile).chain(self.earlier.iter().copied())
    }

    /// Shards of one partition in all profiles together.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.profiles().map(ErasureProfile::total).sum()
    }

    /// Version byte, then postcard: the lowest version that can say it, so that older nodes read what concerns them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, node: &NodeName) -> Option<&Member> {
        self.members.iter().find(|member| member.node == *node)
    }

    /// Members that hold partitions: all that are not draining.
    pub fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.draining)
    }

    /// Reads an encoded layout and checks that it is one a table can be computed from.
    ///
    /// # Errors
    /// Every way in which hostile bytes can be wrong has its variant; the length is checked before anything is allocated.
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        if bytes.len() > LAYOUT_BYTES_MAX {
            return Err(LayoutError::Bytes(bytes.len()));
        }
        let layout = wire::decode(bytes)?;
        layout.check()?;
        Ok(layout)
    }

    /// Checks what the types cannot: numbers within their limits, members sorted and each there once.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn check(&self) -> Result<(), LayoutError> {
        if self.partitions_log2 > PARTITIONS_LOG2_MAX {
            return Err(LayoutError::Partitions(self.partitions_log2));
        }
        self.check_members()?;
        self.check_profiles()?;
        if let Some(pair) = self.members.windows(2).find(|pair| pair[0].node >= pair[1].node) {
            return Err(LayoutError::Order(pair[1].node.clone()));
        }
        if let Some(member) = self.members.iter().find(|member| member.capacity_bytes == 0) {
            return Err(LayoutError::NoCapacity(member.node.clone()));
        }
        let mut keys: Vec<_> = self.members.iter().map(|member| (member.peer, &member.node)).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(LayoutError::SharedKey(pair[1].1.clone())),
            None => self.check_holders(),
        }
    }

    fn check_members(&self) -> Result<(), LayoutError> {
        let staying = self.staying().count();
        let largest = self.profiles().max_by_key(|profile| profile.total()).unwrap_or(self.profile);
        if staying < largest.total() || self.members.len() > POOL_MEMBERS_MAX {
            return Err(LayoutError::Members { members: staying, profile: largest });
        }
        Ok(())
    }

    /// Checks that there may be a table with all its profiles, members aside.
    ///
    /// # Errors
    /// Names what is too many.
    pub fn check_profiles(&self) -> Result<(), LayoutError> {
        let profiles: Vec<_> = self.profiles().collect();
        let is_twice = |at: usize| profiles[..at].contains(&profiles[at]);
        if profiles.len() > PROFILES_MAX || (0..profiles.len()).any(is_twice) {
            return Err(LayoutError::Profiles(self.earlier.len()));
        }
        let slots = self.shards() << self.partitions_log2;
        if !self.earlier.is_empty() && slots > SLOTS_OF_ALL_MAX {
            return Err(LayoutError::Slots(slots));
        }
        Ok(())
    }

    fn check_holders(&self) -> Result<(), LayoutError> {
        if self.holders.is_empty() {
            return Ok(());
        }
        if self.holders.len() != self.shards() << self.partitions_log2 {
            return Err(LayoutError::HolderCount(self.holders.len()));
        }
        let mut rest = self.holders.as_slice();
        for profile in self.profiles() {
            let (rows, others) = rest.split_at(profile.total() << self.partitions_log2);
            self.check_rows(profile.total(), rows)?;
            rest = others;
        }
        Ok(())
    }

    fn check_rows(&self, total: usize, rows: &[u16]) -> Result<(), LayoutError> {
        let may_hold = |at: &u16| self.members.get(usize::from(*at)).is_some_and(|member| !member.draining);
        for (partition, row) in rows.chunks_exact(total).enumerate() {
            let is_twice = |(at, holder): (usize, &u16)| row[..at].contains(holder);
            if !row.iter().all(may_hold) || row.iter().enumerate().any(is_twice) {
                return Err(LayoutError::Holders(partition));
            }
        }
        Ok(())
    }
}

/// Shards of partitions that a pool of so many members should have.
fn slots_for(members: usize) -> usize {
    (SLOTS_PER_MEMBER * members).min(SLOTS_MAX)
}

/// The least, from `least` on, with which there are that many slots, of so many shards a partition.
fn partitions_log2(least: u8, shards: usize, slots: usize) -> u8 {
    let is_enough = |log2: &u8| (shards << log2) >= slots;
    (least..PARTITIONS_LOG2_MAX).find(is_enough).unwrap_or(PARTITIONS_LOG2_MAX.max(least))
}

/// Serde knows arrays up to 32 elements only.
mod signature {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        bytes.try_into().map_err(|_| Error::custom("a signature has 64 bytes"))
    }
}
