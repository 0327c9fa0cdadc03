//! Segments that are put again while they are being deleted: a new reference, a higher generation, the same shards. The
//! gateway itself never does that as long as each segment has a fresh key; what shares segments will.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_catalog::{NewUpload, ObjectKey, SegmentRef, Target, UploadId};
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;
use datamesh_placement::{Layout, Table};
use datamesh_seal::Random;
use datamesh_shard::{ErasureProfile, Generation, SegmentHeader, SegmentId, ShardIndex, ShardKey};

use crate::gateway::{PUT_LEASE, Running};
use crate::run::World;
use crate::truth::{self, Copies};

/// Times out of a thousand that a segment which is being deleted is put again.
const CHANCE: usize = 250;
/// Segments kept so at a time.
const HELD_MAX: usize = 6;
/// Before it is given up: no gateway waits longer for a shard.
const PATIENCE: Duration = Duration::from_secs(30);
/// A lease longer than any run.
const LEASE: Duration = Duration::from_secs(24 * 3600);

/// What was put again.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// All of it was acknowledged.
    held: BTreeMap<SegmentId, (ErasureProfile, UploadId)>,
    /// Uploads of which that is not so, and which may have come to be.
    failed: BTreeSet<UploadId>,
    is_writing: bool,
}

impl Again {
    pub(crate) fn held(&self) -> impl Iterator<Item = SegmentId> {
        self.held.keys().copied()
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.is_writing
    }
}

/// A segment as it lies on the disks at this moment.
struct Copied {
    segment: SegmentId,
    profile: ErasureProfile,
    generation: Generation,
    shards: Vec<(Bytes, Bytes)>,
}

pub(crate) async fn run(world: Arc<World>) {
    let dice = world.surrounding.dice.fork();
    loop {
        let Some((segment, deleted)) = world.surrounding.fabric.next_delete().await else { continue };
        // Its delete goes on from member to member.
        let is_held = world.again.lock().held.contains_key(&segment);
        if is_held || world.again.lock().held.len() == HELD_MAX || !dice.per_mille(CHANCE) {
            continue;
        }
        let Some(copied) = copy(&world, segment, deleted.next()) else { continue };
        let mut id = [0; 16];
        dice.fill(&mut id);
        world.again.lock().is_writing = true;
        let done = tokio::time::timeout(PATIENCE, put(&world, &copied, UploadId(id))).await == Ok(Some(()));
        {
            let mut again = world.again.lock();
            again.is_writing = false;
            if done {
                again.failed.remove(&UploadId(id));
                again.held.insert(segment, (copied.profile, UploadId(id)));
            }
        }
        world.note(&format!("segment {segment} is put again: {done}"));
        world.surrounding.totals.count(|counts| counts.put_again += u64::from(done));
        world.note_promises().await;
    }
}

/// All its shards, if all are there.
fn copy(world: &World, segment: SegmentId, generation: Generation) -> Option<Copied> {
    let nodes = world.nodes.lock();
    let of = |index| {
        let key = ShardKey { segment, index: ShardIndex(index) };
        nodes.iter().filter(|node| !node.is_lost).find_map(|node| node.platter.lock().copy(key))
    };
    let profile = SegmentHeader::decode(&of(0)?.0).ok()?.profile();
    let shards = (0..profile.data() + profile.parity()).map(of).collect::<Option<_>>()?;
    Some(Copied { segment, profile, generation, shards })
}

