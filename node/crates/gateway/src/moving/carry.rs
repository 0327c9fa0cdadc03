//! The worker of a move: copies where the catalog leads, says elsewhere that this gateway is ready, and notices the end everywhere.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::moving::{
    Begun, MoveError, Mover, Moves, Step, has_gone, look, say_ready, say_ready_elsewhere,
};
use datamesh_catalog::record::{MoveId, ShredState};
use datamesh_shard::NodeName;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::target::Target;
use super::{MoveFault, UnderWay, left_here};
use crate::group::Leading;
use crate::surroundings::{Surroundings, random};
use crate::work::{Next, Worker};

/// Between two looks of a gateway that others are ahead of, or behind.
const PERIOD: Duration = Duration::from_millis(500);
/// After a fault that passes, and after one that somebody must mend.
const AFTER_FAULT: Duration = Duration::from_secs(2);
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// Between two looks whether the catalog is still where it has moved to.
const SETTLED: Duration = Duration::from_secs(1);

pub(crate) struct CarryMove {
    way: UnderWay,
    /// Where it is carried out.
    leading: Leading,
    mover: Option<Box<Mover>>,
    catalog: EmbeddedCatalog,
    surroundings: Arc<dyn Surroundings>,
}

impl CarryMove {
    pub(crate) fn new(way: UnderWay, catalog: EmbeddedCatalog, surroundings: Arc<dyn Surroundings>) -> Self {
        let leading = way.target.leading(way.keyspace.source());
        Self { way, leading, mover: None, catalog, surroundings }
    }

    async fn step(&mut self) -> Result<Next, MoveFault> {
        if let Target::Elsewhere(taker, dir) = &self.way.target {
            return self.stand_aside(taker, dir).await;
        }
        if self.way.keyspace.look().await.map_err(MoveError::from)? {
            self.mover = None;
            // It may go on from there, by a gateway that was told.
            if has_gone(self.way.keyspace.current()).await?.is_some() {
                self.way.end("the catalog has gone on, and this gateway was not told");
            }
            return Ok(Next::Wait(SETTLED));
        }
        let target = self.target().await?;
        let is_fenced = self.mover.as_ref().is_some_and(|mover| mover.is_fenced());
        if !is_fenced && !self.leading.now() {
            self.mover = None;
            say_ready(self.way.keyspace.source(), &target, &self.way.own).await?;
            self.way.told.waits("the gateway that leads the catalog copies it".into());
            return Ok(Next::Wait(PERIOD));
        }
        self.carry(target).await
    }

    /// Another gateway takes it onto its volume. Once it may be open there, this one reads nothing any more, and waits for other settings.
    async fn stand_aside(&self, taker: &NodeName, dir: &Path) -> Result<Next, MoveFault> {
        let source = self.way.keyspace.source();
        let waits = if has_gone(source).await?.is_some() {
            format!("for this gateway's settings to name the catalog that {taker} has on its volume")
        } else {
            left_here::make_room(dir, look(source).await?).await?;
            say_ready_elsewhere(source, &self.way.own).await?;
            format!("{taker} takes it onto its volume")
        };
        self.way.told.waits(waits);
        Ok(Next::Wait(PERIOD))
    }

    /// Opened once.
    async fn target(&self) -> Result<AnyKeyspace, MoveFault> {
        let keyspace = &self.way.keyspace;
        if let Some(target) = keyspace.target() {
            return Ok(target.clone());
        }
        let opened = self.way.target.open(&look(keyspace.source()).await?).await?;
        keyspace.moves_to(opened.clone());
        Ok(opened)
    }

    /// What is shredded is to be nowhere.
    async fn is_shredding(&self) -> Result<bool, MoveFault> {
        let shreds = self.catalog.shreds().await?;
        Ok(shreds.iter().any(|shred| matches!(shred.record.state, ShredState::Going { .. })))
    }

    async fn carry(&mut self, target: AnyKeyspace) -> Result<Next, MoveFault> {
        let now = self.surroundings.now_unix_ms();
        if self.mover.is_none() && self.is_shredding().await? {
            self.way.told.waits("for objects to be shredded: a copy would keep their keys".into());
            return Ok(Next::Wait(AFTER_FAULT));
        }
        let UnderWay { keyspace, to, own, gateways, told, .. } = &self.way;
        let mover = match &mut self.mover {
            Some(mover) => mover,
            None => {
                let (source, gateways) = (keyspace.source().clone(), gateways.clone());
                let moves = Moves { source, target: target.clone(), to: *to, gateways };
                match Mover::begin(moves, MoveId(random(&*self.surroundings)), now).await? {
                    Begun::Arrived => {
                        // Noticed in the next look, but where the source is older than its fence.
                        if has_gone(keyspace.source()).await?.is_none() {
                            self.way.end(
                                "the catalog is open where it moves to, and what this gateway has is old",
                            );
                        }
                        return Ok(Next::Wait(PERIOD));
                    }
                    Begun::Moving(mover) => {
                        told.progress(mover.progress());
                        self.mover.insert(mover)
                    }
                }
            }
        };
        if mover.progress().step == Step::Await {
            say_ready(keyspace.source(), &target, own).await?;
        }
        let step = mover.step(now).await?;
        told.progress(mover.progress());
        if step == Step::Await && !mover.missing().is_empty() {
            let missing: Vec<&str> = mover.missing().iter().map(|gateway| gateway.as_str()).collect();
            told.waits(format!("for {} to have the target open", missing.join(", ")));
            return Ok(Next::Wait(PERIOD));
        }
        Ok(Next::Busy)
    }
}

impl Worker for CarryMove {
    fn name(&self) -> &'static str {
        "the catalog's move"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|fault| {
                if fault.is_of_two(&self.way.fingerprint) {
                    self.way.end("the catalog of this cluster is open where it moves to, and here");
                }
                if !fault.may_be_repeated() {
                    // Begun again, it finds what is done by now.
                    self.mover = None;
                }
                let pause = if fault.stays() { AFTER_REFUSAL } else { AFTER_FAULT };
                self.way.told.waits(fault.to_string());
                Next::Wait(pause)
            })
        }
        .boxed()
    }
}
