//! A group of replicas, and catalogs on it, under faults: wires, power, volumes, members; in as many orders as `DATAMESH_SEEDS` says. `DATAMESH_SEED` makes the same faults again;
//! tokio wakes those who wait for one thing in an order of its own, so that the rest of a run may differ.

mod catalogs;
mod cuts;
mod fewer;
mod history;
mod members;
mod world;

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datamesh_catalog::engine::raft::{RaftKeyspace, ReplicaId};
use datamesh_catalog::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, ReadError, Revision, Row, View};
use history::{History, Read, SUM_KEY, Span, Write, register_key, set_key};
use tokio::task::JoinSet;
use tokio::time::sleep;
use world::World;

const CLIENTS: u64 = 4;
const OPERATIONS: u64 = 40;
const REGISTERS: usize = 3;
/// Few: snapshots and purges happen in every run.
const LOG_ENTRIES_KEPT: u64 = 24;

/// Of the simulated clock: what takes longer hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

type Shared = Arc<Mutex<History>>;

fn now(history: &Shared) -> u64 {
    history.lock().unwrap().now()
}

async fn write(at: &RaftKeyspace, history: &Shared, number: u64, register: u64, expect: Option<Revision>) {
    let mut batch = Batch::new();
    if let Some(version) = expect {
        batch.expect(register_key(register), Some(version));
    }
    batch.put(set_key(number), b"");
    batch.add(SUM_KEY, 1);
    batch.put(register_key(register), number.to_le_bytes());
    let begun = now(history);
    let outcome = at.commit(batch).await;
    let span = Span { begun, ended: now(history) };
    history.lock().unwrap().writes.push(Write { span, number, register, outcome });
}

async fn look<V: View>(view: &V, register: u64) -> Result<(Revision, Option<(Revision, u64)>), ReadError> {
    let row = view.get(&register_key(register)).await?;
    let seen = row.map(|row| (row.version, u64::from_le_bytes(row.value.try_into().unwrap())));
    Ok((view.revision().await?, seen))
}

async fn read(at: &RaftKeyspace, history: &Shared, register: u64) -> Option<Revision> {
    let begun = now(history);
    let (at, seen) = look(&at.view().await.ok()?, register).await.ok()?;
    let span = Span { begun, ended: now(history) };
    history.lock().unwrap().reads.push(Read { span, register, at, seen });
    seen.map(|(version, _)| version)
}

async fn client(world: Arc<World>, history: Shared, client: u64) {
    for n in 0..OPERATIONS {
        let ids = world.ids();
        let register = u64::try_from(world.below(REGISTERS)).unwrap();
        if let Some(at) = world.keyspace(ids[world.below(ids.len())]) {
            match world.below(5) {
                0 | 1 => drop(read(&at, &history, register).await),
                2 => {
                    let seen = read(&at, &history, register).await;
                    write(&at, &history, client * OPERATIONS + n, register, seen).await;
                }
                _ => write(&at, &history, client * OPERATIONS + n, register, None).await,
            }
        }
        sleep(world.up_to_ms(100)).await;
    }
}

async fn fault(world: &Arc<World>) {
    let one = victim(world).await;
    match world.below(9) {
        // Each of these ends when the group is whole again.
        4 => return members::replace(world, one).await,
        5 => return members::leave_and_come_back(world).await,
        which => strike(world, one, which),
    }
    sleep(world.up_to_ms(3000)).await;
    mend(world).await;
}

async fn victim(world: &World) -> ReplicaId {
    let ids = world.ids();
    if world.below(2) == 0 { world.leader().await } else { ids[world.below(ids.len())] }
}

/// Takes wires or power; the members stay who they are.
fn strike(world: &World, one: ReplicaId, which: usize) {
    let ids = world.ids();
    match which {
        0 => world.isolate(one),
        1 => world.deafen(one, ids[world.below(ids.len())]),
        2 => *world.lost.lock().unwrap() = 20,
        3 => ids.iter().for_each(|&id| world.crash(id)),
        _ => world.crash(one),
    }
}

async fn mend(world: &Arc<World>) {
    world.heal();
    for id in world.ids() {
        if !world.is_up(id) {
            world.start(id).await;
        }
    }
    form_again(world).await;
}

/// As gateways do that find no group: it was being formed, and nobody who is left had anything of it on a disk.
async fn form_again(world: &World) {
    let all: Vec<_> = world.ids().into_iter().filter_map(|id| world.keyspace(id)).collect();
    if all.iter().all(|at| at.status().voters.is_empty()) {
        all[0].form(all.iter().map(RaftKeyspace::id).collect()).await.unwrap();
    }
}

async fn rows(at: &RaftKeyspace) -> Vec<Row> {
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    at.view().await.unwrap().range(&KeyRange::prefix(b""), all).await.unwrap().rows
}

async fn faults(world: &Arc<World>) {
    for _ in 0..4 {
        sleep(world.up_to_ms(1500)).await;
        fault(world).await;
    }
}

/// What each replica has.
async fn same_everywhere(world: &Arc<World>, seed: u64) -> Vec<Row> {
    let mut all = Vec::new();
    for id in world.ids() {
        all.push((id, rows(&world.keyspace(id).unwrap()).await));
    }
    let (_, first) = all.swap_remove(0);
    for (id, other) in all {
        assert_eq!(other, first, "seed {seed}: replica {id} has other rows");
    }
    first
}

