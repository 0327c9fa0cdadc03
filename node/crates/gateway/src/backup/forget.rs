//! Where there shall be no backups: nodes let go of those there were. An old one would keep them out of a new catalog, and be restored
//! long after what it refers to was deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_shard::PeerKey;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::pipeline::Context;
use crate::work::{Next, Worker};

/// Between two looks at who has not done so yet.
const PERIOD: Duration = Duration::from_secs(60);
/// Patience with a node.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Asked at the same time.
const ASKED_AT_ONCE: usize = 16;

/// The worker.
pub(crate) struct ForgetBackups {
    context: Arc<Context>,
    /// Nodes that have none any more.
    done: BTreeSet<PeerKey>,
    /// Nodes that say they have a later catalog's: told once.
    refusing: BTreeSet<PeerKey>,
}

impl ForgetBackups {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, done: BTreeSet::new(), refusing: BTreeSet::new() }
    }

    async fn step(&mut self) -> Result<(), CatalogError> {
        let generation = self.context.catalog.restored().await?.map_or(0, |restored| restored.generation);
        let pools = self.context.pools.all();
        let layouts = pools.iter().filter_map(|(_, pool)| pool.layout());
        let members: BTreeSet<PeerKey> =
            layouts.flat_map(|layout| layout.members.iter().map(|member| member.peer)).collect();
        let net = &self.context.net;
        let asking = futures::stream::iter(members.difference(&self.done).copied()).map(|peer| async move {
            let request = Request::ForgetAnchors { generation };
            (peer, net.request(&peer, request, None, TIMEOUT).await)
        });
        let answers: Vec<_> = asking.buffer_unordered(ASKED_AT_ONCE).collect().await;
        for (peer, answer) in answers {
            match answer {
                // One of a version that keeps none does not know the question.
                Ok((Response::Done | Response::Refused(Refusal::BadRequest(_)), _)) => {
                    self.done.insert(peer);
                }
                Ok((Response::Refused(Refusal::Superseded { by }), _)) if self.refusing.insert(peer) => {
                    tracing::warn!(%peer, by.generation, "a node keeps backups of a later catalog than this one");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Worker for ForgetBackups {
    fn name(&self) -> &'static str {
        "forget backups"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "nodes are not told to let go of backups");
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }

    /// Another may keep some meanwhile, which was not told yet that there shall be none.
    fn rest(&mut self) {
        self.done.clear();
    }
}
