//! Notices what other gateways committed: pools, layouts, drains, volumes that were given up.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::{Next, Worker};
use crate::layouts::LayoutManager;

/// How long a gateway may place segments by a layout that another one has replaced. Nodes refuse them meanwhile, and they are placed
/// anew.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) struct FollowOthers(pub(crate) Arc<LayoutManager>);

impl Worker for FollowOthers {
    fn name(&self) -> &'static str {
        "follow other gateways"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            if let Err(error) = self.0.follow().await {
                tracing::warn!(%error, "what other gateways committed is not known");
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.0.pools.unknown_epoch())
    }
}
