//! Reads every shard on this disk once within a period, unless it is paused. What is found corrupt is counted and named by the
//! store, and not listed any more: its steward rebuilds it.

mod orders;

use std::sync::Arc;
use std::time::Duration;

use datamesh_settings::admin::ScrubSpec;
use datamesh_shard::{SegmentId, ShardKey};
use datamesh_store::GetError;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fellows::Fellows;
use super::ledger::Ledger;
use super::pace::Pace;
use crate::worker::{Next, Worker};
pub(super) use orders::Orders;
use orders::Round;

/// Segments looked at in one unit of work.
const PAGE: usize = 64;
/// Of a period, what reading may take; the rest is for what comes in meanwhile.
const SHARE: f64 = 0.8;

/// The worker.
pub struct Scrub {
    pub(super) fellows: Arc<Fellows>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) orders: Arc<Orders>,
    pub(crate) pace: Pace,
}

/// What one unit of work read.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    shards: u32,
    payload_bytes: u64,
    /// Shards that could not be read, for no fault of theirs.
    failed: u32,
}

impl Scrub {
    async fn step(&mut self) -> Next {
        if self.orders.ordered().paused {
            // An order wakes it.
            return Next::Wait(self.pace.rest_max);
        }
        let now = self.fellows.rules.now();
        let round = self.orders.round(now);
        let begun = Instant::now();
        let range = (SegmentId([0; 32]), None);
        let page = match self.fellows.shelf.held(range, round.last, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "the store does not list");
                return Next::Wait(self.pace.rest_max);
            }
        };
        let Some(last) = page.last().map(|held| held.segment) else { return self.finish(round, now) };
        let mut read = Read::default();
        for held in &page {
            for index in held.shards.iter() {
                self.look(ShardKey { segment: held.segment, index }, &mut read).await;
            }
        }
        let is_partial = round.is_partial || read.failed > 0;
        self.orders.note(Round { last: Some(last), is_partial, ..round });
        let shards = u32::try_from(self.fellows.shelf.usage().shards).unwrap_or(u32::MAX).max(1);
        Next::Wait(rest(&self.pace, self.orders.ordered(), (read, shards), begun.elapsed()))
    }

    async fn look(&self, key: ShardKey, read: &mut Read) {
        // The store holds it against its checksums, names what is wrong, and condemns it.
        let got = self.fellows.read(key).await;
        self.ledger.scrubbed(matches!(got, Err(GetError::Corrupt { .. })));
        read.shards += 1;
        match got {
            Ok(Some(shard)) => read.payload_bytes += u64::try_from(shard.payload.len()).unwrap_or_default(),
            // Deleted meanwhile, or found out.
            Ok(None) | Err(GetError::Corrupt { .. }) => {}
            Err(error) => {
                tracing::warn!(shard = %key, %error, "the scrub could not read a shard; the next round tries again");
                read.failed += 1;
            }
        }
    }

    /// The round is over: the next one begins when the period is.
    fn finish(&self, round: Round, now: u64) -> Next {
        let over = round.begun_unix.saturating_add(period(&self.pace, self.orders.ordered()).as_secs());
        let read_since_unix = match round.is_partial {
            true => round.read_since_unix,
            false => Some(round.begun_unix),
        };
        if now >= over {
            self.orders.note(Round {
                begun_unix: now,
                read_since_unix,
                is_partial: false,
                last: None,
                ..round
            });
            return Next::Busy;
        }
        if round.read_since_unix != read_since_unix {
            self.orders.note(Round { read_since_unix, ..round });
        }
        Next::Wait(Duration::from_secs(over - now).min(self.pace.rest_max))
    }
}

/// The period that was ordered, where another than the usual one was.
fn period(pace: &Pace, ordered: ScrubSpec) -> Duration {
    match ordered.period_seconds == ScrubSpec::default().period_seconds {
        true => pace.scrub_period,
        false => Duration::from_secs(ordered.period_seconds),
    }
}

/// After a unit of work that took `spent`, of a node with so many shards: so long that all of them take the period, no less than
/// the work itself took, and so long that no more bytes a second are read than may be.
fn rest(pace: &Pace, ordered: ScrubSpec, (read, shards): (Read, u32), spent: Duration) -> Duration {
    let share = period(pace, ordered).mul_f64(SHARE) / shards * read.shards;
    let by_period = share.saturating_sub(spent).min(pace.rest_max).max(spent);
    let Some(bytes_per_second) = ordered.max_bytes_per_second else { return by_period };
    let millis = read.payload_bytes.saturating_mul(1000) / bytes_per_second.max(1);
    by_period.max(Duration::from_millis(millis).saturating_sub(spent))
}

impl Worker for Scrub {
    fn name(&self) -> &'static str {
        "scrub"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.step().boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.orders.wake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_rests_as_the_period_asks_and_longer_where_the_rate_does() {
        let (pace, spent) = (Pace::default(), Duration::from_secs(1));
        let rests = |ordered, read: Read| rest(&pace, ordered, (read, 100_000), spent).as_secs();
        let read = Read { shards: 64, payload_bytes: 64 << 20, failed: 0 };
        let usual = ScrubSpec::default();
        // 0.8 of 14 days in 100,000 parts, 64 of them.
        assert_eq!(rests(usual, read), 600, "no longer than all rests");
        let hours = ScrubSpec { period_seconds: 24 * 3600, ..usual };
        assert_eq!(rests(hours, read), 43);
        assert_eq!(rests(ScrubSpec { max_bytes_per_second: Some(64 << 20), ..hours }, read), 43);
        assert_eq!(rests(ScrubSpec { max_bytes_per_second: Some(1 << 20), ..hours }, read), 63);
        let bound = ScrubSpec { period_seconds: 3600, ..usual };
        assert_eq!(rests(bound, Read { shards: 1, ..read }), 1, "never less than the work took");
    }
}
