//! Which nodes hold which partition: a pool's layout, signed and versioned, and the table every member computes from it
//! alike. Pure: no I/O, no clock, no floating point.
//!
//! How the table of a pool's first layout comes about, in the order of the modules:
//! 1. [`layout`](Layout): the members, sorted by name.
//! 2. `shares`: how many of all partitions' shards each zone and node is to hold, by capacity.
//! 3. `draw`: a price for every (partition, shard index, node), by weighted rendezvous hashing in integers.
//! 4. `choose`: each partition takes the cheapest nodes for its shard indexes, its zones as even as the shares are.
//! 5. `balance`: the cheapest exchanges that bring every node to exactly its share, of data shards too.
//!
//! Those steps are part of the wire format: every member must come to the same table. Known answers stand under
//! `tests/golden`. A later layout says itself who holds what: `rearrange` changes as little of the table before as the new
//! shares ask for, and `balance`, sparing, brings every node close to its own. A pool whose profile changed has rows for each
//! profile that still has data, balanced by themselves.

mod assign;
mod balance;
mod choose;
mod draw;
mod ground;
mod layout;
mod rearrange;
mod shares;
mod table;

pub use assign::{NoPlace, assign};
pub use layout::{LAYOUT_BYTES_MAX, LAYOUT_CONTEXT, Layout, LayoutError, Member, PROFILES_MAX, SignedLayout};
pub use table::{PartitionId, Table, ZoneLoss, segments_of};
