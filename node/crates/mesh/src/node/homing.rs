//! Shards that this node only stands in for go home: to the member they belong to by the newest layout. That is how
//! handoff shards, and the data of a changed layout, find their place.
//!
//! A shard leaves this disk only after the member it belongs to said, under the same epoch, that it has it durably and
//! will keep it. While that is asked, this node says of its own copy that it is leaving, so two nodes with different
//! layouts never each rely on the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datamesh_placement::{PartitionId, Table};
use datamesh_shard::{Generation, Held, ShardIndex, ShardKey};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::fellows::{Fellows, Offered, held};
use super::ledger::Ledger;
use super::pace::Pace;
use super::rules::Rules;
use crate::worker::{Next, Worker};

/// Between two looks for deletes that need not be remembered any more.
const FORGET_PERIOD: Duration = Duration::from_secs(3600);
/// A pass is followed by this many times its own duration of rest.
const REST_FACTOR: u32 = 20;

/// The worker.
pub(super) struct Homing {
    pub(super) fellows: Arc<Fellows>,
    pub(super) rules: Arc<Rules>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) pace: Pace,
    /// When deletes of long ago were last forgotten.
    pub(super) forgot: Option<Instant>,
}

/// What one pass came to.
#[derive(Default)]
struct Tally {
    sent: u64,
    left: u64,
}

impl Homing {
    async fn pass(&mut self) -> Next {
        let Some(table) = self.fellows.table_to_repair().await else {
            return Next::Wait(self.pace.rest_open);
        };
        let begun = Instant::now();
        self.forget(begun).await;
        let mut tally = Tally::default();
        for partition in (0..table.partitions()).map(PartitionId) {
            self.visit(&table, partition, &mut tally).await;
        }
        self.ledger.homed(tally.sent, tally.left);
        if tally.sent > 0 {
            tracing::info!(sent = tally.sent, left = tally.left, "shards went home");
        }
        Next::Wait((begun.elapsed() * REST_FACTOR).max(self.pace.rest_homing))
    }

    async fn forget(&mut self, now: Instant) {
        if self.forgot.is_some_and(|at| now.duration_since(at) < FORGET_PERIOD) {
            return;
        }
        self.forgot = Some(now);
        let rules = Arc::clone(&self.rules);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || rules.forget_old()).await {
            tracing::warn!(%error, "remembered deletes are not forgotten");
        }
    }

    async fn visit(&self, table: &Arc<Table>, partition: PartitionId, tally: &mut Tally) {
        let mut after = None;
        loop {
            let store = &self.fellows.store;
            let page =
                held(store, table.layout().partitions_log2, partition.0, after).await.unwrap_or_default();
            let Some(last) = page.last() else { return };
            after = Some(last.segment);
            for Held { segment, generation, shards } in page {
                for index in shards.iter() {
                    let key = ShardKey { segment, index };
                    if let Some(home) = home_of(&self.fellows, table, partition, index) {
                        self.send(table, home, (key, generation), tally).await;
                    }
                }
            }
        }
    }

    async fn send(
        &self,
        table: &Arc<Table>,
        home: u16,
        (key, generation): (ShardKey, Generation),
        tally: &mut Tally,
    ) {
        if !self.fellows.is_live(table, home) {
            tally.left += 1;
            return;
        }
        let leaving = self.rules.leave(key).await;
        match self.settled(table, home, (key, generation)).await {
            true => match self.fellows.store.delete(key, generation).await {
                Ok(_) => tally.sent += 1,
                Err(error) => {
                    tracing::warn!(shard = %key, %error, "a shard that went home is not deleted here")
                }
            },
            false => tally.left += 1,
        }
        drop(leaving);
    }

    /// Whether this copy is of no more use: its home has one, or nobody wants it.
    async fn settled(
        &self,
        table: &Arc<Table>,
        home: u16,
        (key, generation): (ShardKey, Generation),
    ) -> bool {
        match self.fellows.is_home(table, home, key).await {
            Some(true) => return true,
            Some(false) => {}
            None => return false,
        }
        let Ok(Some(shard)) = self.fellows.store.get(key).await else { return false };
        let offer = (shard.header, shard.payload);
        match self.fellows.put(table, home, (key, generation), offer).await {
            // Kept: asked once more, since only this answer promises that it stays.
            Offered::Kept => self.fellows.is_home(table, home, key).await == Some(true),
            Offered::NotWanted => true,
            Offered::Failed => false,
        }
    }
}

impl Worker for Homing {
    fn name(&self) -> &'static str {
        "homing"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.pass().boxed()
    }
}

/// The member a shard belongs to, if that is another.
fn home_of(fellows: &Fellows, table: &Table, partition: PartitionId, index: ShardIndex) -> Option<u16> {
    let holder = *table.holders(partition).get(index.at())?;
    (fellows.me(table) != Some(holder)).then_some(holder)
}
