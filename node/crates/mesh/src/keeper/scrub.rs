//! Reads every shard on this disk once within a period. What is found corrupt is counted and named by the store, and not
//! listed any more: its steward rebuilds it.

use std::sync::Arc;
use std::time::Duration;

use datamesh_shard::{SegmentId, ShardKey};
use datamesh_store::{Durability, GetError};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::fellows::Fellows;
use super::ledger::Ledger;
use super::pace::Pace;
use crate::worker::{Next, Worker};

/// Segments looked at in one unit of work.
const PAGE: usize = 64;
/// Where the last round got to, so that a restart goes on from there.
const PROGRESS: &[u8] = b"scrub/progress";
/// First byte of that record: then the begin of the round (seconds since 1970, little-endian) and the last segment.
const VERSION: u8 = 1;
/// Of a period, what reading may take; the rest is for what comes in meanwhile.
const SHARE: f64 = 0.8;

/// The worker.
pub struct Scrub {
    pub(super) fellows: Arc<Fellows>,
    pub(super) ledger: Arc<Ledger>,
    pub(crate) pace: Pace,
}

/// One round over the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    begun_unix: u64,
    /// The last segment looked at; `None` at the begin.
    last: Option<SegmentId>,
}

impl Scrub {
    async fn step(&mut self) -> Next {
        let now = self.fellows.rules.now();
        // One that began in the future began by a wrong clock.
        let known = self.read().filter(|round| round.begun_unix <= now);
        let round = known.unwrap_or(Round { begun_unix: now, last: None });
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
        let mut looked_at = 0;
        for held in &page {
            for index in held.shards.iter() {
                looked_at += 1;
                self.look(ShardKey { segment: held.segment, index }).await;
            }
        }
        self.write(Round { last: Some(last), ..round });
        Next::Wait(self.rest(looked_at, begun.elapsed()))
    }

    async fn look(&self, key: ShardKey) {
        // The store holds it against its checksums, names what is wrong, and condemns it.
        let corrupt = matches!(self.fellows.shelf.get(key).await, Err(GetError::Corrupt { .. }));
        self.ledger.scrubbed(corrupt);
    }

    /// So long that all shards take the period; never less than the work itself took.
    fn rest(&self, looked_at: u32, spent: Duration) -> Duration {
        let shards = u32::try_from(self.fellows.shelf.usage().shards).unwrap_or(u32::MAX).max(1);
        let share = self.pace.scrub_period.mul_f64(SHARE) / shards * looked_at;
        share.saturating_sub(spent).min(self.pace.rest_max).max(spent)
    }

    /// The round is over: the next one begins when the period is.
    fn finish(&self, round: Round, now: u64) -> Next {
        let over = round.begun_unix.saturating_add(self.pace.scrub_period.as_secs());
        if now >= over {
            self.write(Round { begun_unix: now, last: None });
            return Next::Busy;
        }
        Next::Wait(Duration::from_secs(over - now).min(self.pace.rest_max))
    }

    fn read(&self) -> Option<Round> {
        let row = self.fellows.rules.records().get(PROGRESS).ok()??;
        decode(&row)
    }

    fn write(&self, round: Round) {
        let row = encode(round);
        if let Err(error) = self.fellows.rules.records().put(PROGRESS, &row, Durability::Lazy) {
            tracing::warn!(%error, "how far the scrub got is not kept; a restart begins anew");
        }
    }
}

fn encode(round: Round) -> Vec<u8> {
    let mut row = vec![VERSION];
    row.extend(round.begun_unix.to_le_bytes());
    row.extend(round.last.iter().flat_map(|segment| segment.0));
    row
}

fn decode(row: &[u8]) -> Option<Round> {
    let (&VERSION, rest) = row.split_first()? else { return None };
    let (begun, last) = rest.split_first_chunk::<8>()?;
    let last = match last {
        [] => None,
        last => Some(SegmentId(last.try_into().ok()?)),
    };
    Some(Round { begun_unix: u64::from_le_bytes(*begun), last })
}

impl Worker for Scrub {
    fn name(&self) -> &'static str {
        "scrub"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.step().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_it_was_written_and_nothing_else_is() {
        for last in [None, Some(SegmentId([7; 32]))] {
            let round = Round { begun_unix: 1_800_000_000, last };
            let row = encode(round);
            assert_eq!(decode(&row), Some(round));
            assert_eq!(decode(&row[..row.len() - 1]), None);
            assert_eq!(decode(&[&row[..], &[0]].concat()), None);
        }
        assert_eq!((decode(&[]), decode(&[2, 0, 0, 0, 0, 0, 0, 0, 0])), (None, None));
    }
}
