//! The newest layout of each pool.

use std::collections::HashMap;
use std::sync::Arc;

use datamesh_placement::{LAYOUT_CONTEXT, Layout, LayoutError, SignedLayout};
use datamesh_seal::BadSignature;
use datamesh_shard::{Epoch, NodeName, PeerKey, PoolName};

/// Pools whose layouts are kept at most.
const POOLS_MAX: usize = 256;

/// What a layout was to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Newer than what was known: known now.
    Newer,
    /// The known one itself.
    Known,
}

/// Why a layout is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LayoutRefused {
    /// Not by the cluster's key.
    #[error("layout: {0}")]
    Signature(#[from] BadSignature),
    /// Signed, but not to be read by this version.
    #[error("layout: {0}")]
    Layout(#[from] LayoutError),
    /// Of another cluster under the same key.
    #[error("the layout is of cluster {0}")]
    OtherCluster(NodeName),
    /// Older than the known one.
    #[error("layout of epoch {offered} where {known} is known")]
    Older {
        /// Its epoch.
        offered: Epoch,
        /// The known one's.
        known: Epoch,
    },
    /// Two layouts of one epoch: the catalog's compare-and-set was broken.
    #[error("another layout of the same epoch {0} is known")]
    Fork(Epoch),
    /// More pools than are kept.
    #[error("more than {POOLS_MAX} pools")]
    Pools,
}

pub(super) struct Known {
    pub(super) layout: Arc<Layout>,
    pub(super) signed: Arc<SignedLayout>,
}

#[derive(Default)]
pub(super) struct Layouts {
    pools: HashMap<PoolName, Known>,
    members: HashMap<PeerKey, PoolName>,
}

/// Proves and reads a layout.
pub(super) fn check(
    cluster: &NodeName,
    key: &PeerKey,
    signed: &SignedLayout,
) -> Result<Layout, LayoutRefused> {
    datamesh_seal::verify(key, LAYOUT_CONTEXT, &signed.bytes, &signed.signature)?;
    let layout = Layout::decode(&signed.bytes)?;
    if layout.cluster != *cluster {
        return Err(LayoutRefused::OtherCluster(layout.cluster));
    }
    Ok(layout)
}

impl Layouts {
    pub(super) fn offer(&mut self, new: Known) -> Result<Learned, LayoutRefused> {
        let pool = new.layout.pool.clone();
        let (offered, full) = (new.layout.epoch, self.pools.len() >= POOLS_MAX);
        match self.pools.get(&pool) {
            None if full => return Err(LayoutRefused::Pools),
            Some(known) if known.layout.epoch > offered => {
                return Err(LayoutRefused::Older { offered, known: known.layout.epoch });
            }
            Some(known) if known.layout.epoch == offered => {
                let same = known.signed.bytes == new.signed.bytes;
                return if same { Ok(Learned::Known) } else { Err(LayoutRefused::Fork(offered)) };
            }
            _ => {}
        }
        self.members.retain(|_, of| *of != pool);
        self.members.extend(new.layout.members.iter().map(|member| (member.peer, pool.clone())));
        self.pools.insert(pool, new);
        Ok(Learned::Newer)
    }

    pub(super) fn get(&self, pool: &PoolName) -> Option<&Known> {
        self.pools.get(pool)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Known> {
        self.pools.values()
    }

    pub(super) fn pool_of(&self, peer: &PeerKey) -> Option<PoolName> {
        self.members.get(peer).cloned()
    }

    pub(super) fn members(&self) -> Vec<PeerKey> {
        self.members.keys().copied().collect()
    }
}
