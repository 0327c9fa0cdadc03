//! The members of this node's pool, as one of them works with the others: who lives, what each has, shards to and fro.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{INVENTORY_ROWS_MAX, Refusal, Request, Response};
use datamesh_placement::{PartitionId, Table};
use datamesh_shard::{Epoch, Generation, Held, PeerKey, PoolName, SegmentHeader, SegmentId, ShardKey};
use datamesh_store::Store;
use parking_lot::Mutex;

use super::rules::Rules;
use crate::peers::Peers;
use crate::trust::Trust;

/// The epoch of a pool's first layout.
const FIRST_EPOCH: Epoch = Epoch(1);
/// Patience with one shard or one page of an inventory.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Pages of one partition's inventory at most: more than a member of the largest store has in one.
const PAGES_MAX: usize = 4096;

/// What happened to a shard that was offered to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is durable there.
    Kept,
    /// It was deleted meanwhile, or a later generation is there.
    NotWanted,
    /// Not now.
    Failed,
}

/// The members of a pool, for one of them.
pub(super) struct Fellows {
    pub(super) store: Store,
    pub(super) trust: Arc<Trust>,
    pub(super) peers: Peers,
    pub(super) pool: PoolName,
    pub(super) own: PeerKey,
    pub(super) rules: Arc<Rules>,
    pub(super) newest: Mutex<Option<Arc<Table>>>,
}

impl Fellows {
    /// The table to repair by: the newest, and only while it is the pool's first. Gateways look for a segment among the
    /// members of the layout it was written under, so data must not move to members of a later one yet.
    pub(super) async fn table_to_repair(&self) -> Option<Arc<Table>> {
        self.table().await.filter(|table| table.layout().epoch == FIRST_EPOCH)
    }

    /// The table of the newest layout. Computed anew when the layout is.
    pub(super) async fn table(&self) -> Option<Arc<Table>> {
        let layout = self.trust.layout(&self.pool)?;
        let known = self.newest.lock().clone();
        if let Some(table) = known.filter(|table| table.layout().epoch == layout.epoch) {
            return Some(table);
        }
        let computed = tokio::task::spawn_blocking(move || Table::compute((*layout).clone())).await.ok()?;
        let table = Arc::new(computed.inspect_err(|error| tracing::error!(%error, "no table")).ok()?);
        *self.newest.lock() = Some(Arc::clone(&table));
        Some(table)
    }

    pub(super) fn peer(table: &Table, member: u16) -> Option<PeerKey> {
        table.layout().members.get(usize::from(member)).map(|member| member.peer)
    }

    /// This node's member index.
    pub(super) fn me(&self, table: &Table) -> Option<u16> {
        let at = table.layout().members.iter().position(|member| member.peer == self.own)?;
        u16::try_from(at).ok()
    }

    pub(super) fn is_live(&self, table: &Table, member: u16) -> bool {
        Self::peer(table, member).is_some_and(|peer| peer == self.own || self.peers.is_live(&peer))
    }

    /// All that a member has of a partition; `None` when it does not say.
    pub(super) async fn inventory(
        &self,
        table: &Table,
        member: u16,
        partition: PartitionId,
    ) -> Option<Vec<Held>> {
        let peer = Self::peer(table, member)?;
        let (mut all, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.page(table, &peer, partition, after).await?;
            let more = page.len() == INVENTORY_ROWS_MAX;
            after = page.last().map(|held| held.segment);
            all.extend(page);
            if !more {
                return Some(all);
            }
        }
        None
    }

    async fn page(
        &self,
        table: &Table,
        peer: &PeerKey,
        partition: PartitionId,
        after: Option<SegmentId>,
    ) -> Option<Vec<Held>> {
        let partitions_log2 = table.layout().partitions_log2;
        if *peer == self.own {
            return held(&self.store, partitions_log2, partition.0, after).await;
        }
        let request = Request::Inventory { partitions_log2, partition: partition.0, after };
        match self.peers.request(peer, request, None, TIMEOUT).await {
            Ok((Response::Inventory(page), _)) if page.len() <= INVENTORY_ROWS_MAX => Some(page),
            outcome => {
                tracing::debug!(%peer, ?outcome, "no inventory");
                None
            }
        }
    }

