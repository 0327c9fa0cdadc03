//! The layout manager: takes the administrator's wishes, commits epochs once their members have joined, and tells the
//! members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::catalog::{CatalogError, CommitLayoutError};
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::Net;
use datamesh_mesh::offload;
use datamesh_placement::{LAYOUT_CONTEXT, Layout, LayoutError, SignedLayout};
use datamesh_seal::ClusterSigningKey;
use datamesh_settings::admin::PoolSpec;
use datamesh_shard::{NodeName, PeerKey, PoolName};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::pools::plan::{self, SpecError, Step};
use crate::pools::{Pool, Pools};

/// First byte of a signed layout as the catalog keeps it.
const STORED_VERSION: u8 = 1;
/// Patience with one member that is told a layout; it is told again later.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Members told at the same time.
const PUSHES_AT_ONCE: usize = 32;

/// Called with each committed layout: the mesh believes its members.
pub type OnLayout = Box<dyn Fn(&SignedLayout) + Send + Sync>;

/// Commits layouts, one change at a time.
pub(crate) struct LayoutManager {
    pub(crate) cluster: NodeName,
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) pools: Arc<Pools>,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) key: ClusterSigningKey,
    pub(crate) on_layout: OnLayout,
    /// Of a first layout, where it is not to follow from the number of members.
    pub(crate) partitions_log2: Option<u8>,
    /// Wakes the worker that advances pools.
    pub(crate) wake: Arc<Notify>,
    pub(crate) one: tokio::sync::Mutex<()>,
}

