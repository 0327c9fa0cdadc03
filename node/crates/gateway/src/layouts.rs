//! The layout manager: takes the administrator's wishes, commits epochs once their members have joined, and tells the
//! members.

mod errors;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::catalog::{CatalogError, CommitLayoutError, ProfileChange};
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::Net;
use datamesh_mesh::offload;
use datamesh_placement::{LAYOUT_CONTEXT, Layout, SignedLayout, Table};

use datamesh_seal::ClusterSigningKey;
use datamesh_settings::admin::{MemberState, PoolSpec};
use datamesh_shard::{ErasureProfile, NodeName, PeerKey, PoolName};
use futures::StreamExt;
use tokio::sync::{MutexGuard, Notify};

pub use errors::{AdvanceError, LoadLayoutError, NodeError, PutPoolError};

use crate::pools::plan::{self, Step, Wish};
use crate::pools::{Pool, Pools, REPORT_AGE_MAX};

/// First byte of a signed layout as the catalog keeps it.
const STORED_VERSION: u8 = 1;
/// Patience with one member that is told a layout; it is told again later.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Members told at the same time.
const PUSHES_AT_ONCE: usize = 32;

/// Called with each committed layout: the mesh believes its members.
pub type OnLayout = Box<dyn Fn(&SignedLayout) + Send + Sync>;

/// Called with the key of each volume that was given up for lost, also of those before the start.
pub type OnGivenUp = Box<dyn Fn(PeerKey) + Send + Sync>;

/// Commits layouts, one change at a time.
pub(crate) struct LayoutManager {
    pub(crate) cluster: NodeName,
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) pools: Arc<Pools>,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) key: ClusterSigningKey,
    pub(crate) on_layout: OnLayout,
    pub(crate) on_given_up: OnGivenUp,
    /// Of every pool, where it is not to follow from the number of its members.
    pub(crate) partitions_log2: Option<u8>,
    /// Wakes the worker that advances pools.
    pub(crate) wake: Arc<Notify>,
    pub(crate) one: tokio::sync::Mutex<()>,
}

/// A signed layout as the catalog keeps it: version byte, then postcard.
pub(crate) fn encode_stored(signed: &SignedLayout) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(signed, vec![STORED_VERSION])
}

/// Reads it back.
pub(crate) fn decode_stored(bytes: &[u8]) -> Result<SignedLayout, LoadLayoutError> {
    match bytes.split_first() {
        Some((&STORED_VERSION, rest)) => match postcard::take_from_bytes(rest)? {
            (signed, []) => Ok(signed),
            (_, left) => Err(LoadLayoutError::Trailing(left.len())),
        },
        first => Err(LoadLayoutError::Version(first.map(|(version, _)| *version))),
    }
}

impl LayoutManager {
    /// Takes note of what stands in the catalog: of all of it at the start, later of what other gateways committed.
    pub(crate) async fn load(&self) -> Result<(), LoadLayoutError> {
        self.catalog.given_up().await?.into_iter().for_each(|peer| (self.on_given_up)(peer));
        for (name, spec) in self.catalog.pools().await? {
            let drains = self.catalog.drains(&name).await?.into_iter().collect();
            let newest = self.catalog.newest_epoch(&name).await?;
            let known = self.pools.get(&name);
            let epoch = known.as_ref().and_then(|pool| pool.layout()).map(|layout| layout.epoch);
            if known.as_ref().is_some_and(|pool| pool.spec == spec && pool.drains == drains)
                && epoch == newest
            {
                continue;
            }
            let mut pool = known.map_or_else(|| Pool::new(spec.clone()), |pool| Pool::clone(&pool));
            (pool.spec, pool.drains) = (spec, drains);
            if epoch < newest {
                pool = self.with_layouts(&name, pool).await?;
                pool.signed.iter().for_each(|signed| (self.on_layout)(signed));
            }
            self.pools.put(name, pool);
        }
        Ok(())
    }

    /// The same, while others may change something here.
    pub(crate) async fn follow(&self) -> Result<(), LoadLayoutError> {
        self.newest().await.map(drop)
    }

