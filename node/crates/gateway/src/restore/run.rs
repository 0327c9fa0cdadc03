//! Asks nodes for backups, and makes a catalog of the newest that can be read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::{Anchor, AnchorPart, Restore, RestoreError as RowsError};
use datamesh_catalog::catalog::{CommitLayoutError, OpenError, ProfileChange};
use datamesh_catalog::engine::{AnyKeyspace, EngineError, MemoryKeyspace, RocksKeyspace, RocksOptions};
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog, record};
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;
use datamesh_placement::{LAYOUT_CONTEXT, Layout, SignedLayout};
use datamesh_seal::ClusterSecret;
use datamesh_settings::admin::{DesiredMember, PoolSpec, RestoredStatus};
use datamesh_shard::{Incarnation, NodeName, PeerKey};
use futures::StreamExt;

use super::mark;
use super::told::{Told, anchors, layouts};
use super::wish::Wish;
use crate::cache::SegmentCache;
use crate::layouts::encode_stored;
use crate::metrics::Metrics;
use crate::pipeline::{Budget, Context, PieceError, piece, segments_of};
use crate::pools::{Pool, Pools};
use crate::server::CATALOG_DIR;
use crate::surroundings::Surroundings;

/// Folder of the catalog until all of it is there.
const DIR: &str = "catalog.restoring";
/// Patience with a node's answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Nodes asked at the same time.
const ASKED_AT_ONCE: usize = 32;
/// Nothing is put under this context.
const NO_LEASE: Duration = Duration::from_secs(60);

/// Why there is no catalog out of a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// None of those that the nodes keep, as far as they are of the time that is asked for.
    #[error("none of the {tried} backups that could be is whole; the last: {last}")]
    None {
        /// How many were tried.
        tried: usize,
        /// What was wrong with the last.
        last: String,
    },
    /// A time from which what was deleted since is not there any more.
    #[error(
        "the backups reach back to {earliest}: what was deleted {retention_ms} ms before the newest one may be gone \
         (deletedRetentionSeconds); ask for a later time"
    )]
    TooOld {
        /// The earliest time that can be asked for.
        earliest: String,
        /// The retention.
        retention_ms: u64,
    },
    /// The volume.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The engine did not open on it, or was cut off.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The catalog did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A layout that nodes know was not taken over.
    #[error("a layout that nodes know: {0}")]
    Layout(String),
}

/// Why one backup does not come to a catalog; another may.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("no node gives its anchor, or it does not prove itself")]
    Anchor,
    #[error("it begins after the time that is asked for")]
    Later,
    #[error("a piece cannot be read: {0}")]
    Piece(#[from] PieceError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Not the backup's fault.
    #[error(transparent)]
    Here(#[from] RestoreError),
}

/// A restore.
pub(crate) struct Restoring<'a> {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) cluster: NodeName,
    pub(crate) buffer_bytes: u64,
    pub(crate) options: CatalogOptions,
    /// The gateway's data folder.
    pub(crate) dir: &'a Path,
    pub(crate) wish: Wish,
}

