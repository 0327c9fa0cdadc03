//! Asks members how they are, and tells those who missed it the newest layout.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datamesh_exchange::message::{COUNTS_MAX, Request, Response, Stewardship};
use datamesh_exchange::net::Net;
use datamesh_exchange::survey::Tolerances;
use datamesh_settings::admin::{MemberState, PoolScrub, ScrubSpec};
use datamesh_shard::{ErasureProfile, PeerKey};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::{Next, Worker};
use crate::layouts::LayoutManager;
use crate::metrics::Metrics;
use crate::pools::reputation::{Asked, Why};
use crate::pools::{Pool, Pools};

/// How old what the status says may be when all is well.
const PERIOD: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(3);
/// For all pages of a member's counts.
const STEWARDSHIP_TIMEOUT: Duration = Duration::from_secs(5);
/// Members asked at the same time.
const AT_ONCE: usize = 64;

/// Whether all members were asked how they are since the gateway started. Until then it knows nothing of any, so all seem down.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstLook(Arc<AtomicBool>);

impl FirstLook {
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

pub(crate) struct PollReports {
    pub(crate) pools: Arc<Pools>,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) layouts: Arc<LayoutManager>,
    pub(crate) metrics: Metrics,
    pub(crate) first_look: FirstLook,
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
                self.pools.watch_drains(&pool);
                self.pools.judge(&pool);
                if !self.pools.drained(&pool).is_empty() {
                    // Whoever is not wanted any more may leave the layout now.
                    self.layouts.wake.notify_one();
                }
                self.count(name.as_str(), &pool);
            }
            self.first_look.0.store(true, Ordering::Release);
            self.pools.forget_strangers();
            // Those of members that left must not stay.
            self.metrics.forget_latencies();
            for (name, pool) in self.pools.all() {
                self.count_avoided(name.as_str(), &pool);
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }
}

impl PollReports {
    pub(crate) fn new(layouts: Arc<LayoutManager>, net: Arc<dyn Net>, metrics: Metrics) -> Self {
        let (pools, first_look) = (Arc::clone(&layouts.pools), FirstLook::default());
        Self { pools, net, layouts, metrics, first_look }
    }

    async fn poll(&self, pool: &Pool) {
        let peers = pool.layout().map_or(&[][..], |layout| &layout.members).iter().map(|member| member.peer);
        futures::stream::iter(peers).for_each_concurrent(AT_ONCE, |peer| self.ask(pool, peer)).await;
    }

    async fn ask(&self, pool: &Pool, peer: PeerKey) {
        let Ok((Response::Report(report), _)) = self.net.request(&peer, Request::Report, None, TIMEOUT).await
        else {
            return;
        };
        let behind = report.epoch < pool.layout().map(|layout| layout.epoch);
        let scrubs_otherwise = report.scrub.is_some_and(|scrub| scrub.ordered != pool.spec.scrub);
        let asked = tokio::time::timeout(STEWARDSHIP_TIMEOUT, self.stewardship(pool, &peer)).await;
        let stewardship = asked.ok().flatten().map(Arc::new);
        self.pools.note_report(peer, report, stewardship);
        if behind {
            self.layouts.push_to(pool, &peer).await;
        }
        if scrubs_otherwise {
            self.order_scrub(pool, &peer).await;
        }
    }

    /// Tells a member how to scrub. It keeps that; its next report says whether it took it.
    async fn order_scrub(&self, pool: &Pool, peer: &PeerKey) {
        let ScrubSpec { period_seconds, paused, max_bytes_per_second } = pool.spec.scrub;
        let request = Request::Scrub { period_seconds, paused, max_bytes_per_second };
        match self.net.request(peer, request, None, TIMEOUT).await {
            Ok((Response::Done, _)) => {}
            answer => tracing::warn!(%peer, ?answer, "a member was not told how to scrub; it is told again"),
        }
    }

    /// All that a member counted, page by page; nothing rather than a part.
    async fn stewardship(&self, pool: &Pool, peer: &PeerKey) -> Option<Stewardship> {
        let table = pool.newest()?;
        let levels = table.layout().profiles().map(ErasureProfile::m).max().unwrap_or_default() + 1;
        let mut whole: Option<Stewardship> = None;
        loop {
            let after = whole.as_ref().and_then(|whole| whole.counts.last()).map(|last| last.partition);
            let request = Request::Stewardship { after };
            let Ok((Response::Stewardship(page), _)) = self.net.request(peer, request, None, TIMEOUT).await
            else {
                return None;
            };
            let rises = page.counts.first().is_none_or(|first| after < Some(first.partition))
                && page.counts.is_sorted_by(|a, b| a.partition < b.partition);
            let fits = page.counts.iter().all(|count| {
                let Tolerances { segments, short, .. } = &count.tolerances;
                count.partition < table.partitions() && segments.len() == levels && short.len() == levels
            });
            // Under another layout they are of no use, and may be of other partitions.
            let fits = fits || page.epoch != Some(table.layout().epoch);
            if !rises || !fits || page.counts.len() > COUNTS_MAX {
                tracing::warn!(%peer, "a member gave counts out of order");
                return None;
            }
            let more = page.counts.len() == COUNTS_MAX && page.epoch == Some(table.layout().epoch);
            match &mut whole {
                // Counts under two layouts are no counts.
                Some(whole) if whole.epoch != page.epoch => return None,
                Some(whole) => whole.counts.extend(page.counts),
                None => whole = Some(page),
            }
            if !more {
                return whole;
            }
        }
    }

    fn count_avoided(&self, name: &str, pool: &Pool) {
        let (mut slow, mut quarantined) = (0, 0);
        for member in pool.layout().map_or(&[][..], |layout| &layout.members) {
            match self.pools.avoided(&member.peer).map(|avoided| avoided.why) {
                Some(Why::Slow { .. }) => slow += 1,
                Some(Why::Quarantined { .. }) => quarantined += 1,
                None => {}
            }
            for (asked, operation) in [(Asked::Put, "put"), (Asked::Get, "get")] {
                if let Some(mean) = self.pools.mean(&member.peer, asked) {
                    self.metrics.latency((name, member.node.as_str()), operation, mean);
                }
            }
        }
        self.metrics.avoided(name, "slow", slow);
        self.metrics.avoided(name, "wrong-answers", quarantined);
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
        let members = pool.layout().map_or(&[][..], |layout| &layout.members);
        let live = members.iter().filter(|member| self.pools.is_live(&member.peer));
        let reports = live.filter_map(|member| Some(self.pools.report(&member.peer)?.report.scrub));
        let members = u32::try_from(members.len()).unwrap_or(u32::MAX);
        self.metrics.scrub(name, &PoolScrub::of(pool.spec.scrub, members, reports));
    }
}
