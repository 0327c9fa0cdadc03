//! The members of this node's pool, as one of them works with the others: who lives, what each has, shards to and fro.

mod listings;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::Net;
use datamesh_placement::Table;
use datamesh_settings::mesh::{MeshView, PeerView};
use datamesh_shard::{Generation, PeerKey, PoolName, SegmentHeader, SegmentId, ShardKey, ShardSet};
use datamesh_store::{GetError, Shard};
pub(super) use listings::{Digested, Span};
use parking_lot::Mutex;

use super::looks::Looks;
use super::rules::{NotNow, Rules};
use super::shelf::Shelf;
use crate::alarms::Alarms;
use crate::offload::offload;
use crate::trust::Trust;

/// Patience with one shard.
const TIMEOUT: Duration = Duration::from_secs(15);
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
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) trust: Arc<Trust>,
    pub(super) net: Arc<dyn Net>,
    pub(super) pool: PoolName,
    pub(super) own: PeerKey,
    pub(super) rules: Arc<Rules>,
    /// Corrupt shards that were found here.
    pub(super) alarms: Alarms,
    /// What others found, of partitions this node may be steward of.
    pub(super) looks: Looks,
    pub(super) newest: Mutex<Option<Arc<Table>>>,
    /// Held while a table is computed.
    pub(super) computing: tokio::sync::Mutex<()>,
}

impl Fellows {
    /// The table of the newest layout. Computed anew when the layout is.
    pub(super) async fn table(&self) -> Option<Arc<Table>> {
        let layout = self.trust.layout(&self.pool)?;
        let known = self.newest.lock().clone();
        if let Some(table) = known.filter(|table| table.layout().epoch == layout.epoch) {
            return Some(table);
        }
        // Many may ask at once after a change: one computes.
        let _one = self.computing.lock().await;
        let known = self.newest.lock().clone();
        if let Some(table) = known.filter(|table| table.layout().epoch >= layout.epoch) {
            return Some(table);
        }
        let computed = offload(move || Table::compute((*layout).clone())).await?;
        let table = Arc::new(computed.inspect_err(|error| tracing::error!(%error, "no table")).ok()?);
        *self.newest.lock() = Some(Arc::clone(&table));
        Some(table)
    }

