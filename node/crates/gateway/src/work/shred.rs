//! Shredding of deleted objects: once the nodes have deleted the segments, the sealed keys leave the catalog's files and the
//! shards' bytes the nodes' log files. What is done is in the catalog's row; the rest is done again after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::{CatalogError, Shred};
use datamesh_catalog::record::ShredState;
use datamesh_catalog::{EmbeddedCatalog, UploadId};
use datamesh_exchange::message::{Request, Response, SHRED_SEGMENTS_MAX};
use datamesh_mesh::offload;
use datamesh_placement::Member;
use datamesh_shard::{NodeName, PeerKey, PoolName, SegmentId};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Next, Worker};
use crate::pipeline::Context;

/// Without anything to shred; a delete that wants it wakes the worker.
const PERIOD: Duration = Duration::from_secs(60);
/// Between two looks at what goes on.
const LOOK: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long one that is over is shown: a week.
const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// How far a shredding is, for those who ask. Nothing is known of one that this process has not looked at yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) step: Step,
    /// Nodes that are through.
    pub(crate) nodes_done: usize,
    /// Nodes there are.
    pub(crate) nodes: usize,
    /// Nodes that do not answer.
    pub(crate) waits_for: Vec<NodeName>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// The nodes delete the segments, all or none.
    #[default]
    Deleting,
    /// The nodes take the bytes out of their files; the keys are out of the catalog's.
    Emptying,
}

/// What the worker shares with the API.
#[derive(Default)]
pub(crate) struct Shreds {
    pub(crate) wake: Arc<Notify>,
    progress: Mutex<BTreeMap<UploadId, Progress>>,
}

impl Shreds {
    /// How far it is.
    pub(crate) fn progress(&self, id: UploadId) -> Progress {
        self.progress.lock().get(&id).cloned().unwrap_or_default()
    }
}

/// What is known of one that is under way, for as long as the process lives.
#[derive(Default)]
struct Job {
    /// Its keys are out of the catalog's files.
    purged: bool,
    nodes: BTreeMap<PeerKey, Emptied>,
}

/// How far a node is.
#[derive(Default)]
struct Emptied {
    /// The last segment of the batch that was done last.
    after: Option<SegmentId>,
    /// Log files that could not be emptied.
    left: bool,
    done: bool,
}

/// The worker.
pub(crate) struct Shredder {
    context: Arc<Context>,
    shreds: Arc<Shreds>,
    jobs: BTreeMap<UploadId, Job>,
    /// A node shreds for one at a time.
    at: BTreeMap<PeerKey, UploadId>,
    /// Gateways with a copy of the catalog each, whose files nobody clears.
    pub(crate) copies: Vec<NodeName>,
}

impl Shredder {
    /// What was begun by a gateway that was alone ends where several keep the catalog; `copies` are the others of those.
    pub(crate) fn new(context: Arc<Context>, copies: Vec<NodeName>) -> (Self, Arc<Shreds>) {
        let shreds = Arc::new(Shreds::default());
        let (jobs, at) = (BTreeMap::new(), BTreeMap::new());
        (Self { context, shreds: Arc::clone(&shreds), jobs, at, copies }, shreds)
    }

    async fn pass(&mut self) -> Result<Next, CatalogError> {
        let all = self.context.catalog.shreds().await?;
        let is_going = |shred: &&Shred| matches!(shred.record.state, ShredState::Going { .. });
        let going: BTreeSet<UploadId> = all.iter().filter(is_going).map(|shred| shred.id).collect();
        // Those that were called off are let go of.
        self.jobs.retain(|id, _| going.contains(id));
        self.at.retain(|_, id| going.contains(id));
        self.shreds.progress.lock().retain(|id, _| going.contains(id));
        let now = self.context.surroundings.now_unix_ms();
        for Shred { id, record } in all {
            match record.state {
                ShredState::Going { bucket, key } => {
                    let ranges = EmbeddedCatalog::shred_ranges(id, bucket, &key);
                    self.advance(id, &record.pool, ranges).await?;
                }
                ShredState::Over { at_unix_ms, .. } if at_unix_ms.saturating_add(KEPT_MS) < now => {
                    self.context.catalog.forget_shred(id).await?;
                }
                ShredState::Over { .. } => {}
            }
        }
        Ok(Next::Wait(if going.is_empty() { PERIOD } else { LOOK }))
    }