/// Why a pool's wish is not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutPoolError {
    /// It is no possible pool, or not what this one can become.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The catalog did not take it.
    #[error("cannot keep the pool's wish: {0}")]
    Keep(#[from] CommitLayoutError),
    /// It is kept, but its layout could not go on.
    #[error(transparent)]
    Advance(#[from] AdvanceError),
}

/// Why a pool's layout could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The catalog was not read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The catalog did not take the layout.
    #[error("cannot commit the layout: {0}")]
    Commit(#[from] CommitLayoutError),
    /// No table comes of it.
    #[error("no table can be computed from the layout: {0}")]
    Layout(#[from] LayoutError),
    /// It has no bytes.
    #[error("cannot encode the layout: {0}")]
    Encode(#[from] postcard::Error),
    /// The gateway is stopping.
    #[error("computing the table was interrupted")]
    Interrupted,
}

/// Why a layout of the catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadLayoutError {
    /// Written by a later version.
    #[error("a stored layout of version {0:?} is not known to this version")]
    Version(Option<u8>),
    /// Not a signed layout.
    #[error("a stored layout cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// Signed by another key.
    #[error("a stored layout of pool {0} is not signed by this cluster's key")]
    Signature(PoolName),
    /// No table comes of it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A signed layout as the catalog keeps it: version byte, then postcard.
pub(crate) fn encode_stored(signed: &SignedLayout) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(signed, vec![STORED_VERSION])
}

/// Reads it back.
pub(crate) fn decode_stored(bytes: &[u8]) -> Result<SignedLayout, LoadLayoutError> {
    match bytes.split_first() {
        Some((&STORED_VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
        first => Err(LoadLayoutError::Version(first.map(|(version, _)| *version))),
    }
}

impl LayoutManager {
    /// Fills the pools from the catalog.
    pub(crate) async fn load(&self) -> Result<(), LoadLayoutError> {
        for (name, spec) in self.catalog.pools().await? {
            let mut pool = Pool::new(spec);
            for (_, bytes) in self.catalog.layouts(&name).await? {
                let signed = decode_stored(&bytes)?;
                datamesh_seal::verify(&self.key.public(), LAYOUT_CONTEXT, &signed.bytes, &signed.signature)
                    .map_err(|_| LoadLayoutError::Signature(name.clone()))?;
                pool.add(Layout::decode(&signed.bytes)?, signed)?;
            }
            if let Some(signed) = &pool.signed {
                (self.on_layout)(signed);
            }
            self.pools.put(name, pool);
        }
        Ok(())
    }

    /// Keeps the administrator's wish, and goes as far towards it as the joined members allow.
    pub(crate) async fn put_pool(&self, name: &PoolName, spec: PoolSpec) -> Result<(), PutPoolError> {
        let one = self.one.lock().await;
        let known = self.pools.get(name);
        plan::check(&spec, known.as_ref().and_then(|pool| pool.layout()))?;
        if known.as_ref().is_none_or(|pool| pool.spec != spec) {
            self.catalog.put_pool(name, &spec).await?;
            let mut pool = known.map_or_else(|| Pool::new(spec.clone()), |pool| Pool::clone(&pool));
            pool.spec = spec;
            self.pools.put(name.clone(), pool);
            tracing::info!(pool = %name, "pool changed by the administrator");
        }
        self.advance(name).await?;
        drop(one);
        Ok(())
    }

    /// Commits the next epoch of every pool that is ready for one.
    pub(crate) async fn advance_all(&self) -> Result<(), AdvanceError> {
        let one = self.one.lock().await;
        for (name, _) in self.pools.all() {
            self.advance(&name).await?;
        }
        drop(one);
        Ok(())
    }

    async fn advance(&self, name: &PoolName) -> Result<(), AdvanceError> {
        let Some(pool) = self.pools.get(name) else { return Ok(()) };
        let joined: BTreeMap<NodeName, PeerKey> = self.catalog.bindings(name).await?.into_iter().collect();
        let Step::Commit(mut layout) = plan::step(&self.cluster, name, &pool.spec, &joined, pool.layout())
        else {
            return Ok(());
        };
        if let Some(wanted) = self.partitions_log2.filter(|_| pool.layout().is_none()) {
            layout.partitions_log2 = wanted;
        }
        let bytes = layout.encode();
        let signature = self.key.sign(LAYOUT_CONTEXT, &bytes);
        let signed = SignedLayout { bytes, signature };
        let (epoch, previous) = (layout.epoch, pool.layout().map(|current| current.epoch));
        let (next, stored) = (Pool::clone(&pool), encode_stored(&signed)?);
        // Before the commit: what no table can be computed from must not be committed.
        let next = with_layout(next, layout, signed.clone()).await?;
        self.catalog.commit_layout(name, epoch, previous, stored).await?;
        tracing::info!(pool = %name, %epoch, members = pool.spec.members.len(), "layout committed");
        (self.on_layout)(&signed);
        if previous.is_none() {
            // Members take no shards before they know a first layout; later ones they learn by the puts themselves.
            self.push(&next).await;
            self.pools.put(name.clone(), next);
        } else {
            self.pools.put(name.clone(), next.clone());
            self.push(&next).await;
        }
        Ok(())
    }

    /// Tells all members the newest layout.
    async fn push(&self, pool: &Pool) {
        let Some(layout) = pool.layout() else { return };
        let peers = layout.members.iter().map(|member| member.peer);
        futures::stream::iter(peers)
            .for_each_concurrent(PUSHES_AT_ONCE, |peer| async move { self.push_to(pool, &peer).await })
            .await;
    }

    /// Tells one member the newest layout.
    pub(crate) async fn push_to(&self, pool: &Pool, peer: &PeerKey) {
        let Some(signed) = pool.signed.clone() else { return };
        match self.net.request(peer, Request::Layout(signed), None, PUSH_TIMEOUT).await {
            Ok((Response::Done | Response::Refused(Refusal::StaleEpoch { .. }), _)) => {}
            Ok((Response::Refused(refusal), _)) => {
                tracing::warn!(%peer, %refusal, "a member refused its layout")
            }
            Ok(_) => tracing::warn!(%peer, "a member answered its layout with something else"),
            Err(error) => tracing::debug!(%peer, %error, "a member was not told its layout"),
        }
    }
}

async fn with_layout(mut pool: Pool, layout: Layout, signed: SignedLayout) -> Result<Pool, AdvanceError> {
    let computed = offload(move || pool.add(layout, signed).map(|()| pool)).await;
    Ok(computed.ok_or(AdvanceError::Interrupted)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_stored_layout_version_1() {
        let golden = include_str!("../tests/golden/stored-layout-v1.hex");
        let signed = SignedLayout { bytes: vec![1, 2, 3], signature: [7; 64] };
        assert_eq!(hex::encode(encode_stored(&signed).unwrap()), golden.trim());
        assert_eq!(decode_stored(&hex::decode(golden.trim()).unwrap()).unwrap(), signed);
        assert!(matches!(decode_stored(&[2, 0]), Err(LoadLayoutError::Version(Some(2)))));
        assert!(matches!(decode_stored(&[]), Err(LoadLayoutError::Version(None))));
    }
}
