use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName};

use super::{KeyError, KeyReader, KeyWriter, Table, table};
use crate::keyspace::KeyRange;

/// Key of a pool's row.
#[must_use]
pub fn pool(name: &PoolName) -> Vec<u8> {
    table(Table::Pool).bytes(name.as_str().as_bytes()).finish()
}

/// Key of what is wanted of a pool's scrub.
#[must_use]
pub fn scrub(pool: &PoolName) -> Vec<u8> {
    table(Table::Scrub).bytes(pool.as_str().as_bytes()).finish()
}

/// Key of what is wanted of a pool's earlier profiles.
#[must_use]
pub fn recode(pool: &PoolName) -> Vec<u8> {
    table(Table::Recode).bytes(pool.as_str().as_bytes()).finish()
}

fn of_profile(rows: Table, pool: &PoolName, profile: ErasureProfile) -> KeyWriter {
    let (k, m) = (u32::from(profile.data()), u32::from(profile.parity()));
    table(rows).bytes(pool.as_str().as_bytes()).u32(k).u32(m)
}

/// Key of a counter of what a pool has in one profile.
#[must_use]
pub fn profile_counter(pool: &PoolName, profile: ErasureProfile, counter: u8) -> Vec<u8> {
    of_profile(Table::ProfileCounter, pool, profile).u32(counter.into()).finish()
}

/// Key of the row that says that a profile is closed.
#[must_use]
pub fn closed_profile(pool: &PoolName, profile: ErasureProfile) -> Vec<u8> {
    of_profile(Table::ClosedProfile, pool, profile).finish()
}

/// Key of a layout.
#[must_use]
pub fn layout(pool: &PoolName, epoch: Epoch) -> Vec<u8> {
    table(Table::Layout).bytes(pool.as_str().as_bytes()).u64(epoch.0).finish()
}

/// All layouts of a pool.
#[must_use]
pub fn layouts(pool: &PoolName) -> KeyRange {
    KeyRange::prefix(table(Table::Layout).bytes(pool.as_str().as_bytes()).finish())
}

/// Key of a pool's newest epoch.
#[must_use]
pub fn layout_head(pool: &PoolName) -> Vec<u8> {
    table(Table::LayoutHead).bytes(pool.as_str().as_bytes()).finish()
}

/// Key of a used join nonce.
#[must_use]
pub fn join(nonce: &[u8; 16]) -> Vec<u8> {
    table(Table::Join).fixed(nonce).finish()
}

/// Key of a node's binding.
#[must_use]
pub fn binding(pool: &PoolName, node: &NodeName) -> Vec<u8> {
    pool_and_node(Table::Binding, pool, node)
}

/// All bindings of a pool.
#[must_use]
pub fn bindings(pool: &PoolName) -> KeyRange {
    of_pool(Table::Binding, pool)
}

/// Key of a node's drain.
#[must_use]
pub fn drain(pool: &PoolName, node: &NodeName) -> Vec<u8> {
    pool_and_node(Table::Drain, pool, node)
}

/// All drains of a pool.
#[must_use]
pub fn drains(pool: &PoolName) -> KeyRange {
    of_pool(Table::Drain, pool)
}

fn pool_and_node(rows: Table, pool: &PoolName, node: &NodeName) -> Vec<u8> {
    table(rows).bytes(pool.as_str().as_bytes()).bytes(node.as_str().as_bytes()).finish()
}

fn of_pool(rows: Table, pool: &PoolName) -> KeyRange {
    KeyRange::prefix(table(rows).bytes(pool.as_str().as_bytes()).finish())
}

/// Reads the key of a row that is one node's of one pool.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_pool_and_node(key: &[u8], rows: Table) -> Result<(PoolName, NodeName), KeyError> {
    let mut key = KeyReader::new(key, rows)?;
    let names = (key.name()?, key.name()?);
    key.end()?;
    Ok(names)
}

/// Key of what a public key is bound to.
#[must_use]
pub fn peer(peer: &PeerKey) -> Vec<u8> {
    table(Table::Peer).fixed(&peer.0).finish()
}

/// Key of a volume that was given up.
#[must_use]
pub fn given_up(peer: &PeerKey) -> Vec<u8> {
    table(Table::GivenUp).fixed(&peer.0).finish()
}

/// Reads it back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_given_up(key: &[u8]) -> Result<PeerKey, KeyError> {
    let mut key = KeyReader::new(key, Table::GivenUp)?;
    let peer = PeerKey(key.fixed()?);
    key.end()?;
    Ok(peer)
}

/// Key of a peer's incarnation.
#[must_use]
pub fn peer_incarnation(peer: &PeerKey) -> Vec<u8> {
    table(Table::PeerIncarnation).fixed(&peer.0).finish()
}
