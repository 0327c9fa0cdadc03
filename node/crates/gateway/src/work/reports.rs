//! Asks members how they are, and tells those who missed it the newest layout.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_exchange::message::{Request, Response};
use datamesh_settings::admin::MemberState;
use datamesh_shard::PeerKey;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::{Next, Worker};
use crate::layouts::LayoutManager;
use crate::metrics::Metrics;
use crate::pools::{Pool, Pools};
use crate::shards::Shards;

/// How old what the status says may be when all is well.
const PERIOD: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Members asked at the same time.
const AT_ONCE: usize = 64;

pub(crate) struct PollReports {
    pub(crate) pools: Arc<Pools>,
    pub(crate) shards: Arc<dyn Shards>,
    pub(crate) layouts: Arc<LayoutManager>,
    pub(crate) metrics: Metrics,
}

impl Worker for PollReports {
    fn name(&self) -> &'static str {
        "poll reports"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            for (name, pool) in self.pools.all() {
                self.poll(&pool).await;
                self.pools.settle(&name, &pool);
                self.count(name.as_str(), &pool);
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }
}

impl PollReports {
    async fn poll(&self, pool: &Pool) {
        let peers = pool.layout().map_or(&[][..], |layout| &layout.members).iter().map(|member| member.peer);
        futures::stream::iter(peers).for_each_concurrent(AT_ONCE, |peer| self.ask(pool, peer)).await;
    }

    async fn ask(&self, pool: &Pool, peer: PeerKey) {
        let Ok((Response::Report(report), _)) =
            self.shards.request(&peer, Request::Report, None, TIMEOUT).await
        else {
            return;
        };
        let behind = report.epoch < pool.layout().map(|layout| layout.epoch);
        let asked = self.shards.request(&peer, Request::Stewardship, None, TIMEOUT).await;
        let stewardship = match asked {
            Ok((Response::Stewardship(stewardship), _)) => Some(stewardship),
            _ => None,
        };
        self.pools.note_report(peer, report, stewardship);
        if behind {
            self.layouts.push_to(pool, &peer).await;
        }
    }

    fn count(&self, name: &str, pool: &Pool) {
        let states = [(MemberState::Up, "up"), (MemberState::Full, "full"), (MemberState::Down, "down")];
        let mut counts: BTreeMap<&str, usize> = states.iter().map(|(_, state)| (*state, 0)).collect();
        for member in pool.layout().map_or(&[][..], |layout| &layout.members) {
            let state = self.pools.state(&member.peer);
            let label = states.iter().find(|(known, _)| *known == state).map(|(_, label)| *label);
            *counts.entry(label.unwrap_or("joining")).or_default() += 1;
        }
        for (state, count) in counts {
            self.metrics.members(name, state, count);
        }
    }
}
