//! Carries a move out. Whatever fails, it is begun again: what is done by then is found.

use std::fmt;

use datamesh_shard::NodeName;

use super::closing::Ready;
use super::plan::{self, Facts, Progress, Step};
use super::reading::{Aim, Reading, Sides, catch_up};
use super::standing::{Course, Standing, course, look};
use super::{MoveError, Refusal, begins_above, closing};
use crate::backup::Changed;
use crate::engine::AnyKeyspace;
use crate::keyspace::{ChangesError, Keyspace, Revision, View};
use crate::record::{CameRecord, Copied, Keeper, LeavingRecord, MoveId, MoveRecord};

/// What moves, and who has to be ready.
#[derive(Clone, Debug)]
pub struct Moves {
    /// From here.
    pub source: AnyKeyspace,
    /// To here.
    pub target: AnyKeyspace,
    /// Which is this.
    pub to: Keeper,
    /// All gateways that serve the catalog.
    pub gateways: Vec<NodeName>,
}

impl Moves {
    const fn from(&self) -> Keeper {
        match self.to {
            Keeper::Gateways => Keeper::Postgres,
            Keeper::Postgres => Keeper::Gateways,
        }
    }
}

/// What a move begins with.
#[derive(Debug)]
pub enum Begun {
    /// There is something to do.
    Moving(Box<Mover>),
    /// It is over.
    Arrived,
}

/// A move under way. Of several, the one that began last goes on; the others find out and stop.
pub struct Mover {
    moves: Moves,
    id: MoveId,
    /// The commit of its row in the source.
    own: Revision,
    sides: Sides,
    facts: Facts,
    reading: Reading,
    changed: Changed,
    /// All up to this commit is in the target, and was compared.
    written: Option<Revision>,
    ready: Vec<Ready>,
    missing: Vec<NodeName>,
}