/// The reference, then the shards to the members they belong to, all of them or nothing.
async fn put(world: &World, copied: &Copied, upload: UploadId) -> Option<()> {
    let running = world.gateway.lock().await.running()?;
    let layout = Layout::decode(&running.embedded.layouts().first()?.bytes).ok()?;
    let table = Table::compute(layout).ok()?;
    world.again.lock().failed.insert(upload);
    refer(world, &running, (&table, copied), upload).await?;
    let holders = table.holders_of(copied.profile, table.partition_of(copied.segment));
    if holders.is_empty() {
        return None;
    }
    for ((index, holder), (header, payload)) in (0..).map(ShardIndex).zip(holders).zip(&copied.shards) {
        let request = Request::Put {
            key: ShardKey { segment: copied.segment, index },
            pool: world.surrounding.pool.clone(),
            epoch: table.layout().epoch,
            generation: copied.generation,
            header: header.clone(),
        };
        let peer = table.layout().members.get(usize::from(*holder))?.peer;
        let answer = running.net.request(&peer, request, Some(payload.clone()), PATIENCE).await;
        answer.ok().filter(|(response, _)| *response == Response::Done)?;
    }
    let until = now_unix_ms(world).saturating_add(millis(LEASE));
    running.catalog.renew_upload(upload, until).await.ok()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn refer(
    world: &World,
    running: &Running,
    (table, copied): (&Table, &Copied),
    upload: UploadId,
) -> Option<()> {
    let bucket = running.catalog.buckets().await.ok()?.first()?.id;
    let header = SegmentHeader::decode(&copied.shards.first()?.0).ok()?;
    let now = now_unix_ms(world);
    let segment = SegmentRef {
        id: copied.segment,
        sealed_bytes: header.sealed_bytes(),
        pool: world.surrounding.pool.clone(),
        profile: copied.profile,
        epoch: table.layout().epoch,
        generation: copied.generation,
    };
    let new = NewUpload {
        target: Target { bucket, key: ObjectKey::new("again").ok()?, upload },
        content_type: String::new(),
        meta: Vec::new(),
        created_unix_ms: now,
        lease_until_unix_ms: now.saturating_add(millis(PUT_LEASE)),
        segments: vec![segment],
    };
    running.catalog.begin_upload(new).await.ok().map(drop)
}

fn now_unix_ms(world: &World) -> u64 {
    (world.surrounding.clock)() * 1000
}

/// Whether all that was acknowledged is there, once everything has come right.
pub(crate) fn is_kept(world: &World) -> Result<(), String> {
    let sound = truth::sound(&world.nodes.lock());
    let is_whole = |segment: &SegmentId| sound.get(segment).is_some_and(Copies::is_whole);
    match world.again.lock().held().find(|segment| !is_whole(segment)) {
        Some(segment) => Err(format!(
            "segment {segment} was referred to again and put again, and lies so: {:?}",
            sound.get(&segment)
        )),
        None => Ok(()),
    }
}

/// Gives up what was cut off: shards of it may have been deleted, and nobody may rebuild them with the generation they had.
/// And what is not of the wanted profile: nobody codes it anew, so that its profile would never go.
pub(crate) async fn tidy(world: &World) -> Result<(), String> {
    let wanted = world.wanted.lock().erasure;
    let given_up = {
        let mut again = world.again.lock();
        let mut given_up = std::mem::take(&mut again.failed);
        given_up
            .extend(again.held.values().filter(|(profile, _)| *profile != wanted).map(|(_, upload)| *upload));
        again.held.retain(|_, (profile, _)| *profile == wanted);
        given_up
    };
    abort(world, given_up).await
}

/// The catalog is a restored one: what it knows of this is given up with what was cut off.
pub(crate) fn is_set_back(world: &World) {
    let mut again = world.again.lock();
    let held = std::mem::take(&mut again.held);
    again.failed.extend(held.into_values().map(|(_, upload)| upload));
}

/// Gives all of it up.
pub(crate) async fn let_go(world: &World) -> Result<(), String> {
    let held = std::mem::take(&mut world.again.lock().held);
    abort(world, held.into_values().map(|(_, upload)| upload).collect()).await
}

async fn abort(world: &World, uploads: BTreeSet<UploadId>) -> Result<(), String> {
    for upload in uploads {
        let running = world.gateway.lock().await.running().ok_or("no gateway runs")?;
        let aborted = running.catalog.abort_upload(upload, now_unix_ms(world)).await;
        aborted.map_err(|error| error.to_string())?;
    }
    Ok(())
}
