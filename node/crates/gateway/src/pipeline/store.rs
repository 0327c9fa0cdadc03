//! Stores one segment: makes its shards, places them, and has the catalog know of it before anyone relies on it.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::SegmentRef;
use datamesh_catalog::catalog::{PutPageError, ReferenceError, UploadError};
use datamesh_exchange::{Ack, PutFailure, SendFailure};
use datamesh_mesh::planted::{Planted, is_planted};
use datamesh_placement::NoPlace;
use datamesh_seal::SegmentKey;
use datamesh_shard::{ErasureProfile, Generation, NodeName, PoolName};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::budget::{Buffer, Ticket};
use super::context::Context;
use super::cpu::Stopped;
use super::job::{Care, Job, later};
use super::manifest::{ManifestError, SegmentSecret};
use super::placing::{put_plan, whole_plan};
use super::probe;
use super::records::NoSecret;
use super::segment::{MakeError, Recipe, Shards};
use super::spread::Spread;
use crate::problem::Problem;

/// Times a segment is placed anew before its put fails.
const ATTEMPTS_MAX: u32 = 4;
/// Pause before that: layouts and the state of members settle within it.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

/// How safe what was written is at the moment of its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Any m further losses are survived.
    Whole,
    /// Fewer; the rest is still being written.
    Short {
        /// Shards that were durable, of the segment with the fewest.
        durable: u8,
        /// k + m.
        of: u8,
    },
}

impl Durability {
    /// The lesser of two.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Short { durable: a, .. }, Self::Short { durable: b, .. }) => {
                if a <= b {
                    self
                } else {
                    other
                }
            }
            (Self::Short { .. }, Self::Whole) => self,
            (Self::Whole, other) => other,
        }
    }
}