    /// How this node reaches the others.
    pub(super) fn view(&self) -> MeshView {
        let layout = self.trust.layout(&self.pool);
        let members = layout.iter().flat_map(|layout| &layout.members).map(|member| member.peer);
        let others = members.filter(|peer| *peer != self.own);
        MeshView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_unix: self.rules.now(),
            peers: others.map(|peer| PeerView { peer, sight: self.net.sight(&peer) }).collect(),
        }
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
        Self::peer(table, member).is_some_and(|peer| peer == self.own || self.net.is_live(&peer))
    }

    /// Tells lives of a member apart: `None` while it is away, else a number that rises when it starts anew.
    pub(super) fn life(&self, table: &Table, member: u16) -> Option<u64> {
        let peer = Self::peer(table, member)?;
        if peer == self.own {
            return Some(self.shelf.incarnation().0);
        }
        self.net.is_live(&peer).then(|| self.trust.incarnation(&peer).0)
    }

    /// A shard of this disk. The store holds it against its checksums; what is corrupt is told to its steward.
    pub(super) async fn read(&self, key: ShardKey) -> Result<Option<Shard>, GetError> {
        let read = self.shelf.get(key).await;
        self.note(key, &read);
        read
    }

    /// A part of one, not proven.
    pub(super) async fn read_range(
        &self,
        key: ShardKey,
        offset: u32,
        len: u32,
    ) -> Result<Option<Bytes>, GetError> {
        let read = self.shelf.get_range(key, offset, len).await;
        self.note(key, &read);
        read
    }

    fn note<T>(&self, key: ShardKey, read: &Result<T, GetError>) {
        if matches!(read, Err(GetError::Corrupt { .. })) {
            self.alarms.raise(&self.pool, key.segment);
        }
    }

    /// A shard of the segment and of the length that its header says. The header is proven, the bytes are not yet.
    pub(super) async fn get(
        &self,
        table: &Table,
        member: u16,
        key: ShardKey,
    ) -> Option<(SegmentHeader, Bytes)> {
        let peer = Self::peer(table, member)?;
        let (header, payload) = if peer == self.own {
            let Shard { header, payload, .. } = self.read(key).await.ok()??;
            (header, payload)
        } else {
            match self.net.request(&peer, Request::Get { key }, None, TIMEOUT).await {
                Ok((Response::Shard { header }, payload)) => (header, payload),
                _ => return None,
            }
        };
        let header = SegmentHeader::decode(&header).ok();
        let shaped =
            header.filter(|header| header.id() == key.segment && payload.len() == header.shard_bytes());
        if shaped.is_none() {
            tracing::warn!(shard = %key, %peer, "a member gave what is no shard of the segment");
        }
        Some((shaped?, payload))
    }

    /// The same, held against its leaf: neither the disk nor the other member is believed.
    pub(super) async fn get_proven(
        &self,
        table: &Table,
        member: u16,
        key: ShardKey,
    ) -> Option<(SegmentHeader, Bytes)> {
        let (header, payload) = self.get(table, member, key).await?;
        let proving =
            offload(move || header.verify_leaf(key.index, &payload).is_ok().then_some((header, payload)));
        let proven = proving.await?;
        if proven.is_none() {
            let peer = Self::peer(table, member);
            tracing::warn!(shard = %key, ?peer, "a member gave a shard that is not what its leaf says");
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
            return self.keep(table, (key, generation), (header, payload)).await;
        }
        let epoch = table.layout().epoch;
        let request = Request::Put { key, pool: self.pool.clone(), epoch, generation, header };
        match self.net.request(&peer, request, Some(payload), TIMEOUT).await {
            Ok((Response::Done, _)) => Offered::Kept,
            Ok((Response::Refused(Refusal::StaleGeneration), _)) => Offered::NotWanted,
            outcome => {
                tracing::debug!(shard = %key, %peer, ?outcome, "a shard is not taken");
                Offered::Failed
            }
        }
    }

    /// As for anybody's put: what was deleted meanwhile stays away.
    async fn keep(
        &self,
        table: &Table,
        (key, generation): (ShardKey, Generation),
        (header, payload): (Bytes, Bytes),
    ) -> Offered {
        let _arriving = self.rules.arrive();
        if self.trust.layout(&self.pool).is_none_or(|layout| layout.epoch != table.layout().epoch) {
            return Offered::Failed;
        }
        let _turn = match self.rules.admit(key, generation).await {
            Ok(turn) => turn,
            Err(NotNow::Deleted) => return Offered::NotWanted,
            Err(NotNow::Leaving | NotNow::Records(_)) => return Offered::Failed,
        };
        match self.shelf.put(key, generation, header, payload).await {
            Ok(()) => Offered::Kept,
            Err(error) => {
                tracing::warn!(shard = %key, %error, "a rebuilt shard is not kept");
                Offered::Failed
            }
        }
    }

    /// The shards of a segment that another member has.
    pub(super) async fn locate(&self, table: &Table, member: u16, segment: SegmentId) -> Option<ShardSet> {
        let peer = Self::peer(table, member)?;
        match self.net.request(&peer, Request::Locate { segment }, None, TIMEOUT).await {
            Ok((Response::Located(found), _)) => Some(found.into_iter().collect()),
            _ => None,
        }
    }

    /// Whether the member a shard belongs to has it durably, of this generation or a later one, and will keep it.
    pub(super) async fn is_home(
        &self,
        table: &Table,
        member: u16,
        (key, generation): (ShardKey, Generation),
    ) -> Option<bool> {
        let peer = Self::peer(table, member)?;
        let request = Request::Home { key, epoch: table.layout().epoch, generation };
        match self.net.request(&peer, request, None, TIMEOUT).await {
            Ok((Response::Done, _)) => Some(true),
            Ok((Response::Refused(Refusal::NotFound), _)) => Some(false),
            _ => None,
        }
    }
}
