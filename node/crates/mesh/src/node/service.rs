//! What a storage node answers.

use std::sync::Arc;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_placement::SignedLayout;
use datamesh_settings::admin::NodeReport;
use datamesh_shard::{Epoch, Generation, PeerKey, PoolName, SegmentId, ShardKey};
use datamesh_store::{DeleteError, GetError, PutError, Store};

use super::fellows::{Fellows, held};
use super::ledger::Ledger;
use super::rules::Rules;
use crate::server::Handler;
use crate::trust::{Caller, LayoutRefused, Trust};

/// Serves one store's shards to gateways and to members of its own pool.
pub(super) struct StorageService {
    pub(super) store: Store,
    pub(super) trust: Arc<Trust>,
    pub(super) pool: PoolName,
    pub(super) peer: PeerKey,
    pub(super) fellows: Arc<Fellows>,
    pub(super) rules: Arc<Rules>,
    pub(super) ledger: Arc<Ledger>,
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
            from.member_of.as_ref() == Some(&self.pool) && self.is_fellows_business(&request).await;
        if !(from.is_gateway() || is_fellow) {
            return Err(Refusal::NotAMember);
        }
        match request {
            Request::Put { key, pool, epoch, generation, header } => {
                self.may_take(&pool, epoch)?;
                self.put(key, generation, header, payload).await
            }
            Request::Get { key } => self.get(key).await,
            Request::GetRange { key, offset, len } => self.get_range(key, offset, len).await,
            Request::Locate { segment } => {
                let found = self.store.locate(segment).await.map_err(|error| failed(&error))?;
                Ok((Response::Located(found), Bytes::new()))
            }
            Request::Delete { key, generation } => self.delete(from, key, generation).await,
            Request::DeleteSegment { segment, generation } => {
                self.delete_segment(from, segment, generation).await
            }
            Request::Inventory { partitions_log2, partition, after } => {
                match held(&self.store, partitions_log2, partition, after).await {
                    Some(page) => Ok((Response::Inventory(page), Bytes::new())),
                    None => Err(Refusal::BadRequest("no such partition, or the index fails".into())),
                }
            }
            Request::Home { key, epoch } => self.home(key, epoch).await,
            Request::Stewardship => Ok((Response::Stewardship(self.ledger.stewardship()), Bytes::new())),
            Request::Report => Ok((Response::Report(self.report()), Bytes::new())),
            Request::Layout(signed) => self.learn(&signed),
            Request::Join(_) => Err(Refusal::BadRequest("only gateways let nodes in".into())),
            Request::Hello { .. } => Err(Refusal::BadRequest("Hello is answered by the transport".into())),
        }
    }

    /// Whether a shard placed by this layout may come here.
    fn may_take(&self, pool: &PoolName, epoch: Epoch) -> Result<(), Refusal> {
        if *pool != self.pool {
            return Err(Refusal::BadRequest(format!("this node serves pool {}, not {pool}", self.pool)));
        }
        let Some(layout) = self.trust.layout(pool) else {
            return Err(Refusal::BadRequest("this node knows no layout of its pool yet".into()));
        };
        if epoch < layout.epoch {
            return Err(Refusal::StaleEpoch { known: layout.epoch });
        }
        if epoch > layout.epoch {
            // Newer than what was pushed here so far: the gateway knows it, or it could not place by it.
            self.trust.want_layout(pool, epoch);
        }
        if epoch == layout.epoch && !layout.members.iter().any(|member| member.peer == self.peer) {
            return Err(Refusal::BadRequest(format!("this node is not in the layout of epoch {epoch}")));
        }
        Ok(())
    }

    /// What members ask of one another. A layout proves itself. A shard is put only where it belongs, by whoever rebuilt
    /// it or stood in, and only while both know the same layout: a member that lies can fill no more than its fellows'
    /// places in the partitions of its making, and never deletes.
    async fn is_fellows_business(&self, request: &Request) -> bool {
        match request {
            Request::Layout(_) | Request::Get { .. } | Request::Inventory { .. } | Request::Home { .. } => {
                true
            }
            Request::Put { key, epoch, .. } => self.is_home(*key, *epoch).await,
            _ => false,
        }
    }

    /// Whether a shard belongs to this node by the layout of this epoch, which is the newest it knows.
    async fn is_home(&self, key: ShardKey, epoch: Epoch) -> bool {
        let Some(table) = self.fellows.table().await.filter(|table| table.layout().epoch == epoch) else {
            return false;
        };
        let holder = table.holders(table.partition_of(key.segment)).get(key.index.at()).copied();
        holder.is_some() && holder == self.fellows.me(&table)
    }

    async fn home(&self, key: ShardKey, epoch: Epoch) -> Answer {
        if !self.is_home(key, epoch).await || self.rules.is_leaving(key) {
            return Err(Refusal::NotFound);
        }
        let found = self.store.locate(key.segment).await.map_err(|error| failed(&error))?;
        match found.contains(&key.index) {
            true => Ok((Response::Done, Bytes::new())),
            false => Err(Refusal::NotFound),
        }
    }

    async fn put(&self, key: ShardKey, generation: Generation, header: Bytes, payload: Bytes) -> Answer {
        let _turn = self.rules.turn(key.segment).await;
        if self.rules.is_leaving(key) {
            return Err(Refusal::Busy);
        }
        let deleted = self.rules.deleted(key.segment).map_err(|error| failed(&error))?;
        if deleted.is_some_and(|deleted| generation <= deleted) {
            return Err(Refusal::StaleGeneration);
        }
        match self.store.put(key, generation, header, payload).await {
            Ok(()) => Ok((Response::Done, Bytes::new())),
            Err(error @ (PutError::Header(_) | PutError::Shard(_))) => {
                Err(Refusal::BadRequest(error.to_string()))
            }
            Err(PutError::Full { .. }) => Err(Refusal::Full),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn get(&self, key: ShardKey) -> Answer {
        match self.store.get(key).await {
            Ok(Some(shard)) => Ok((Response::Shard { header: shard.header }, shard.payload)),
            Ok(None) => Err(Refusal::NotFound),
            Err(error) => Err(not_read(&error)),
        }
    }

    async fn get_range(&self, key: ShardKey, offset: u32, len: u32) -> Answer {
        match self.store.get_range(key, offset, len).await {
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
        let _turn = self.rules.turn(key.segment).await;
        self.take_away(key, generation).await?;
        Ok((Response::Done, Bytes::new()))
    }

    /// Remembered first: what is still on its way here comes too late.
    async fn delete_segment(&self, from: &Caller, segment: SegmentId, generation: Generation) -> Answer {
        if !from.is_gateway() {
            return Err(Refusal::BadRequest("only gateways delete".into()));
        }
        let _turn = self.rules.turn(segment).await;
        self.rules.remember_deleted(segment, generation).map_err(|error| failed(&error))?;
        for index in self.store.present(segment).await.map_err(|error| failed(&error))? {
            self.take_away(ShardKey { segment, index }, generation).await?;
        }
        Ok((Response::Done, Bytes::new()))
    }

    async fn take_away(&self, key: ShardKey, generation: Generation) -> Result<(), Refusal> {
        match self.store.delete(key, generation).await {
            Ok(_) => Ok(()),
            Err(DeleteError::NoSpace) => Err(Refusal::Full),
            Err(error) => Err(failed(&error)),
        }
    }

    fn learn(&self, signed: &SignedLayout) -> Answer {
        match self.trust.learn_layout(signed) {
            Ok(_) => Ok((Response::Done, Bytes::new())),
            Err(LayoutRefused::Older { known, .. }) => Err(Refusal::StaleEpoch { known }),
            Err(error) => {
                tracing::warn!(%error, "a layout is refused");
                Err(Refusal::BadRequest(error.to_string()))
            }
        }
    }

    fn report(&self) -> NodeReport {
        let usage = self.store.usage();
        NodeReport {
            incarnation: self.store.incarnation(),
            shards: usage.shards,
            shard_bytes: usage.shard_bytes,
            capacity_bytes: usage.capacity_bytes,
            free_bytes: usage.free_bytes,
            accepting: usage.accepting,
            corrupt_shards: usage.corrupt_shards,
            epoch: self.trust.layout(&self.pool).map(|layout| layout.epoch),
        }
    }
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