    /// A shard, proven: neither the disk nor the other member is believed.
    pub(super) async fn get(
        &self,
        table: &Table,
        member: u16,
        key: ShardKey,
    ) -> Option<(SegmentHeader, Bytes)> {
        let peer = Self::peer(table, member)?;
        let (header, payload) = if peer == self.own {
            let shard = self.store.get(key).await.ok()??;
            (shard.header, shard.payload)
        } else {
            match self.peers.request(&peer, Request::Get { key }, None, TIMEOUT).await {
                Ok((Response::Shard { header }, payload)) => (header, payload),
                _ => return None,
            }
        };
        let proven = tokio::task::spawn_blocking(move || {
            let header = SegmentHeader::decode(&header).ok()?;
            header.verify(key, &payload).ok()?;
            Some((header, payload))
        });
        let proven = proven.await.ok()?;
        if proven.is_none() {
            tracing::warn!(shard = %key, %peer, "a member gave a shard that is not what its name says");
        }
        proven
    }

    /// Offers a shard to the member it belongs to.
    pub(super) async fn put(
        &self,
        table: &Table,
        member: u16,
        (key, generation): (ShardKey, Generation),
        (header, payload): (Bytes, Bytes),
    ) -> Offered {
        let Some(peer) = Self::peer(table, member) else { return Offered::Failed };
        if peer == self.own {
            // As for anybody's put: what was deleted meanwhile stays away.
            let _turn = self.rules.turn(key.segment).await;
            match self.rules.deleted(key.segment) {
                Ok(deleted) if deleted.is_some_and(|deleted| generation <= deleted) => {
                    return Offered::NotWanted;
                }
                Ok(_) if !self.rules.is_leaving(key) => {}
                _ => return Offered::Failed,
            }
            return match self.store.put(key, generation, header, payload).await {
                Ok(()) => Offered::Kept,
                Err(error) => {
                    tracing::warn!(shard = %key, %error, "a rebuilt shard is not kept");
                    Offered::Failed
                }
            };
        }
        let epoch = table.layout().epoch;
        let request = Request::Put { key, pool: self.pool.clone(), epoch, generation, header };
        match self.peers.request(&peer, request, Some(payload), TIMEOUT).await {
            Ok((Response::Done, _)) => Offered::Kept,
            Ok((Response::Refused(Refusal::StaleGeneration), _)) => Offered::NotWanted,
            outcome => {
                tracing::debug!(shard = %key, %peer, ?outcome, "a shard is not taken");
                Offered::Failed
            }
        }
    }

    /// Whether the member a shard belongs to has it durably and will keep it.
    pub(super) async fn is_home(&self, table: &Table, member: u16, key: ShardKey) -> Option<bool> {
        let peer = Self::peer(table, member)?;
        let request = Request::Home { key, epoch: table.layout().epoch };
        match self.peers.request(&peer, request, None, TIMEOUT).await {
            Ok((Response::Done, _)) => Some(true),
            Ok((Response::Refused(Refusal::NotFound), _)) => Some(false),
            _ => None,
        }
    }
}

/// A page of what a store has of a partition.
pub(super) async fn held(
    store: &Store,
    partitions_log2: u8,
    partition: u32,
    after: Option<SegmentId>,
) -> Option<Vec<Held>> {
    let range = datamesh_placement::segments_of(partitions_log2, partition)?;
    let page = store.held(range, after, INVENTORY_ROWS_MAX).await;
    page.inspect_err(|error| tracing::error!(%error, "the store does not list")).ok()
}