/// Why a transfer could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the body: {0:?}")]
    Body(Problem),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("pool {0} has no layout yet: its members have not all joined")]
    NoLayout(PoolName),
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// Of what must be whole.
    #[error("{0}, which a shard of it belongs to, takes none now")]
    HolderAway(NodeName),
    #[error(transparent)]
    Put(#[from] PutFailure),
    #[error("{}add nodes, raise the pool's volumeSize, or delete what is not needed (that space comes back after the time that reads may take; later while backups of the catalog fail)", full_names(.full))]
    Full {
        /// Known to be full.
        full: Vec<NodeName>,
    },
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    Page(#[from] PutPageError),
    #[error(transparent)]
    NoSecret(#[from] NoSecret),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<Problem> for StoreError {
    fn from(problem: Problem) -> Self {
        Self::Body(problem)
    }
}

/// A segment that is stored and referenced.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) reference: SegmentRef,
    pub(super) secret: SegmentSecret,
    pub(super) durability: Durability,
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Seals, places and references the first `bytes` of `plain`.
pub(super) async fn store(
    context: Arc<Context>,
    job: Arc<Job>,
    recipe: Recipe,
    (plain, bytes): (Buffer, usize),
    ticket: Ticket,
) -> Result<Stored, StoreError> {
    let key = SegmentKey::random_from(&*context.surroundings);
    let (made, secret) =
        context.cpu.run(move |stages| recipe.make(plain, bytes, ticket, key, stages)).await??;
    let (reference, durability) = settle(&context, &job, &made).await?;
    Ok(Stored { reference, secret, durability })
}

/// Places and references what was made, anew where that may help. What must be whole, and cannot be now, is not waited for.
pub(super) async fn settle(
    context: &Arc<Context>,
    job: &Arc<Job>,
    made: &Shards,
) -> Result<(SegmentRef, Durability), StoreError> {
    let mut generation = job.first_generation(context);
    let mut attempt = 0;
    loop {
        attempt += 1;
        match place(context, job, made, generation).await {
            Ok((reference, ack)) => return Ok((reference, durability(made.profile, ack))),
            Err(error) if attempt < ATTEMPTS_MAX => match error {
                StoreError::Reference(ReferenceError::StaleGeneration { needs, .. })
                | StoreError::Upload(UploadError::Reference(ReferenceError::StaleGeneration {
                    needs, ..
                })) => generation = needs,
                StoreError::Put(PutFailure::StaleGeneration) => generation = later(context, generation),
                StoreError::Put(PutFailure::StaleEpoch { .. }) => pause(made, &error, attempt).await,
                StoreError::Put(_) | StoreError::NoPlace(_) if job.care == Care::Promised => {
                    pause(made, &error, attempt).await;
                }
                error => return Err(for_want_of_room(context, &job.pool, error)),
            },
            Err(error) => return Err(for_want_of_room(context, &job.pool, error)),
        }
    }
}

async fn pause(made: &Shards, error: &StoreError, attempt: u32) {
    tracing::debug!(segment = ?made.id, %error, attempt, "segment is placed anew");
    tokio::time::sleep(ATTEMPT_PAUSE).await;
}

/// Nobody who is told that too few nodes answer would think of their disks.
fn for_want_of_room(context: &Context, pool: &PoolName, error: StoreError) -> StoreError {
    let answered_full = match &error {
        // Other failures pass, whoever else is full.
        StoreError::Put(PutFailure::TooFewDurable { last: SendFailure::Full, .. }) => true,
        StoreError::NoPlace(_) => false,
        _ => return error,
    };
    let Some(pool) = context.pools.get(pool) else { return error };
    match context.pools.wants_room(&pool) {
        full if answered_full || !full.is_empty() => StoreError::Full { full },
        _ => error,
    }
}

fn full_names(full: &[NodeName]) -> String {
    match full {
        [] => "too few nodes have room: ".into(),
        full => {
            let names: Vec<_> = full.iter().map(NodeName::as_str).collect();
            format!("{} {} full: ", names.join(", "), if full.len() == 1 { "is" } else { "are" })
        }
    }
}

fn durability(profile: ErasureProfile, ack: Ack) -> Durability {
    match ack {
        Ack::Whole => Durability::Whole,
        Ack::Short { durable } => Durability::Short { durable, of: profile.data() + profile.parity() },
    }
}

/// A segment whose reference is durable, and whose shards are on their way.
struct Sent {
    reference: SegmentRef,
    told: oneshot::Receiver<Result<Ack, PutFailure>>,
    /// Whoever waits for the acknowledgement ends the put by going away; once acknowledged it goes on by itself.
    waiting: DropGuard,
}

/// One attempt: the reference, then the shards, both durable when it returns.
async fn place(
    context: &Arc<Context>,
    job: &Arc<Job>,
    made: &Shards,
    generation: Generation,
) -> Result<(SegmentRef, Ack), StoreError> {
    let Sent { reference, told, waiting } = send(context, job, made, generation).await?;
    let ack = told.await.map_err(|_| Stopped)??;
    drop(waiting);
    if is_planted(Planted::ReferenceAfterShards) {
        job.reference(context, &reference).await?;
    }
    Ok((reference, ack))
}

/// A fault for the simulation to find: as if the shards were acknowledged as soon as they are sent.
pub(super) async fn send_only(
    context: &Arc<Context>,
    job: &Arc<Job>,
    made: &Shards,
) -> Result<SegmentRef, StoreError> {
    let sent = send(context, job, made, Generation::default()).await?;
    sent.waiting.disarm();
    Ok(sent.reference)
}

async fn send(
    context: &Arc<Context>,
    job: &Arc<Job>,
    made: &Shards,
    generation: Generation,
) -> Result<Sent, StoreError> {
    let no_layout = || StoreError::NoLayout(job.pool.clone());
    let pool = context.pools.get(&job.pool).ok_or_else(no_layout)?;
    let table = Arc::clone(pool.newest().ok_or_else(no_layout)?);
    if !table.layout().profiles().any(|profile| profile == made.profile) {
        // Nothing was left of it when it went, this segment included.
        let (pool, profile) = (job.pool.clone(), made.profile);
        return Err(ReferenceError::Closed { pool, profile }.into());
    }
    let reference = SegmentRef {
        id: made.id,
        sealed_bytes: made.sealed_bytes,
        pool: job.pool.clone(),
        profile: made.profile,
        epoch: table.layout().epoch,
        generation,
    };
    let place = (made.profile, table.partition_of(made.id));
    let spread = Spread {
        pool: job.pool.clone(),
        plan: match &job.care {
            Care::Promised => put_plan(&context.pools, &pool, &table, place)?,
            Care::Whole(given_up) => {
                whole_plan(&context.pools, &table, place, given_up).map_err(StoreError::HolderAway)?
            }
        },
        table,
        generation,
        segment: made.id,
        header: made.header.clone(),
        shards: made.shards.clone(),
    };
    // First of all, not alongside: shards that no row names would never be found again, and nobody could tell them from
    // data that was lost.
    if !is_planted(Planted::ReferenceAfterShards) {
        job.reference(context, &reference).await?;
    }
    let (tell, told) = oneshot::channel();
    let abandon = CancellationToken::new();
    let waiting = abandon.clone().drop_guard();
    probe::put(context, &spread);
    context.spawn_tail(spread.run(Arc::clone(context), tell, abandon));
    Ok(Sent { reference, told, waiting })
}