impl fmt::Debug for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mover").field("id", &self.id).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Mover {
    /// Begins a move, or goes on with it. `fresh` names it if it is new.
    ///
    /// # Errors
    /// `Refused` where it may not be; else it is tried again.
    pub async fn begin(moves: Moves, fresh: MoveId, now_unix_ms: u64) -> Result<Begun, MoveError> {
        let (source, there) = (look(&moves.source).await?, look(&moves.target).await?);
        let id = match course(&source, &there)? {
            Course::Arrived(_) => return Ok(Begun::Arrived),
            Course::Begin => fresh,
            Course::GoOn(id) => id,
        };
        let fenced = source.gone().is_some();
        let own = match source.begun {
            Some((_, version)) if fenced => version,
            None if fenced => Revision(0),
            _ => {
                let begun = MoveRecord { id, to: moves.to, begun_unix_ms: now_unix_ms };
                closing::claim_source(&moves.source, &source, &begun).await?
            }
        };
        let closing = close(&moves, (&source, &there), (id, now_unix_ms)).await?;
        let sides = Sides { source: moves.source.clone(), target: moves.target.clone(), closing };
        let known = go_on_from(&moves.source, (&source, &there)).await?;
        let (copied, compared) = (known.is_some(), known.is_some());
        let changed = match known {
            Some(changed) => changed,
            // From before the first page.
            None => Changed::since(moves.source.view().await?.revision().await?),
        };
        let facts = Facts { fenced, copied, compared, ..Facts::default() };
        let (reading, written) = (Reading::begin(), None);
        let (ready, missing) = (Vec::new(), moves.gateways.clone());
        let mover = Self { moves, id, own, sides, facts, reading, changed, written, ready, missing };
        Ok(Begun::Moving(Box::new(mover)))
    }

    /// Which it is.
    #[must_use]
    pub fn id(&self) -> MoveId {
        self.id
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { step: plan::next(&self.facts), rows: self.reading.rows, left: self.facts.left }
    }

    /// Whether nothing is committed in the source any more: then this one brings it to its end, whoever leads there.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.facts.fenced
    }

    /// The gateways that are not ready yet.
    #[must_use]
    pub fn missing(&self) -> &[NodeName] {
        &self.missing
    }

    /// Does the next small piece. Gives what it was; after `Await`, the caller may rest.
    ///
    /// # Errors
    /// Where [`MoveError::passes`], the same step may be tried again. Else begin anew: what is done by then is found.
    pub async fn step(&mut self, now_unix_ms: u64) -> Result<Step, MoveError> {
        let step = plan::next(&self.facts);
        match step {
            Step::Copy => self.facts.copied = self.read(Aim::Copy).await?,
            Step::Compare => self.facts.compared = self.read(Aim::Compare).await?,
            Step::Follow => self.write_changes().await?,
            Step::Await => self.look_for_the_others().await?,
            Step::Fence => {
                let on = (self.own, &self.ready[..]);
                let fence = self.fence(now_unix_ms).await?;
                self.facts.fenced = closing::fence(&self.moves.source, on, &fence).await?;
                // Where it was not put, somebody may have taken back that they are ready.
                self.facts.ready = self.facts.fenced;
            }
            Step::Open => self.open(now_unix_ms).await?,
            Step::Done => return Ok(step),
        }
        if !self.facts.open {
            catch_up(&self.moves.source, &mut self.changed).await?;
            self.facts.left = self.changed.len();
        }
        Ok(step)
    }

    /// A page of a reading; gives whether it has come to its end.
    async fn read(&mut self, aim: Aim) -> Result<bool, MoveError> {
        let ended = self.reading.go_on(&self.sides, &mut self.changed, aim).await?;
        if ended {
            tracing::info!(rows = self.reading.rows, ?aim, "all of the catalog was read, which moves");
            self.reading = Reading::begin();
        }
        Ok(ended)
    }

    async fn write_changes(&mut self) -> Result<(), MoveError> {
        self.written = Some(self.sides.write_changes(&mut self.changed).await?);
        Ok(())
    }

    /// Says how far the copy is by then, for whoever has to go on with it.
    async fn fence(&self, at_unix_ms: u64) -> Result<LeavingRecord, MoveError> {
        let there = look(&self.moves.target).await?.newest();
        let copied = self.written.map(|through| Copied { through, there });
        Ok(LeavingRecord { id: self.id, to: self.moves.to, copied, at_unix_ms })
    }

    async fn look_for_the_others(&mut self) -> Result<(), MoveError> {
        self.write_changes().await?;
        (self.ready, self.missing) =
            closing::who_is_ready(&self.moves.source, &self.moves.gateways, self.id).await?;
        self.facts.ready = self.missing.is_empty();
        Ok(())
    }

    /// Nothing is committed in the source any more: what is left is all there will be. That it may be open is said as late as can be: until
    /// then a target that is lost costs nothing.
    async fn open(&mut self, now_unix_ms: u64) -> Result<(), MoveError> {
        self.write_changes().await?;
        let source = look(&self.moves.source).await?;
        let there = look(&self.moves.target).await?;
        above(&source, &there)?;
        let (cluster, _) = source.cluster.as_ref().ok_or(Refusal::Nothing)?;
        let came = CameRecord { id: self.id, from: self.moves.from(), at_unix_ms: now_unix_ms };
        closing::let_go(&self.moves.source, self.id).await?;
        closing::open(&self.moves.target, self.sides.closing, (cluster, &came)).await?;
        self.facts.open = true;
        Ok(())
    }
}

/// What is left to copy for a mover that finds a fence, where that is known; else both are read again. A copy that was set back is not what
/// was compared.
async fn go_on_from(
    source: &AnyKeyspace,
    (here, there): (&Standing, &Standing),
) -> Result<Option<Changed>, MoveError> {
    let Some(copied) = here.copied() else { return Ok(None) };
    if there.newest() >= copied.there {
        let mut changed = Changed::since(copied.through);
        match catch_up(source, &mut changed).await {
            Err(MoveError::Changes(ChangesError::Forgotten { .. })) => {}
            outcome => return outcome.map(|()| Some(changed)),
        }
    }
    closing::forget_copied(source, here).await?;
    Ok(None)
}

/// Closes the target, with its revisions above the source's.
async fn close(
    moves: &Moves,
    (source, there): (&Standing, &Standing),
    (id, now_unix_ms): (MoveId, u64),
) -> Result<Revision, MoveError> {
    moves.target.begin_above(begins_above(source.newest())).await?;
    let fence = closing::coming(id, moves.from(), now_unix_ms);
    let closing = closing::close_target(&moves.target, (source, there), &fence).await?;
    above(source, &look(&moves.target).await?)?;
    Ok(closing)
}

/// A version of the one is never one of the other.
fn above(source: &Standing, target: &Standing) -> Result<(), MoveError> {
    let (source_at, target) = (source.newest().0, target.newest().0);
    if target > source_at { Ok(()) } else { Err(MoveError::NotAbove { target, source_at }) }
}
