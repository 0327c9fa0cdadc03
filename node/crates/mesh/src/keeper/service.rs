//! What a storage node answers.

use std::sync::Arc;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_placement::SignedLayout;
use datamesh_settings::admin::{NodeReport, ScrubSpec};
use datamesh_shard::{Epoch, Generation, PoolName, SegmentHeader, SegmentId, ShardError, ShardKey};
use datamesh_store::{DeleteError, GetError, PutError};

use super::anchors::Anchors;
use super::fellows::{Fellows, Span};
use super::ledger::Ledger;
use super::rules::NotNow;
use super::scrub::Orders;
use super::shreds::Shreds;
use crate::planted::{Planted, is_planted};
use crate::server::Handler;
use crate::trust::{Caller, LayoutRefused};

/// Serves one node's shards to gateways and to members of its own pool.
pub struct StorageService {
    pub(super) fellows: Arc<Fellows>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) orders: Arc<Orders>,
    pub(super) shreds: Shreds,
    pub(super) anchors: Anchors,
}

type Answer = Result<(Response, Bytes), Refusal>;

impl Handler for StorageService {
    async fn handle(&self, from: Caller, request: Request, payload: Bytes) -> (Response, Bytes) {
        match Box::pin(self.answer(&from, request, payload)).await {
            Ok(answer) => answer,
            Err(refusal) => (Response::Refused(refusal), Bytes::new()),
        }
    }
}

impl StorageService {
    async fn answer(&self, from: &Caller, request: Request, payload: Bytes) -> Answer {
        let is_fellow =
            from.member_of.as_ref() == Some(&self.fellows.pool) && self.is_fellows_business(&request).await;
        if !(from.is_gateway() || is_fellow) {
            return Err(Refusal::NotAMember);
        }
        match request {
            Request::Put { key, pool, epoch, generation, header } => {
                // Before the layout is looked at: see `report`.
                let _arriving = self.fellows.rules.arrive();
                self.may_take(&pool, epoch)?;
                self.put(key, generation, header, payload).await
            }
            Request::Get { key } => self.get(key).await,
            Request::GetRange { key, offset, len } => self.get_range(key, offset, len).await,
            Request::Locate { segment } => {
                let found = self.fellows.shelf.locate(segment).await.map_err(|error| failed(&error))?;
                Ok((Response::Located(found), Bytes::new()))
            }
            Request::Delete { key, generation } => self.delete(from, key, generation).await,
            Request::DeleteSegment { segment, generation } => {
                self.delete_segment(from, segment, generation).await
            }
            Request::Inventory { partitions_log2, partition, after } => {
                let span =
                    datamesh_placement::segments_of(partitions_log2, partition).ok_or_else(no_partition)?;
                self.inventory(span, after).await
            }
            Request::Slice { from, to, after } => self.inventory((from, to), after).await,
            Request::Digests(asked) => {
                let of = asked.ranges().filter(|_| self.is_slice(asked.partitions_log2));
                let of = of.ok_or_else(no_partition)?;
                let digests = self.fellows.digests(&asked, of).await.ok_or_else(not_listed)?;
                Ok((Response::Digests(digests), Bytes::new()))
            }
            Request::Home { key, epoch, generation } => self.home(key, epoch, generation).await,
            Request::Stewardship { after } => {
                Ok((Response::Stewardship(self.ledger.stewardship(after)), Bytes::new()))
            }
            Request::Look { segments } => {
                if let Some(table) = self.fellows.table().await {
                    self.fellows.looks.ask(&table, &segments);
                }
                Ok((Response::Done, Bytes::new()))
            }
            Request::Mesh => Ok((Response::Mesh(self.fellows.view()), Bytes::new())),
            Request::Report => Ok((Response::Report(self.report()), Bytes::new())),
            Request::Layout(signed) => self.learn(&signed),
            Request::Scrub { period_seconds, paused, max_bytes_per_second } => {
                self.scrub(from, ScrubSpec { period_seconds, paused, max_bytes_per_second })
            }
            Request::Shred { segments } => self.shred(from, &segments),
            Request::KeepAnchor { .. }
            | Request::ForgetAnchors { .. }
            | Request::Anchors
            | Request::Anchor { .. }
            | Request::NewestLayout => Ok((self.of_backups(from, request)?, Bytes::new())),
            Request::Standing | Request::Replica => {
                Err(Refusal::BadRequest("only gateways keep a catalog".into()))
            }
            Request::Join(_) => Err(Refusal::BadRequest("only gateways let nodes in".into())),
            Request::Hello { .. } => Err(Refusal::BadRequest("Hello is answered by the transport".into())),
        }
    }

    fn shred(&self, from: &Caller, segments: &[SegmentId]) -> Answer {
        if !from.is_gateway() {
            return Err(Refusal::BadRequest("only gateways shred".into()));
        }
        Ok((self.shreds.ask(&self.fellows.shelf, segments)?, Bytes::new()))
    }