    /// The turn to change something, once it is known what others did before.
    async fn newest(&self) -> Result<MutexGuard<'_, ()>, LoadLayoutError> {
        let one = self.one.lock().await;
        self.load().await?;
        Ok(one)
    }

    /// A pool with those of its layouts that are not known yet.
    async fn with_layouts(&self, name: &PoolName, mut pool: Pool) -> Result<Pool, LoadLayoutError> {
        let mut stored = self.catalog.layouts(name).await?;
        stored.retain(|(epoch, _)| !pool.tables.contains_key(epoch));
        for (_, bytes) in stored {
            let signed = decode_stored(&bytes)?;
            datamesh_seal::verify(&self.key.public(), LAYOUT_CONTEXT, &signed.bytes, &signed.signature)
                .map_err(|_| LoadLayoutError::Signature(name.clone()))?;
            pool.add(Layout::decode(&signed.bytes)?, signed)?;
        }
        Ok(pool)
    }

    /// Keeps the administrator's wish, and goes as far towards it as the joined members allow.
    pub(crate) async fn put_pool(&self, name: &PoolName, spec: PoolSpec) -> Result<(), PutPoolError> {
        let one = self.newest().await?;
        let known = self.pools.get(name);
        let drains = known.as_ref().map(|pool| pool.drains.clone()).unwrap_or_default();
        let layout = known.as_ref().and_then(|pool| pool.layout());
        let empty = self.empty(name, layout, &spec).await.map_err(AdvanceError::from)?;
        plan::check(&spec, &drains, (layout, &empty))?;
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

    /// Has a member give its shards away.
    pub(crate) async fn drain(
        &self,
        name: &PoolName,
        node: &NodeName,
        now_unix_ms: u64,
    ) -> Result<(), NodeError> {
        let one = self.newest().await?;
        let mut pool = Pool::clone(&*self.pool_of(name, node)?);
        pool.drains.insert(node.clone());
        plan::check(&pool.spec, &pool.drains, (pool.layout(), &BTreeSet::new()))?;
        self.catalog.put_drain(name, node, now_unix_ms).await?;
        tracing::info!(pool = %name, %node, "drained by the administrator");
        self.pools.put(name.clone(), pool);
        self.advance(name).await?;
        drop(one);
        Ok(())
    }

    /// Calls that off, wherever it stands.
    pub(crate) async fn undrain(&self, name: &PoolName, node: &NodeName) -> Result<(), NodeError> {
        let one = self.newest().await?;
        let mut pool = Pool::clone(&*self.pool_of(name, node)?);
        pool.drains.remove(node);
        self.catalog.delete_drain(name, node).await?;
        tracing::info!(pool = %name, %node, "drain called off by the administrator");
        self.pools.put(name.clone(), pool);
        self.advance(name).await?;
        drop(one);
        Ok(())
    }

    /// The pool, if it wants that node.
    fn pool_of(&self, name: &PoolName, node: &NodeName) -> Result<Arc<Pool>, NodeError> {
        let pool = self.pools.get(name).ok_or_else(|| NodeError::NoPool(name.clone()))?;
        match pool.spec.member(node) {
            Some(_) => Ok(pool),
            None => Err(NodeError::NoMember { pool: name.clone(), node: node.clone() }),
        }
    }

    /// Frees the name of a node whose volume is lost for good: whoever joins by it next takes its place, and if it shall
    /// drain or is not wanted any more, it is left out. With what is on it the volume does not come back: once no layout lists
    /// it, deletes are not kept for it.
    pub(crate) async fn replace(
        &self,
        name: &PoolName,
        node: &NodeName,
        now_unix_ms: u64,
    ) -> Result<(), NodeError> {
        let one = self.newest().await?;
        let pool = self.pools.get(name).ok_or_else(|| NodeError::NoPool(name.clone()))?;
        let is_left = pool.layout().is_some_and(|layout| layout.member(node).is_some());
        if !is_left && pool.spec.member(node).is_none() {
            return Err(NodeError::NoMember { pool: name.clone(), node: node.clone() });
        }
        let bindings = self.catalog.bindings(name).await?;
        let Some((_, peer)) = bindings.into_iter().find(|(known, _)| known == node) else {
            // Asked once more.
            return Ok(());
        };
        let age = self.pools.report(&peer).map(|seen| seen.at.elapsed());
        if self.pools.state(&peer) != MemberState::Down || age.is_some_and(|age| age < REPORT_AGE_MAX) {
            return Err(NodeError::Answers { pool: name.clone(), node: node.clone() });
        }
        self.catalog.give_up(name, node, now_unix_ms).await?;
        (self.on_given_up)(peer);
        tracing::warn!(pool = %name, %node, %peer, "the node's volume is given up by the administrator");
        drop(pool);
        self.advance(name).await?;
        drop(one);
        Ok(())
    }

    /// Commits the next epoch of every pool that is ready for one.
    pub(crate) async fn advance_all(&self) -> Result<(), AdvanceError> {
        let one = self.one.lock().await;
        let mut first = Ok(());
        for (name, _) in self.pools.all() {
            // One pool that cannot go on does not keep the others.
            let advanced = self.advance(&name).await;
            first = first.and(advanced);
        }
        drop(one);
        first
    }

    async fn advance(&self, name: &PoolName) -> Result<(), AdvanceError> {
        let mut joined: BTreeMap<NodeName, PeerKey> =
            self.catalog.bindings(name).await?.into_iter().collect();
        // After who has joined: whoever is let in is wanted by what was committed before.
        self.load().await?;
        let Some(pool) = self.pools.get(name) else { return Ok(()) };
        let pool = self.without_strangers(name, pool, &mut joined).await?;
        let drained = self.pools.drained(&pool);
        let lost = self.lost(&pool, &joined);
        let empty = self.empty(name, pool.layout(), &pool.spec).await?;
        let wish = Wish {
            spec: &pool.spec,
            drains: &pool.drains,
            joined: &joined,
            drained: &drained,
            lost: &lost,
            empty: &empty,
            partitions_log2: self.partitions_log2,
        };
        let step = plan::step(&self.cluster, name, &wish, pool.layout());
        let Step::Commit(layout) = step else { return Ok(()) };
        let layout = follow(pool.newest().cloned(), layout).await?;
        let bytes = layout.encode();
        let signature = self.key.sign(LAYOUT_CONTEXT, &bytes);
        let signed = SignedLayout { bytes, signature };
        let partitions = layout.partitions();
        let (epoch, previous) = (layout.epoch, pool.layout().map(|current| current.epoch));
        let (next, stored) = (Pool::clone(&pool), encode_stored(&signed)?);
        // Before the commit: what nobody can read, or compute a table from, must not be committed.
        Layout::decode(&signed.bytes)?;
        let profiles = change_of(pool.layout(), &layout);
        let next = with_layout(next, layout, signed.clone()).await?;
        if let Err(error) = self.catalog.commit_layout(name, epoch, previous, stored, &profiles).await {
            if let CommitLayoutError::InUse(profile) = error {
                // Something was written in it a moment ago: it stays, and is asked for anew.
                tracing::debug!(pool = %name, %profile, "a profile has segments again");
                return Ok(());
            }
            // It may have been committed by a request that was cut off before it could take note.
            if matches!(error, CommitLayoutError::Conflict { .. })
                && let Err(error) = self.load().await
            {
                tracing::error!(%error, "layouts are not read anew");
            }
            return Err(error.into());
        }
        tracing::info!(pool = %name, %epoch, members = pool.spec.members.len(), partitions, "layout committed");
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

    /// Profiles of a pool's layout of which the catalog has nothing any more. Asked only where one might go.
    async fn empty(
        &self,
        name: &PoolName,
        layout: Option<&Layout>,
        spec: &PoolSpec,
    ) -> Result<BTreeSet<ErasureProfile>, CatalogError> {
        let mut empty = BTreeSet::new();
        let known = layout.into_iter().flat_map(Layout::profiles);
        for profile in known.filter(|profile| *profile != spec.erasure) {
            if self.catalog.profile_usage(name, profile).await?.segments == 0 {
                empty.insert(profile);
            }
        }
        Ok(empty)
    }

    /// Members whose name was freed from their key by [`LayoutManager::replace`], unless they answer all the same: whoever
    /// does has what others may need.
    fn lost(&self, pool: &Pool, joined: &BTreeMap<NodeName, PeerKey>) -> BTreeSet<NodeName> {
        let members = pool.layout().map_or(&[][..], |layout| &layout.members).iter();
        members
            .filter(|member| joined.get(&member.node) != Some(&member.peer))
            .filter(|member| self.pools.state(&member.peer) == MemberState::Down)
            .map(|member| member.node.clone())
            .collect()
    }

    /// Forgets nodes that are neither wanted nor in the layout any more: another may come by such a name.
    async fn without_strangers(
        &self,
        name: &PoolName,
        pool: Arc<Pool>,
        joined: &mut BTreeMap<NodeName, PeerKey>,
    ) -> Result<Arc<Pool>, CatalogError> {
        let is_known = |node: &NodeName| {
            pool.spec.member(node).is_some()
                || pool.layout().is_some_and(|layout| layout.member(node).is_some())
        };
        for (node, _) in joined.extract_if(.., |node, _| !is_known(node)) {
            self.catalog.unbind(name, &node).await?;
            tracing::info!(pool = %name, %node, "a node is no member any more");
        }
        let (kept, gone): (BTreeSet<_>, BTreeSet<_>) = pool.drains.iter().cloned().partition(is_known);
        if gone.is_empty() {
            return Ok(pool);
        }
        for node in &gone {
            self.catalog.delete_drain(name, node).await?;
        }
        let pool = Pool { drains: kept, ..Pool::clone(&pool) };
        self.pools.put(name.clone(), pool.clone());
        Ok(Arc::new(pool))
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

/// Profiles that a layout has rows for, and those that it has none for any more.
fn change_of(before: Option<&Layout>, layout: &Layout) -> ProfileChange {
    let open: Vec<_> = layout.profiles().collect();
    let closed = before.into_iter().flat_map(Layout::profiles).filter(|profile| !open.contains(profile));
    ProfileChange { closed: closed.collect(), open }
}

/// A layout with its holders: as few shards move as can be.
async fn follow(before: Option<Arc<Table>>, layout: Layout) -> Result<Layout, AdvanceError> {
    let Some(before) = before else { return Ok(layout) };
    let followed = offload(move || before.followed_by(layout)).await;
    Ok(followed.ok_or(AdvanceError::Interrupted)??)
}

async fn with_layout(mut pool: Pool, layout: Layout, signed: SignedLayout) -> Result<Pool, AdvanceError> {
    let computed = offload(move || pool.add(layout, signed).map(|()| pool)).await;
    Ok(computed.ok_or(AdvanceError::Interrupted)??)
}
