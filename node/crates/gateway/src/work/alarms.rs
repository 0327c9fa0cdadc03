//! Tells the stewards at once what puts and reads found missing, corrupt or away.

use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::alarms::{by_steward, tell};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::{Next, Worker};
use crate::pipeline::Context;

/// Alarms wake it; without any there is nothing to do.
const PERIOD: Duration = Duration::from_secs(60);

pub(crate) struct TellStewards(pub(crate) Arc<Context>);

impl Worker for TellStewards {
    fn name(&self) -> &'static str {
        "tell stewards"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            let Context { pools, net, damage, .. } = &*self.0;
            for (name, segments) in damage.alarms.gather().await {
                let Some(pool) = pools.get(&name) else { continue };
                let Some(table) = pool.newest() else { continue };
                let told = by_steward(table, |peer| net.is_live(peer), &segments);
                let telling = told.iter().map(|(steward, segments)| tell(&**net, steward, segments));
                futures::future::join_all(telling).await;
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.0.damage.alarms.raised())
    }
}
