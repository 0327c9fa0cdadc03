//! What each member says it has of a partition: all of it, a part, or digests.

use std::time::Duration;

use datamesh_exchange::digest::{Digest, Digester, Question, Ranges};
pub(in super::super) use datamesh_exchange::inventory::Span;
use datamesh_exchange::inventory::{Inventory, InventoryError, Progress};
use datamesh_exchange::message::{INVENTORY_ROWS_MAX, Refusal, Request, Response};
use datamesh_placement::{PartitionId, Table};
use datamesh_shard::{Held, PeerKey, SegmentId};
use tokio::time::Instant;

use super::Fellows;

/// Patience with digests, or one page of an inventory.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Patience with all pages of one.
const INVENTORY_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows of one partition's inventory at most: some 40 bytes each, eight times what a node has in one that keeps a terabyte
/// in shards of 64 KiB. A partition that has more is not counted.
const ROWS_MAX: usize = 1 << 17;
/// Rows after which an answer goes on to no further partition: half a second of reading, of a patience of 15.
const DIGESTED_ROWS_MAX: usize = 1 << 19;
/// The same for a disk that is slow.
const DIGESTING_MAX: Duration = Duration::from_secs(5);

/// What came of asking for digests.
pub(in super::super) enum Digested {
    Said(Vec<Digest>),
    /// It does not answer.
    Silent,
    /// It answers, and knows no digests or cannot make them.
    Cannot,
}

impl Fellows {
    /// All that a member has of a partition; `None` when it does not say.
    pub(in super::super) async fn inventory(
        &self,
        table: &Table,
        member: u16,
        partition: PartitionId,
    ) -> Option<Vec<Held>> {
        let partitions_log2 = table.layout().partitions_log2;
        let span = datamesh_placement::segments_of(partitions_log2, partition.0)?;
        let request = |after| Request::Inventory { partitions_log2, partition: partition.0, after };
        let pages = self.pages(table, member, (span, ROWS_MAX), &request);
        tokio::time::timeout(INVENTORY_TIMEOUT, pages).await.ok()?
    }

    /// All that a member has of parts of one, in no more time and no more rows than of all of it; `None` when it does not say.
    pub(in super::super) async fn slices(
        &self,
        table: &Table,
        member: u16,
        spans: Vec<Span>,
    ) -> Option<Vec<Held>> {
        let reading = async {
            let mut rows = Vec::new();
            for (from, to) in spans {
                let request = |after| Request::Slice { from, to, after };
                let room = ROWS_MAX.checked_sub(rows.len()).filter(|room| *room > 0)?;
                rows.append(&mut self.pages(table, member, ((from, to), room), &request).await?);
            }
            Some(rows)
        };
        tokio::time::timeout(INVENTORY_TIMEOUT, reading).await.ok()?
    }

    async fn pages(
        &self,
        table: &Table,
        member: u16,
        (span, rows_max): (Span, usize),
        request: &(dyn Fn(Option<SegmentId>) -> Request + Sync),
    ) -> Option<Vec<Held>> {
        let peer = Self::peer(table, member)?;
        let mut inventory = Inventory::of(span, rows_max);
        loop {
            let after = inventory.after();
            let page = match peer == self.own {
                true => self.held(span, after).await?,
                false => self.page(&peer, request(after)).await?,
            };
            match inventory.take(page) {
                Ok(Progress::Next(next)) => inventory = next,
                Ok(Progress::Whole(all)) => return Some(all),
                Err(InventoryError::OutOfOrder) => {
                    tracing::warn!(%peer, ?span, "a member gave an inventory out of order");
                    return None;
                }
                Err(InventoryError::TooLong) => {
                    tracing::error!(%peer, ?span, "a partition has too many segments to be counted");
                    return None;
                }
            }
        }
    }

    async fn page(&self, peer: &PeerKey, request: Request) -> Option<Vec<Held>> {
        match self.net.request(peer, request, None, TIMEOUT).await {
            Ok((Response::Inventory(page), _)) => Some(page),
            outcome => {
                tracing::debug!(%peer, ?outcome, "no inventory");
                None
            }
        }
    }

    /// A page of what is here of a range of segments.
    pub(in super::super) async fn held(&self, span: Span, after: Option<SegmentId>) -> Option<Vec<Held>> {
        let page = self.shelf.held(span, after, INVENTORY_ROWS_MAX).await;
        page.inspect_err(|error| tracing::error!(%error, "the store does not list")).ok()
    }

    /// Digests of what is here, made anew each time: what is kept of them could be old. Of the first partitions only, where there is
    /// much to read: of each of these ranges, which are those of the question.
    pub(in super::super) async fn digests(&self, asked: &Question, of: Vec<Ranges>) -> Option<Vec<Digest>> {
        let (begun, mut digests, mut rows) = (Instant::now(), Vec::new(), 0);
        for (ranges, (_, shards)) in of.into_iter().zip(&asked.partitions) {
            if rows >= DIGESTED_ROWS_MAX || begun.elapsed() > DIGESTING_MAX {
                break;
            }
            let mut digester = Digester::new(ranges, (asked.profile, *shards));
            rows += self.digest(ranges.span(0, ranges.count() - 1), &mut digester).await?;
            digests.append(&mut digester.finish());
        }
        Some(digests)
    }

    /// Reads what is here of a range of segments; gives how many rows that were.
    async fn digest(&self, span: Span, digester: &mut Digester) -> Option<usize> {
        let (mut rows, mut after) = (0, None);
        loop {
            let page = self.held(span, after).await?;
            page.iter().for_each(|held| digester.add(held));
            rows += page.len();
            after = page.last().map(|held| held.segment);
            if page.len() < INVENTORY_ROWS_MAX {
                return Some(rows);
            }
        }
    }

    /// Digests of what a member has, of the first partitions asked for at least.
    pub(in super::super) async fn digests_of(&self, table: &Table, member: u16, asked: Question) -> Digested {
        let Some(of) = asked.ranges() else { return Digested::Cannot };
        let Some(peer) = Self::peer(table, member) else { return Digested::Silent };
        if peer == self.own {
            return self.digests(&asked, of).await.map_or(Digested::Silent, Digested::Said);
        }
        let is_answer = |digests: &[Digest]| asked.answered(digests.len()).is_some();
        match self.net.request(&peer, Request::Digests(asked.clone()), None, TIMEOUT).await {
            Ok((Response::Digests(digests), _)) if is_answer(&digests) => Digested::Said(digests),
            Ok((Response::Refused(Refusal::BadRequest(_)) | Response::Digests(_), _)) => Digested::Cannot,
            outcome => {
                tracing::debug!(%peer, ?outcome, "no digests");
                Digested::Silent
            }
        }
    }
}