    async fn advance(
        &mut self,
        id: UploadId,
        pool: &PoolName,
        ranges: Vec<datamesh_catalog::keyspace::KeyRange>,
    ) -> Result<(), CatalogError> {
        let known = self.context.pools.get(pool);
        let members = known.as_ref().and_then(|pool| pool.layout()).map_or(&[][..], |layout| &layout.members);
        let first = self.context.catalog.shred_segments(id, None, 1).await?;
        let is_deleted = first.is_some();
        // What lay in the catalog alone is no business of the nodes.
        let members = if first.is_some_and(|segments| segments.is_empty()) { &[][..] } else { members };
        let mut job = self.jobs.remove(&id).unwrap_or_default();
        let mut waits_for = Vec::new();
        if is_deleted && !job.purged {
            job.purged = self.purge(ranges.clone()).await;
        }
        for member in members {
            let node = job.nodes.entry(member.peer).or_default();
            let answers = match is_deleted && !node.done {
                true => self.empty(id, member, node).await?,
                false => node.done || self.context.pools.is_live(&member.peer),
            };
            if !answers {
                waits_for.push(member.node.clone());
            }
        }
        let nodes_done =
            members.iter().filter(|member| job.nodes.get(&member.peer).is_some_and(|n| n.done)).count();
        let step = if is_deleted { Step::Emptying } else { Step::Deleting };
        let progress = Progress { step, nodes_done, nodes: members.len(), waits_for };
        self.shreds.progress.lock().insert(id, progress);
        if is_deleted && job.purged && nodes_done == members.len() {
            let left = |member: &&Member| job.nodes.get(&member.peer).is_some_and(|node| node.left);
            let partly: Vec<NodeName> =
                members.iter().filter(left).map(|member| &member.node).chain(&self.copies).cloned().collect();
            return self.end(id, partly, ranges).await;
        }
        self.jobs.insert(id, job);
        Ok(())
    }

    /// One question to a node; whether it answered.
    async fn empty(
        &mut self,
        id: UploadId,
        member: &Member,
        node: &mut Emptied,
    ) -> Result<bool, CatalogError> {
        let peer = member.peer;
        if *self.at.entry(peer).or_insert(id) != id {
            // It is busy with another.
            return Ok(self.context.pools.is_live(&peer));
        }
        let batch = self.context.catalog.shred_segments(id, node.after, SHRED_SEGMENTS_MAX).await?;
        // While one of them is not deleted from all nodes there is nothing to ask for.
        let Some(batch) = batch else { return Ok(self.context.pools.is_live(&peer)) };
        let Some(last) = batch.last().copied() else {
            node.done = true;
            self.at.remove(&peer);
            return Ok(true);
        };
        if !self.context.pools.is_live(&peer) {
            self.at.remove(&peer);
            return Ok(false);
        }
        let request = Request::Shred { segments: batch };
        match self.context.net.request(&peer, request, None, TIMEOUT).await {
            Ok((Response::Shredding { done, left }, _)) => {
                if done {
                    node.after = Some(last);
                    node.left |= left > 0;
                }
                Ok(true)
            }
            Ok((response, _)) => {
                tracing::warn!(node = %member.node, ?response, "a node does not shred");
                Ok(false)
            }
            Err(error) => {
                tracing::debug!(node = %member.node, %error, "a node does not shred");
                Ok(false)
            }
        }
    }

    async fn purge(&self, ranges: Vec<datamesh_catalog::keyspace::KeyRange>) -> bool {
        let keyspace = self.context.catalog.keyspace().clone();
        match offload(move || keyspace.purge(&ranges)).await {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                tracing::error!(%error, "deleted keys are not out of the catalog's files");
                false
            }
            None => false,
        }
    }

    async fn end(
        &self,
        id: UploadId,
        partly: Vec<NodeName>,
        ranges: Vec<datamesh_catalog::keyspace::KeyRange>,
    ) -> Result<(), CatalogError> {
        let now = self.context.surroundings.now_unix_ms();
        tracing::info!(shred = %id, ?partly, "a deleted object is shredded");
        self.context.catalog.end_shred(id, now, partly).await?;
        // The object's key stood in the row.
        if !self.purge(ranges).await {
            tracing::warn!(shred = %id, "the name of a shredded object stays in the catalog's files for now");
        }
        Ok(())
    }
}

impl Worker for Shredder {
    fn name(&self) -> &'static str {
        "shred"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.pass().await.unwrap_or_else(|error| {
                tracing::error!(%error, "shredding does not go on");
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.shreds.wake))
    }
}