    /// What gateways ask about the catalog's backups, and when they restore one.
    fn of_backups(&self, from: &Caller, request: Request) -> Result<Response, Refusal> {
        if !from.is_gateway() {
            return Err(Refusal::BadRequest("only gateways keep a catalog".into()));
        }
        match request {
            Request::KeepAnchor { id, sealed } => self.anchors.keep(id, &sealed).map(|()| Response::Done),
            Request::ForgetAnchors { generation } => self.anchors.forget(generation).map(|()| Response::Done),
            Request::Anchor { id } => self.anchors.get(&id).map(Response::Anchor),
            Request::NewestLayout => {
                let newest = self.fellows.trust.signed_layout(&self.fellows.pool);
                Ok(Response::Layout(newest.map(|signed| SignedLayout::clone(&signed))))
            }
            _ => Ok(Response::Anchors(self.anchors.all())),
        }
    }

    /// Whether a shard placed by this layout may come here.
    fn may_take(&self, pool: &PoolName, epoch: Epoch) -> Result<(), Refusal> {
        let Fellows { pool: own_pool, trust, own, .. } = &*self.fellows;
        if pool != own_pool {
            return Err(Refusal::BadRequest(format!("this node serves pool {own_pool}, not {pool}")));
        }
        let Some(layout) = trust.layout(pool) else {
            return Err(Refusal::BadRequest("this node knows no layout of its pool yet".into()));
        };
        if epoch < layout.epoch && !is_planted(Planted::StaleEpochTaken) {
            return Err(Refusal::StaleEpoch { known: layout.epoch });
        }
        if epoch > layout.epoch {
            // Newer than what was pushed here so far: the gateway knows it, or it could not place by it.
            trust.want_layout(pool, epoch);
        }
        if epoch == layout.epoch && !layout.staying().any(|member| member.peer == *own) {
            return Err(Refusal::BadRequest(format!(
                "this node takes no shards by the layout of epoch {epoch}"
            )));
        }
        Ok(())
    }

    /// What members ask of one another. A layout proves itself. A shard is put only where it belongs, by whoever rebuilt
    /// it or stood in, and only while both know the same layout: a member that lies can fill no more than its fellows'
    /// places in the partitions of its making, and never deletes.
    async fn is_fellows_business(&self, request: &Request) -> bool {
        match request {
            Request::Layout(_)
            | Request::Get { .. }
            | Request::Locate { .. }
            | Request::Inventory { .. }
            | Request::Look { .. }
            | Request::Digests(_)
            | Request::Slice { .. }
            | Request::Home { .. } => true,
            Request::Put { key, epoch, header, .. } => self.is_home(*key, header, *epoch).await,
            _ => false,
        }
    }

    /// Whether a partition among so many is no more than one of the newest layout: a digest reads all rows of it at once.
    fn is_slice(&self, partitions_log2: u8) -> bool {
        let layout = self.fellows.trust.layout(&self.fellows.pool);
        layout.is_some_and(|layout| partitions_log2 >= layout.partitions_log2)
    }

    /// Whether a shard belongs to this node by the layout of this epoch, which is the newest it knows. By what its header says of
    /// the profile: whoever keeps the shard proves that it is the segment's.
    async fn is_home(&self, key: ShardKey, header: &[u8], epoch: Epoch) -> bool {
        let Ok(profile) = SegmentHeader::profile_in(header) else { return false };
        let Some(table) = self.fellows.table().await.filter(|table| table.layout().epoch == epoch) else {
            return false;
        };
        let partition = table.partition_of(key.segment);
        let holder = table.holders_of(profile, partition).get(key.index.at()).copied();
        holder.is_some() && holder == self.fellows.me(&table)
    }

    /// Not by the index alone: whoever asks may delete its copy on this word.
    async fn home(&self, key: ShardKey, epoch: Epoch, generation: Generation) -> Answer {
        // Before it is read, too: it may be taken away between this and the answer.
        if self.fellows.rules.is_leaving(key) {
            return Err(Refusal::NotFound);
        }
        let shard = match self.fellows.read(key).await {
            Ok(Some(shard)) if shard.generation >= generation => shard,
            Ok(_) | Err(GetError::Corrupt { .. }) => return Err(Refusal::NotFound),
            Err(error) => return Err(not_read(&error)),
        };
        if !self.is_home(key, &shard.header, epoch).await || self.fellows.rules.is_leaving(key) {
            return Err(Refusal::NotFound);
        }
        Ok((Response::Done, Bytes::new()))
    }

    async fn inventory(&self, span: Span, after: Option<SegmentId>) -> Answer {
        let page = self.fellows.held(span, after).await.ok_or_else(not_listed)?;
        Ok((Response::Inventory(page), Bytes::new()))
    }

