//! Tells stewards at once of shards that are found corrupt on this disk, by whichever read.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::fellows::Fellows;
use super::pace::Pace;
use crate::alarms::{by_steward, tell};
use crate::worker::{Next, Worker};

/// The worker.
pub struct Crier {
    pub(super) fellows: Arc<Fellows>,
    pub(crate) pace: Pace,
}

impl Crier {
    async fn cry(&self) -> Next {
        let Fellows { alarms, looks, net, own, .. } = &*self.fellows;
        let found = alarms.gather().await;
        let Some(table) = self.fellows.table().await else { return Next::Wait(self.pace.rest_max) };
        for segments in found.into_values() {
            let is_live = |peer: &_| peer == own || net.is_live(peer);
            for (steward, segments) in by_steward(&table, is_live, &segments) {
                match steward == *own {
                    true => looks.ask(&table, &segments),
                    false => tell(&**net, &steward, &segments).await,
                }
            }
        }
        Next::Wait(self.pace.rest_max)
    }
}

impl Worker for Crier {
    fn name(&self) -> &'static str {
        "crier"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.cry().boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.fellows.alarms.raised())
    }
}
