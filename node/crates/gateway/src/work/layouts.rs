//! Commits layouts as soon as their members have joined.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::{Next, Worker};
use crate::layouts::LayoutManager;

/// Joins wake it at once; this is for what was missed.
const PERIOD: Duration = Duration::from_secs(10);

pub(crate) struct AdvanceLayouts(pub(crate) Arc<LayoutManager>);

impl Worker for AdvanceLayouts {
    fn name(&self) -> &'static str {
        "advance layouts"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            if let Err(error) = self.0.advance_all().await {
                tracing::error!(%error, "layouts do not go on");
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.0.wake))
    }
}
