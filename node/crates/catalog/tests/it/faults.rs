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

use datamesh_catalog::engine::raft::{MembersError, RaftKeyspace, ReplicaId};
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

const ALL: RangeLimits = RangeLimits { rows: usize::MAX, bytes: usize::MAX };

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

/// As gateways do that find no group: it was being formed, and nobody who is left had anything of it on a disk. Who has voted in it
/// begins with an empty disk then.
async fn form_again(world: &Arc<World>) {
    let all = || world.ids().into_iter().filter_map(|id| world.keyspace(id));
    if all().any(|at| !at.status().voters.is_empty()) {
        return;
    }
    println!("the group is formed again: {}", world.describe());
    let form = async || all().next().unwrap().form(all().map(|at| at.id()).collect()).await;
    if form().await == Err(MembersError::Voted) {
        members::start_empty(world, world.ids()[0]).await;
        let last = world.keyspace(*world.ids().last().unwrap()).unwrap();
        last.form(all().map(|at| at.id()).collect()).await.unwrap();
    }
}

async fn rows(at: &RaftKeyspace) -> Vec<Row> {
    at.view().await.unwrap().range(&KeyRange::prefix(b""), ALL).await.unwrap().rows
}

async fn faults(world: &Arc<World>) {
    for _ in 0..4 {
        sleep(world.up_to_ms(1500)).await;
        fault(world).await;
    }
}

/// What each replica has.
async fn same_everywhere(world: &Arc<World>) -> Result<Vec<Row>, String> {
    let mut first = None;
    for id in world.ids() {
        let at = world.keyspace(id).unwrap();
        let view = at.view().await;
        let view = view.map_err(|error| format!("replica {id} is not read: {error}"))?;
        let rows = view.range(&KeyRange::prefix(b""), ALL).await.map_err(|error| error.to_string())?.rows;
        if *first.get_or_insert_with(|| rows.clone()) != rows {
            return Err(format!("replica {id} has other rows"));
        }
    }
    Ok(first.unwrap_or_default())
}

/// One run: clients, faults, and in the end all replicas are the same and the history holds.
async fn run(world: Arc<World>) -> Result<(u64, u64), String> {
    let history = Shared::default();
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&world), Arc::clone(&history), n));
    }
    faults(&world).await;
    clients.join_all().await;
    let first = same_everywhere(&world).await?;
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

/// One world after the other; each counts what was acknowledged, and what was read. Where something is wrong, it says how the replicas are.
fn in_worlds<F: Future<Output = Result<(u64, u64), String>> + 'static>(run: fn(Arc<World>) -> F) {
    let (seeds, mut acknowledged, mut read) = (seeds(), 0, 0);
    for seed in seeds.clone() {
        println!("under_faults: DATAMESH_SEED={seed}");
        let (known, reads) = in_a_world(move |runtime| {
            runtime.block_on(async {
                let world = World::begin(seed, LOG_ENTRIES_KEPT).await;
                let ran = tokio::time::timeout(ENDS_WITHIN, run(Arc::clone(&world))).await;
                let ran = ran.unwrap_or_else(|_| Err("the replicas do not come to rest".into()));
                let ran = ran.map_err(|wrong| format!("{wrong}: {}", world.describe()));
                world.end().await;
                ran
            })
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

/// Who has voted for a replica that told nobody whose group it is cannot form another, and says what to do; with an empty volume it can.
#[test]
fn a_group_is_formed_after_all_whose_first_volume_is_lost_meanwhile() {
    in_a_world(|runtime| {
        runtime.block_on(async {
            let world = World::begin(4, LOG_ENTRIES_KEPT).await;
            let second = world.keyspace(2).unwrap();
            while second.status().term == 0 {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(second.status().voters, [].into(), "it has a vote and nothing else");
            members::start_empty(&world, 1).await;
            assert_eq!(second.form([2, 3, 4].into()).await, Err(MembersError::Voted));
            drop(second);
            form_again(&world).await;
            let leader = world.keyspace(world.leader().await).unwrap();
            assert_eq!(leader.status().voters, [3, 4, 5].into());
            drop(leader);
            world.end().await;
        });
    });
}