/// One run: clients, faults, and in the end all replicas are the same and the history holds.
async fn run(seed: u64) -> Result<(u64, u64), String> {
    let world = World::begin(seed, LOG_ENTRIES_KEPT).await;
    let history = Shared::default();
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&world), Arc::clone(&history), n));
    }
    faults(&world).await;
    clients.join_all().await;
    let first = same_everywhere(&world, seed).await;
    world.end().await;
    let history = history.lock().unwrap();
    let known = history.writes.iter().filter(|write| write.outcome.is_ok()).count();
    let counts = (u64::try_from(known).unwrap(), u64::try_from(history.reads.len()).unwrap());
    history.check(&first).map(|()| counts)
}

/// Each world has a thread of its own: what is seeded on it is nobody else's.
fn in_a_world<T: Send + 'static>(test: impl FnOnce(tokio::runtime::Runtime) -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        test(runtime.unwrap())
    });
    thread.join().unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

fn seeds() -> Range<u64> {
    match number("DATAMESH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DATAMESH_SEEDS").unwrap_or(24),
    }
}

/// One world after the other; each counts what was acknowledged, and what was read.
fn in_worlds<F: Future<Output = Result<(u64, u64), String>> + 'static>(run: fn(u64) -> F) {
    let (seeds, mut acknowledged, mut read) = (seeds(), 0, 0);
    for seed in seeds.clone() {
        println!("under_faults: DATAMESH_SEED={seed}");
        let (known, reads) = in_a_world(move |runtime| {
            let run = async move { tokio::time::timeout(ENDS_WITHIN, run(seed)).await };
            runtime.block_on(run).unwrap_or_else(|_| Err("the replicas do not come to rest".into()))
        })
        .unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        acknowledged += known;
        read += reads;
    }
    println!("{acknowledged} commits acknowledged, {read} reads");
    let runs = seeds.end - seeds.start;
    assert!(runs < 10 || acknowledged > 20 * runs && read > 10 * runs, "the faults left too little to see");
}

#[test]
fn under_faults_nothing_acknowledged_is_lost_doubled_or_read_stale() {
    in_worlds(run);
}

/// The same of a catalog's objects: a key is a register, a listing a set.
#[test]
fn under_faults_a_catalog_keeps_its_objects() {
    in_worlds(catalogs::run);
}

/// What the checks are worth: a disk that said it had synced and had not is found.
#[test]
fn a_disk_that_lies_is_found() {
    let found = in_a_world(|runtime| {
        runtime.block_on(async {
            let (world, history) = (World::begin(1, LOG_ENTRIES_KEPT).await, Shared::default());
            let leader = world.keyspace(world.leader().await).unwrap();
            write(&leader, &history, 1, 0, None).await;
            let earlier: Vec<_> = world.ids().into_iter().map(|id| (id, world.disk(id))).collect();
            write(&leader, &history, 2, 0, None).await;
            drop(leader);
            for (id, disk) in earlier {
                world.crash_to(id, disk);
            }
            mend(&world).await;
            let rows = rows(&world.keyspace(1).unwrap()).await;
            world.end().await;
            let history = history.lock().unwrap();
            assert!(history.writes.iter().all(|write| write.outcome.is_ok()));
            history.check(&rows)
        })
    });
    assert!(found.as_ref().is_err_and(|wrong| wrong.starts_with("lost")), "{found:?}");
}

/// The same of reads: one that is served from a state that was new once is found.
#[test]
fn a_stale_read_is_found() {
    let found = in_a_world(|runtime| {
        runtime.block_on(async {
            let (world, history) = (World::begin(2, LOG_ENTRIES_KEPT).await, Shared::default());
            let at = world.keyspace(2).unwrap();
            let stale = at.view().await.unwrap();
            write(&at, &history, 1, 0, None).await;
            let begun = now(&history);
            let (revision, seen) = look(&stale, 0).await.unwrap();
            let span = Span { begun, ended: now(&history) };
            history.lock().unwrap().reads.push(Read { span, register: 0, at: revision, seen });
            let rows = rows(&at).await;
            drop(stale);
            drop(at);
            world.end().await;
            history.lock().unwrap().check(&rows)
        })
    });
    assert!(found.as_ref().is_err_and(|wrong| wrong.starts_with("stale")), "{found:?}");
}

/// A lost volume's replica leaves, another with an empty one comes: by a snapshot, for the log no longer begins at 1.
#[test]
fn a_lost_volume_is_replaced_by_a_learner() {
    in_a_world(|runtime| {
        runtime.block_on(async {
            let (world, history) = (World::begin(3, LOG_ENTRIES_KEPT).await, Shared::default());
            for number in 0..100 {
                write(&world.keyspace(1).unwrap(), &history, number, 0, None).await;
            }
            world.lose(3);
            world.add(4).await;
            let leader = world.keyspace(world.leader().await).unwrap();
            // Twice each: a call that was cut off is made again.
            for _ in 0..2 {
                leader.change_members([1, 2].into()).await.unwrap();
            }
            for _ in 0..2 {
                leader.add_learner(4).await.unwrap();
            }
            for _ in 0..2 {
                leader.change_members([1, 2, 4].into()).await.unwrap();
            }
            drop(leader);
            let fourth = world.keyspace(4).unwrap();
            write(&fourth, &history, 100, 0, None).await;
            let known = rows(&fourth).await;
            assert_eq!(known, rows(&world.keyspace(1).unwrap()).await);
            assert_eq!(fourth.status().voters, [1, 2, 4].into());
            drop(fourth);
            world.end().await;
            history.lock().unwrap().check(&known).unwrap();
        });
    });
}