impl Restoring<'_> {
    /// What these nodes say; those that do not answer are left out.
    pub(crate) async fn ask(&self, nodes: Vec<PeerKey>) -> BTreeMap<PeerKey, Told> {
        let asking =
            futures::stream::iter(nodes).map(|peer| async move { Some((peer, self.ask_one(&peer).await?)) });
        asking.buffer_unordered(ASKED_AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn ask_one(&self, peer: &PeerKey) -> Option<Told> {
        let asked = |request| self.net.request(peer, request, None, TIMEOUT);
        let anchors = match asked(Request::Anchors).await {
            Ok((Response::Anchors(anchors), _)) => anchors,
            answer => return told_nothing(peer, &answer),
        };
        let signed = match asked(Request::NewestLayout).await {
            Ok((Response::Layout(signed), _)) => signed,
            answer => return told_nothing(peer, &answer),
        };
        let layout = signed.and_then(|signed| Some((self.proven(&signed)?, signed)));
        Some(Told { anchors, layout })
    }

    /// The layout, if the cluster's key has signed it.
    fn proven(&self, signed: &SignedLayout) -> Option<Layout> {
        let key = self.secret.signing_key().public();
        datamesh_seal::verify(&key, LAYOUT_CONTEXT, &signed.bytes, &signed.signature).ok()?;
        Layout::decode(&signed.bytes).ok().filter(|layout| layout.cluster == self.cluster)
    }

    /// Makes the catalog, of the newest backup that is as wanted and can be read.
    pub(crate) async fn restore(
        &self,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<RestoredStatus, RestoreError> {
        let all = anchors(told);
        let newest = all.first().map(|(id, _)| *id);
        let (mut tried, mut last) = (0, String::from("no node keeps any"));
        for (id, holders) in &all {
            match self.one((*id, holders), newest.unwrap_or(*id), told).await {
                Ok(restored) => return Ok(restored),
                Err(Unread::Here(error)) => return Err(error),
                Err(Unread::Later) => {}
                Err(error) => {
                    tracing::warn!(?id, %error, "a backup of the catalog cannot be restored; the one before is tried");
                    (tried, last) = (tried + 1, error.to_string());
                }
            }
        }
        Err(RestoreError::None { tried, last })
    }

    async fn one(
        &self,
        (id, holders): (AnchorId, &[PeerKey]),
        newest: AnchorId,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<RestoredStatus, Unread> {
        let anchor = self.anchor(&id, holders).await.ok_or(Unread::Anchor)?;
        self.check_reach(&anchor, newest)?;
        let parts = self.wish.parts(&anchor);
        let revision = parts.last().ok_or(Unread::Later)?.revision;
        // Above all that the lost catalog may have been opened as since.
        let now = self.surroundings.now_unix_ms();
        let above = newest.incarnation.next().max(Incarnation(now / 1000));
        let keyspace = self.rows(parts, told, above).await?;
        self.take_layouts(keyspace, told).await?;
        let until_unix_ms = self.wish.at_unix_ms(&anchor, parts);
        let restored = RestoredStatus { until_unix_ms, at_unix_ms: now, revision };
        self.set_in_place(&restored)?;
        tracing::warn!(
            until = %time(until_unix_ms),
            age_seconds = now.saturating_sub(until_unix_ms) / 1000,
            written_by = %anchor.gateway,
            "the catalog was restored from a backup: whatever was acknowledged after that time is lost"
        );
        Ok(restored)
    }

    /// An anchor that proves itself, of any who keep it.
    async fn anchor(&self, id: &AnchorId, holders: &[PeerKey]) -> Option<Anchor> {
        for peer in holders {
            let answer = self.net.request(peer, Request::Anchor { id: *id }, None, TIMEOUT).await;
            let Ok((Response::Anchor(sealed), _)) = answer else { continue };
            let opened = self.secret.open_anchor(&id.binding(), &sealed);
            let read = opened.ok().and_then(|plain| record::decode::<Anchor>(&plain).ok());
            match read.filter(|anchor| anchor.cluster == self.cluster) {
                Some(anchor) => return Some(anchor),
                None => tracing::warn!(%peer, ?id, "a node gives a damaged anchor"),
            }
        }
        None
    }

    /// Whether what was deleted since the wanted time is still there.
    fn check_reach(&self, anchor: &Anchor, newest: AnchorId) -> Result<(), RestoreError> {
        let Wish::Until(wanted) = self.wish else { return Ok(()) };
        let earliest = newest.at_unix_ms.saturating_sub(anchor.retention_ms);
        match wanted < earliest {
            true => Err(RestoreError::TooOld { earliest: time(earliest), retention_ms: anchor.retention_ms }),
            false => Ok(()),
        }
    }

    /// Writes the rows into a folder beside.
    async fn rows(
        &self,
        parts: &[AnchorPart],
        told: &BTreeMap<PeerKey, Told>,
        above: Incarnation,
    ) -> Result<AnyKeyspace, Unread> {
        let context = self.context(told).await?;
        let dir = self.dir.join(DIR);
        let opening = tokio::task::spawn_blocking(move || {
            remove(&dir)?;
            Ok::<_, RestoreError>(RocksKeyspace::open(&dir, RocksOptions::default())?)
        });
        let keyspace = opening.await.map_err(|_| RestoreError::Open(OpenError::Cut))??;
        let restore = Restore::into_empty(AnyKeyspace::from(keyspace)).await?;
        for chunk in parts.iter().flat_map(|part| &part.chunks) {
            for (mut reference, secret) in segments_of(chunk).map_err(PieceError::from)? {
                // No earlier layout is known here. Who it does not name is asked after that.
                let pool = context.pools.get(&reference.pool);
                let newest = pool.as_ref().and_then(|pool| pool.layout()).map(|layout| layout.epoch);
                reference.epoch = newest.unwrap_or(reference.epoch);
                let rows = piece(&context, (reference, secret)).await.map_err(PieceError::from)?;
                restore.write(&rows).await?;
            }
        }
        Ok(restore.finish(above).await?)
    }

    /// What reads segments, by the layouts that nodes know.
    async fn context(&self, told: &BTreeMap<PeerKey, Told>) -> Result<Arc<Context>, RestoreError> {
        let pools = Arc::new(Pools::new(Arc::clone(&self.net)));
        for (name, (layout, signed)) in layouts(told) {
            let mut pool = Pool::new(spec_of(layout));
            let refused = |error: datamesh_placement::LayoutError| RestoreError::Layout(error.to_string());
            pool.add(layout.clone(), signed.clone()).map_err(refused)?;
            pools.put(name.clone(), pool);
        }
        let budget = Budget::new(self.buffer_bytes);
        let (metrics, _) = Metrics::register(budget.clone());
        let cache = Arc::new(SegmentCache::new(0, metrics.cache.clone()));
        // It is asked nothing: what is read is in no row yet.
        let nothing = EmbeddedCatalog::in_memory(MemoryKeyspace::default(), "", self.options).await?;
        let outside = (Arc::clone(&self.net), Arc::clone(&self.surroundings));
        Ok(Context::new((budget, cache), metrics, nothing, pools, outside, NO_LEASE))
    }

    /// Layouts that were committed after the backup: members take nothing by earlier ones.
    async fn take_layouts(
        &self,
        keyspace: AnyKeyspace,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<(), RestoreError> {
        let catalog =
            EmbeddedCatalog::with_keyspace(keyspace, &self.secret.fingerprint(), self.options).await?;
        let known = catalog.pools().await.map_err(OpenError::from)?;
        for (name, (layout, signed)) in layouts(told) {
            let before = catalog.newest_epoch(name).await.map_err(OpenError::from)?;
            if before >= Some(layout.epoch) {
                continue;
            }
            let failed = |error: CommitLayoutError| RestoreError::Layout(error.to_string());
            if !known.iter().any(|(pool, _)| pool == name) {
                catalog.put_pool(name, &spec_of(layout)).await.map_err(failed)?;
            }
            let stored = encode_stored(signed).map_err(|error| RestoreError::Layout(error.to_string()))?;
            let profiles = ProfileChange { open: layout.profiles().collect(), closed: Vec::new() };
            catalog.commit_layout(name, layout.epoch, before, stored, &profiles).await.map_err(failed)?;
            tracing::info!(pool = %name, epoch = %layout.epoch, "a layout later than the backup is taken from the nodes");
        }
        Ok(())
    }

    /// From here on it is the gateway's catalog.
    fn set_in_place(&self, restored: &RestoredStatus) -> Result<(), RestoreError> {
        let (from, to) = (self.dir.join(DIR), self.dir.join(CATALOG_DIR));
        let failed = |source| RestoreError::File { path: to.clone(), source };
        mark::write(self.dir, restored).map_err(failed)?;
        std::fs::rename(from, &to).map_err(failed)?;
        std::fs::File::open(self.dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

fn told_nothing<T>(peer: &PeerKey, answer: &datamesh_exchange::net::Answer) -> Option<T> {
    match answer {
        Ok((response, _)) => tracing::warn!(%peer, ?response, "a node says nothing of backups"),
        Err(error) => tracing::debug!(%peer, %error, "a node does not answer yet"),
    }
    None
}

/// A pool as its layout knows it: the rest is as new pools have it, until the administrator says otherwise.
fn spec_of(layout: &Layout) -> PoolSpec {
    let members = layout.members.iter().map(|member| DesiredMember {
        node: member.node.clone(),
        zone: member.zone.clone(),
        capacity_bytes: member.capacity_bytes,
    });
    PoolSpec {
        erasure: layout.profile,
        cipher: Default::default(),
        ack_shards: None,
        members: members.collect(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}

/// A folder, if it is there.
fn remove(dir: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RestoreError::File { path: dir.into(), source })
        }
        _ => Ok(()),
    }
}

fn time(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| unix_ms.to_string(), |time| time.to_string())
}
