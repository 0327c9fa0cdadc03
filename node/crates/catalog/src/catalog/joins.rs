use datamesh_shard::{Incarnation, NodeName, PeerKey, PoolName};

use super::faults::{ATTEMPTS_MAX, find, put, whole};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace};
use crate::record::{self, BindingRecord, GivenUpRecord, IncarnationRecord, JoinRecord, PeerRecord};

/// Why a join was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The token was used already, by another node or key.
    #[error("this join token was used by another node")]
    UsedByOther,
    /// The node's name has another key. (A node that lost its volume: unbind it first.)
    #[error("node {node} of pool {pool} has joined with another key")]
    NodeBoundToOther {
        /// The pool.
        pool: PoolName,
        /// The node.
        node: NodeName,
    },
    /// The key has another name.
    #[error("this key has joined as node {node} of pool {pool}")]
    PeerBoundToOther {
        /// The pool.
        pool: PoolName,
        /// The node.
        node: NodeName,
    },
    /// The key's volume was given up for lost, and may hold shards of what was deleted since.
    #[error(
        "the volume with this key was given up for lost as node {node} of pool {pool}, and what was deleted since may still \
         be on it: wipe the volume, and the node joins as a new one"
    )]
    GivenUp {
        /// The pool.
        pool: PoolName,
        /// The node it was.
        node: NodeName,
    },
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Why a node's incarnation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncarnationError {
    /// A newer one was seen: this is an older process on a volume that another one opened since.
    #[error("incarnation {known} of this node was seen already")]
    Lower {
        /// The highest seen.
        known: Incarnation,
    },
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl<K: Keyspace> Catalog<K> {
    /// Uses up a join token: binds node and key to one another, once for all. The same again is fine.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind_join(
        &self,
        nonce: [u8; 16],
        node: &NodeName,
        pool: &PoolName,
        peer: PeerKey,
    ) -> Result<(), BindError> {
        let join = JoinRecord { pool: pool.clone(), node: node.clone(), peer };
        for _ in 0..ATTEMPTS_MAX {
            let batch = self.plan_bind(&nonce, &join).await?;
            if batch.writes.is_empty() || self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    async fn plan_bind(&self, nonce: &[u8; 16], join: &JoinRecord) -> Result<Batch, BindError> {
        let JoinRecord { pool, node, peer } = join;
        let (join_key, binding_key, peer_key) =
            (keys::join(nonce), keys::binding(pool, node), keys::peer(peer));
        let view = self.view().await?;
        let used = find::<JoinRecord>(&view, &join_key).await?;
        let binding = find::<BindingRecord>(&view, &binding_key).await?;
        let name = find::<PeerRecord>(&view, &peer_key).await?;
        let given_up_key = keys::given_up(peer);
        if let Some(GivenUpRecord { pool, node, .. }) = find(&view, &given_up_key).await?.record {
            return Err(BindError::GivenUp { pool, node });
        }
        if used.record.as_ref().is_some_and(|used| used != join) {
            return Err(BindError::UsedByOther);
        }
        if binding.record.is_some_and(|bound| bound.peer != *peer) {
            return Err(BindError::NodeBoundToOther { pool: pool.clone(), node: node.clone() });
        }
        if let Some(PeerRecord { pool: bound_pool, node: bound_node }) = name.record
            && (bound_pool != *pool || bound_node != *node)
        {
            return Err(BindError::PeerBoundToOther { pool: bound_pool, node: bound_node });
        }
        let mut batch = Batch::new();
        if used.version.is_some() && binding.version.is_some() && name.version.is_some() {
            return Ok(batch);
        }
        batch.expect(given_up_key, None);
        batch.expect(join_key.clone(), used.version);
        batch.expect(binding_key.clone(), binding.version);
        batch.expect(peer_key.clone(), name.version);
        put(&mut batch, join_key, join)?;
        put(&mut batch, binding_key, &BindingRecord { peer: *peer })?;
        put(&mut batch, peer_key, &PeerRecord { pool: pool.clone(), node: node.clone() })?;
        Ok(batch)
    }

    /// Nodes of a pool that have joined, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn bindings(&self, pool: &PoolName) -> Result<Vec<(NodeName, PeerKey)>, CatalogError> {
        let rows = whole(&self.view().await?, keys::bindings(pool)).await?.rows;
        let binding = |row: &crate::keyspace::Row| {
            let (_, node) = keys::read_pool_and_node(&row.key, Table::Binding)?;
            Ok((node, record::decode::<BindingRecord>(&row.value)?.peer))
        };
        rows.iter().map(binding).collect()
    }

    /// Frees a node's name from its key and its join token from its use: for a node that left. It joins anew with that token
    /// or another. Gives whether it was bound.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn unbind(&self, pool: &PoolName, node: &NodeName) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some((_, batch)) = self.plan_unbind(pool, node).await? else { return Ok(false) };
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// What frees a node's name, and the key it is freed from.
    pub(super) async fn plan_unbind(
        &self,
        pool: &PoolName,
        node: &NodeName,
    ) -> Result<Option<(PeerKey, Batch)>, CatalogError> {
        let (key, view) = (keys::binding(pool, node), self.view().await?);
        let found = find::<BindingRecord>(&view, &key).await?;
        let Some(BindingRecord { peer }) = found.record else { return Ok(None) };
        let mut batch = Batch::new();
        for row in whole(&view, keys::all(Table::Join)).await?.rows {
            let join = record::decode::<JoinRecord>(&row.value)?;
            if join.pool == *pool && join.node == *node {
                batch.delete(row.key);
            }
        }
        batch.expect(key.clone(), found.version);
        batch.delete(key);
        batch.delete(keys::peer(&peer));
        Ok(Some((peer, batch)))
    }

    /// Takes note of a node's incarnation; the highest one counts.
    ///
    /// # Errors
    /// `Lower` when a higher one was seen.
    pub async fn observe_incarnation(
        &self,
        peer: PeerKey,
        incarnation: Incarnation,
    ) -> Result<(), IncarnationError> {
        let key = keys::peer_incarnation(&peer);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<IncarnationRecord>(&self.view().await?, &key).await?;
            match found.record.map(|seen| seen.incarnation) {
                Some(known) if known > incarnation => return Err(IncarnationError::Lower { known }),
                Some(known) if known == incarnation => return Ok(()),
                _ => {}
            }
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            put(&mut batch, key.clone(), &IncarnationRecord { incarnation })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }
}