    async fn put(&self, key: ShardKey, generation: Generation, header: Bytes, payload: Bytes) -> Answer {
        let _turn = self.fellows.rules.admit(key, generation).await.map_err(|reason| match reason {
            NotNow::Leaving => Refusal::Busy,
            NotNow::Deleted => Refusal::StaleGeneration,
            NotNow::Records(error) => failed(&error),
        })?;
        match self.fellows.shelf.put(key, generation, header, payload).await {
            Ok(()) => Ok((Response::Done, Bytes::new())),
            // The request is as it was sent; its payload was changed on the way, or by the sender. Worth another try.
            Err(error @ PutError::Shard(ShardError::Leaf)) => {
                tracing::warn!(shard = %key, %error, "a shard arrived changed");
                Err(Refusal::Busy)
            }
            Err(error @ (PutError::Header(_) | PutError::Shard(_))) => {
                Err(Refusal::BadRequest(error.to_string()))
            }
            Err(PutError::Full { .. }) => Err(Refusal::Full),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn get(&self, key: ShardKey) -> Answer {
        match self.fellows.read(key).await {
            Ok(Some(shard)) => Ok((Response::Shard { header: shard.header }, shard.payload)),
            Ok(None) => Err(Refusal::NotFound),
            Err(error) => Err(not_read(&error)),
        }
    }

    async fn get_range(&self, key: ShardKey, offset: u32, len: u32) -> Answer {
        match self.fellows.read_range(key, offset, len).await {
            Ok(Some(bytes)) => Ok((Response::Range, bytes)),
            Ok(None) => Err(Refusal::NotFound),
            Err(error) => Err(not_read(&error)),
        }
    }

    async fn delete(&self, from: &Caller, key: ShardKey, generation: Generation) -> Answer {
        if !from.is_gateway() {
            // Only the catalog authorises deletion, never another node's view.
            return Err(Refusal::BadRequest("only gateways delete".into()));
        }
        let _turn = self.fellows.rules.turn(key.segment).await;
        self.take_away(key, generation).await?;
        Ok((Response::Done, Bytes::new()))
    }

    /// Remembered first: what is still on its way here comes too late.
    async fn delete_segment(&self, from: &Caller, segment: SegmentId, generation: Generation) -> Answer {
        if !from.is_gateway() {
            return Err(Refusal::BadRequest("only gateways delete".into()));
        }
        let _turn = self.fellows.rules.turn(segment).await;
        self.fellows.rules.remember_deleted(segment, generation).map_err(|error| failed(&error))?;
        for index in self.fellows.shelf.present(segment).await.map_err(|error| failed(&error))? {
            self.take_away(ShardKey { segment, index }, generation).await?;
        }
        Ok((Response::Done, Bytes::new()))
    }

    async fn take_away(&self, key: ShardKey, generation: Generation) -> Result<(), Refusal> {
        match self.fellows.shelf.delete(key, generation).await {
            Ok(_) => Ok(()),
            Err(DeleteError::NoSpace) => Err(Refusal::Full),
            Err(error) => Err(failed(&error)),
        }
    }

    fn scrub(&self, from: &Caller, ordered: ScrubSpec) -> Answer {
        if !from.is_gateway() {
            return Err(Refusal::BadRequest("only gateways order".into()));
        }
        if !ordered.is_within_limits() {
            return Err(Refusal::BadRequest(format!("no node scrubs like that: {ordered:?}")));
        }
        self.orders.order(ordered).map_err(|error| failed(&error))?;
        Ok((Response::Done, Bytes::new()))
    }

    fn learn(&self, signed: &SignedLayout) -> Answer {
        match self.fellows.trust.learn_layout(signed) {
            Ok(_) => Ok((Response::Done, Bytes::new())),
            Err(LayoutRefused::Older { known, .. }) => Err(Refusal::StaleEpoch { known }),
            Err(error) => {
                tracing::warn!(%error, "a layout is refused");
                Err(Refusal::BadRequest(error.to_string()))
            }
        }
    }

    /// In this order, for [`NodeReport::is_drained`]: a put that is not counted looks at the layout after this did.
    fn report(&self) -> NodeReport {
        let Fellows { shelf, trust, pool, .. } = &*self.fellows;
        let epoch = trust.layout(pool).map(|layout| layout.epoch);
        let arriving = self.fellows.rules.arriving();
        let usage = shelf.usage();
        NodeReport {
            incarnation: shelf.incarnation(),
            shards: usage.shards,
            shard_bytes: usage.shard_bytes,
            capacity_bytes: usage.capacity_bytes,
            free_bytes: usage.free_bytes,
            accepting: usage.accepting,
            corrupt_shards: usage.corrupt_shards,
            epoch,
            arriving,
            scrub: Some(self.orders.report()),
        }
    }
}

fn no_partition() -> Refusal {
    Refusal::BadRequest("no such partition, or too many ranges".into())
}

fn not_listed() -> Refusal {
    Refusal::Failed("the index cannot be read".into())
}

fn failed(error: &dyn std::error::Error) -> Refusal {
    tracing::error!(%error, "the store failed");
    Refusal::Failed(error.to_string())
}

fn not_read(error: &GetError) -> Refusal {
    match error {
        GetError::Corrupt { .. } => {
            tracing::error!(%error, "a shard is damaged");
            Refusal::Corrupt { detail: error.to_string() }
        }
        GetError::Range { .. } => Refusal::BadRequest(error.to_string()),
        _ => failed(error),
    }
}
