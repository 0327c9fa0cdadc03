//! With which of two engines a gateway begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::engine::{AnyKeyspace, MovingKeyspace, PostgresKeyspace, PostgresOptions};
use datamesh_catalog::moving::{
    Begun, Course, MoveError, Mover, Moves, Refusal, Step, course, look, take_back,
};
use datamesh_catalog::record::MoveId;
use datamesh_catalog::{Catalog, CatalogOptions, EmbeddedCatalog};
use datamesh_settings::{CatalogMove, GatewaySettings};
use datamesh_shard::NodeName;

use super::{MoveFault, Target, Told, UnderWay, keeper};
use crate::group::volume;
use crate::server::{CATALOG_DIR, GatewayError, Waiting};
use crate::surroundings::{OperatingSystem, Surroundings, random};

/// Between two tries to bring a move to its end before anybody is served.
const PAUSE: Duration = Duration::from_secs(1);

/// What a move is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) gateway: &'a GatewaySettings,
    pub(crate) direction: CatalogMove,
    pub(crate) database: PostgresOptions,
    pub(crate) fingerprint: String,
    pub(crate) options: CatalogOptions,
    pub(crate) waiting: &'a Waiting,
}

impl Opening<'_> {
    /// The database, where the catalog has moved there already, of a gateway whose volume has nothing: before a catalog is begun there, it must be known that there is
    /// none in the database.
    pub(crate) async fn beside_nothing(&self) -> Result<Option<EmbeddedCatalog>, GatewayError> {
        if self.direction == CatalogMove::FromDatabase || has_catalog(&self.gateway.data_dir) {
            return Ok(None);
        }
        loop {
            match PostgresKeyspace::open(self.database.clone()).await {
                Ok(opened) => {
                    let opened = AnyKeyspace::from(opened);
                    if look(&opened).await.map_err(MoveFault::from)?.is_empty() {
                        return Ok(None);
                    }
                    return Ok(Some(self.catalog(opened).await?));
                }
                Err(error) => {
                    self.waiting.tell(format!("for the database, which may have the catalog: {error}"))
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The source of a gateway that serves the catalog from a database.
    pub(crate) async fn database(&self) -> Result<AnyKeyspace, GatewayError> {
        let opened = PostgresKeyspace::open(self.database.clone()).await;
        Ok(AnyKeyspace::from(opened.map_err(OpenError::from)?))
    }

    /// The catalog that moves from there, or has moved. One that has left the source is brought to its end before anybody is served.
    pub(crate) async fn from(
        &self,
        source: AnyKeyspace,
    ) -> Result<(EmbeddedCatalog, Option<UnderWay>), GatewayError> {
        if let Target::Elsewhere(taker, _) = self.target() {
            return self.beside(source, &taker).await;
        }
        loop {
            let here = look(&source).await.map_err(MoveFault::from)?;
            if here.gone().is_some() {
                let target = self.brought_to_its_end(&source).await?;
                return Ok((self.catalog(target).await?, None));
            }
            if let Some(target) = self.without_a_fence(&source, here.begun().is_some()).await? {
                return Ok((self.catalog(target).await?, None));
            }
            let keyspace = MovingKeyspace::new(source.clone());
            match self.catalog(keyspace.clone().into()).await {
                // Another gateway fenced it meanwhile.
                Err(OpenError::Gone { .. }) => {}
                Err(OpenError::Catalog(error)) if error.is_leaderless() => {
                    self.waiting.tell(format!("for a leader: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
                opened => return Ok((opened?, Some(self.under_way(keyspace)))),
            }
        }
    }

    /// The same where another gateway takes it onto its volume: the source, until the target may be open.
    async fn beside(
        &self,
        source: AnyKeyspace,
        taker: &NodeName,
    ) -> Result<(EmbeddedCatalog, Option<UnderWay>), GatewayError> {
        loop {
            let keyspace = MovingKeyspace::to_elsewhere(source.clone());
            match self.catalog(keyspace.clone().into()).await {
                Err(OpenError::Gone { .. }) => {}
                // By now it may be open there.
                Err(OpenError::Catalog(error)) if error.is_leaderless() => {}
                opened => return Ok((opened?, Some(self.under_way(keyspace)))),
            }
            self.waiting.tell(format!(
                "for this gateway's settings to name the catalog that {taker} has on its volume"
            ));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The target, where it is open although the source knows of no fence: a volume that was set back to before. Where a move has begun here,
    /// that must be known before anybody is served.
    async fn without_a_fence(
        &self,
        source: &AnyKeyspace,
        has_begun: bool,
    ) -> Result<Option<AnyKeyspace>, MoveFault> {
        loop {
            match self.judged(source).await {
                Ok((Ok(Course::Arrived(_)), target)) => return Ok(Some(target)),
                // Two of one cluster: nobody can tell which of them is old.
                Ok((Err(refusal @ Refusal::Another { .. }), _)) if refusal.is_of(&self.fingerprint) => {
                    return Err(refusal.into());
                }
                Ok(_) => return Ok(None),
                Err(fault) if fault.stays() || !has_begun => {
                    tracing::warn!(%fault, "what the catalog moves to does not open");
                    return Ok(None);
                }
                Err(fault) => self.waiting.tell(format!("to know whether the catalog has moved: {fault}")),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn judged(
        &self,
        source: &AnyKeyspace,
    ) -> Result<(Result<Course, Refusal>, AnyKeyspace), MoveFault> {
        let target = self.target().open(&look(source).await?).await?;
        let judged = course(&look(source).await?, &look(&target).await?);
        Ok((judged, target))
    }

    fn under_way(&self, keyspace: MovingKeyspace) -> UnderWay {
        let to = keeper(self.direction);
        let members = self.gateway.catalog_gateways().map(|member| member.node.clone());
        let mut gateways: Vec<NodeName> = members.collect();
        if gateways.is_empty() {
            gateways.push(self.node.clone());
        }
        let told = Arc::new(Told::new(keyspace.clone(), to));
        UnderWay {
            keyspace,
            target: self.target(),
            to,
            own: self.node.clone(),
            gateways,
            fingerprint: self.fingerprint.clone(),
            ends: Arc::default(),
            told,
        }
    }

    fn target(&self) -> Target {
        match self.direction {
            CatalogMove::ToDatabase => Target::Database(self.database.clone()),
            CatalogMove::FromDatabase => {
                let dir = self.gateway.data_dir.clone();
                match self.gateway.catalog_members.first() {
                    Some(taker) if taker.node != *self.node => Target::Elsewhere(taker.node.clone(), dir),
                    _ => Target::Volume(dir),
                }
            }
        }
    }

    async fn catalog(&self, keyspace: AnyKeyspace) -> Result<EmbeddedCatalog, OpenError> {
        Catalog::with_keyspace(keyspace, &self.fingerprint, self.options).await
    }

    /// Where several gateways keep the source, the one that leads it does that.
    async fn brought_to_its_end(&self, source: &AnyKeyspace) -> Result<AnyKeyspace, MoveFault> {
        let keyspace = MovingKeyspace::new(source.clone());
        loop {
            match self.try_to_end(&keyspace).await {
                Ok(true) => return Ok(keyspace.current().clone()),
                Ok(false) => self.waiting.tell("for the catalog's move to be finished".into()),
                Err(fault) if fault.stays() => return Err(fault),
                Err(fault) => self.waiting.tell(format!(
                    "for the catalog's move to be finished: {fault}. If what it moves to is lost, set spec.catalog, or these settings, back \
                     as they were: as long as it cannot be open there, that calls the move off"
                )),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_to_end(&self, keyspace: &MovingKeyspace) -> Result<bool, MoveFault> {
        let source = keyspace.source();
        if keyspace.target().is_none() {
            keyspace.moves_to(self.target().open(&look(source).await?).await?);
        }
        let arrived = async || keyspace.look().await.map_err(MoveError::from);
        let Some(target) = keyspace.target() else { return Ok(false) };
        if arrived().await? || !self.target().leading(source).now() {
            return Ok(keyspace.has_arrived());
        }
        let moves = Moves {
            source: source.clone(),
            target: target.clone(),
            to: keeper(self.direction),
            gateways: Vec::new(),
        };
        let (surroundings, fresh) = (OperatingSystem, MoveId(random(&OperatingSystem)));
        if let Begun::Moving(mut mover) = Mover::begin(moves, fresh, surroundings.now_unix_ms()).await? {
            while mover.step(surroundings.now_unix_ms()).await? != Step::Done {}
        }
        Ok(arrived().await?)
    }
}

/// The catalog of a gateway that is told of no move. One that was called off is taken back, if nothing can have been acknowledged where it
/// was going.
pub(crate) async fn served_here(
    keyspace: AnyKeyspace,
    own: &NodeName,
    (fingerprint, options): (&str, CatalogOptions),
) -> Result<EmbeddedCatalog, GatewayError> {
    let opened = Catalog::with_keyspace(keyspace.clone(), fingerprint, options).await;
    if matches!(opened, Err(OpenError::Gone { .. }))
        && take_back(&keyspace, own).await.map_err(MoveFault::from)?
    {
        return Ok(Catalog::with_keyspace(keyspace, fingerprint, options).await?);
    }
    Ok(opened?)
}

/// The catalog in a database, of a gateway that has nothing else. An empty one beside a volume with a catalog is somebody's mistake.
pub(crate) async fn in_database(
    database: PostgresOptions,
    (own, dir): (&NodeName, &Path),
    with: (&str, CatalogOptions),
) -> Result<EmbeddedCatalog, GatewayError> {
    let opened = AnyKeyspace::from(PostgresKeyspace::open(database).await.map_err(OpenError::from)?);
    if has_catalog(dir) && look(&opened).await.map_err(MoveFault::from)?.is_empty() {
        return Err(MoveFault::Forgotten(dir.join(CATALOG_DIR)).into());
    }
    served_here(opened, own, with).await
}

/// Whether a volume has one of any kind, or a part of one.
fn has_catalog(dir: &Path) -> bool {
    dir.join(CATALOG_DIR).exists() || volume::has_part(dir)
}
