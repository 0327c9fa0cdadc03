//! Replicas in one thread on a clock that is turned by whatever waits: wires that lose, delay and reorder, disks that
//! take time, and power that goes. A crash leaves what was synced, and nothing else: the folder is copied at that moment,
//! for what is not synced is in no file yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datamesh_catalog::engine::raft::{FlushOn, PeerError, Peers, RaftKeyspace, ReplicaId, ReplicaOptions};
use datamesh_catalog::engine::{Gate, RocksOptions};
use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::Dice;

struct Replica {
    keyspace: RaftKeyspace,
    instance: u64,
}

pub(crate) struct World {
    dice: Mutex<Dice>,
    there: Mutex<BTreeMap<ReplicaId, Replica>>,
    dirs: Mutex<BTreeMap<ReplicaId, TempDir>>,
    cut: Mutex<BTreeSet<(ReplicaId, ReplicaId)>>,
    /// Of 100 messages, so many are lost.
    pub(crate) lost: Mutex<u64>,
    tasks: Mutex<JoinSet<()>>,
    log_entries_kept: u64,
}

struct End {
    from: ReplicaId,
    instance: u64,
    world: Arc<World>,
}

struct Disk(Arc<World>);

impl Gate for Disk {
    fn before(&self) -> BoxFuture<'_, ()> {
        sleep(self.0.up_to_ms(8)).boxed()
    }

    fn after(&self) -> BoxFuture<'_, ()> {
        sleep(self.0.up_to_ms(2)).boxed()
    }
}

impl Peers for End {
    fn ask(&self, to: ReplicaId, question: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, PeerError>> {
        async move {
            let world = &self.world;
            sleep(world.up_to_ms(10)).await;
            if !world.is_instance(self.from, self.instance) || world.loses(self.from, to) {
                sleep(Duration::from_millis(500)).await;
                return Err(PeerError::Lost(to));
            }
            let Some((target, instance)) = world.instance(to) else { return Err(PeerError::Unreachable(to)) };
            let (tell, told) = tokio::sync::oneshot::channel();
            // It is answered also when nobody waits any more.
            world.tasks.lock().unwrap().spawn(async move { drop(tell.send(target.answer(&question).await)) });
            let answer = told.await.map_err(|_| PeerError::Lost(to))?;
            // One that has crashed meanwhile says nothing any more: what it did since is on no disk.
            if world.instance(to).is_none_or(|(_, now)| now != instance) {
                return Err(PeerError::Lost(to));
            }
            sleep(world.up_to_ms(10)).await;
            if world.loses(to, self.from) { Err(PeerError::Lost(to)) } else { Ok(answer) }
        }
        .boxed()
    }
}

fn files(dir: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| !path.ends_with("LOCK"))
        .collect()
}

/// Copies a folder as it is at one moment: RocksDB removes files that it needs no more from a thread of its own, and
/// then the copy is made anew.
fn copy(from: &Path) -> TempDir {
    loop {
        let (to, before) = (tempfile::tempdir().unwrap(), files(from));
        let copied = |file: &PathBuf| fs::copy(file, to.path().join(file.file_name().unwrap())).is_ok();
        if before.iter().all(copied) && files(from) == before {
            return to;
        }
    }
}

/// What a write that was cut off leaves at the end of the log.
fn tear(dir: &Path, rubbish: &[u8]) {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let newest = files.filter(|path| path.extension().is_some_and(|end| end == "log")).max();
    let Some(log) = newest else { return };
    let bytes = [fs::read(&log).unwrap().as_slice(), rubbish].concat();
    fs::write(log, bytes).unwrap();
}

impl World {
    /// Three replicas of a group, formed.
    pub(crate) async fn begin(seed: u64, log_entries_kept: u64) -> Arc<Self> {
        datamesh_catalog::engine::raft::seed_this_thread(seed);
        let world = Arc::new(Self {
            dice: Mutex::new(Dice::of(seed)),
            there: Mutex::default(),
            dirs: Mutex::default(),
            cut: Mutex::default(),
            lost: Mutex::new(0),
            tasks: Mutex::default(),
            log_entries_kept,
        });
        for id in 1..=3 {
            world.add(id).await;
        }
        world.keyspace(1).unwrap().form([1, 2, 3].into()).await.unwrap();
        world
    }

    /// A replica with an empty disk.
    pub(crate) async fn add(self: &Arc<Self>, id: ReplicaId) {
        self.dirs.lock().unwrap().insert(id, tempfile::tempdir().unwrap());
        self.start(id).await;
    }

    pub(crate) async fn start(self: &Arc<Self>, id: ReplicaId) {
        let instance = self.dice.lock().unwrap().next();
        let rocks = RocksOptions { cache_bytes: 1 << 20, memtable_bytes: 4 << 20, ..RocksOptions::default() };
        let options = ReplicaOptions {
            rocks,
            heartbeat_ms: 100,
            election_ms: 400,
            log_entries_kept: self.log_entries_kept,
            flush_on: FlushOn::Gate(Arc::new(Disk(Arc::clone(self)))),
            exists: false,
        };
        let end = Arc::new(End { from: id, instance, world: Arc::clone(self) });
        let dir = self.dirs.lock().unwrap()[&id].path().to_owned();
        let keyspace = RaftKeyspace::open(&dir, id, &options, end).await.unwrap();
        self.there.lock().unwrap().insert(id, Replica { keyspace, instance });
    }

    /// The power goes at one replica: it hears nothing any more, and its disk is what was synced.
    pub(crate) fn crash(&self, id: ReplicaId) {
        let disk = copy(self.dirs.lock().unwrap()[&id].path());
        if self.dice.lock().unwrap().once_in(2) {
            let rubbish = [0x00, 0xa5][self.below(2)];
            tear(disk.path(), &vec![rubbish; 1 + self.below(60)]);
        }
        self.crash_to(id, disk);
    }

    /// A replica is gone, its disk with it.
    pub(crate) fn lose(&self, id: ReplicaId) {
        self.crash_to(id, tempfile::tempdir().unwrap());
        self.dirs.lock().unwrap().remove(&id);
    }

    /// What is on a replica's disk now.
    pub(crate) fn disk(&self, id: ReplicaId) -> TempDir {
        copy(self.dirs.lock().unwrap()[&id].path())
    }

    /// The power goes, and the disk is found to be this one.
    pub(crate) fn crash_to(&self, id: ReplicaId, disk: TempDir) {
        let earlier = self.dirs.lock().unwrap().insert(id, disk);
        let Some(replica) = self.there.lock().unwrap().remove(&id) else { return };
        self.tasks.lock().unwrap().spawn(async move {
            replica.keyspace.close().await;
            drop(earlier);
        });
    }

    pub(crate) fn keyspace(&self, id: ReplicaId) -> Option<RaftKeyspace> {
        self.instance(id).map(|(keyspace, _)| keyspace)
    }

    /// And which of its lives it is in.
    fn instance(&self, id: ReplicaId) -> Option<(RaftKeyspace, u64)> {
        self.there.lock().unwrap().get(&id).map(|replica| (replica.keyspace.clone(), replica.instance))
    }

    pub(crate) fn ids(&self) -> Vec<ReplicaId> {
        self.dirs.lock().unwrap().keys().copied().collect()
    }

    pub(crate) fn is_up(&self, id: ReplicaId) -> bool {
        self.there.lock().unwrap().contains_key(&id)
    }

    /// Who says of itself that it leads.
    pub(crate) async fn leader(&self) -> ReplicaId {
        loop {
            let leads = |id: &ReplicaId| self.keyspace(*id).is_some_and(|at| at.status().leader == Some(*id));
            if let Some(leader) = self.ids().into_iter().find(leads) {
                return leader;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How the replicas are that are there.
    pub(crate) fn describe(&self) -> String {
        let there = self.there.lock().unwrap();
        let all = there.iter().map(|(id, replica)| format!("{id}: {:?}", replica.keyspace));
        all.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn isolate(&self, id: ReplicaId) {
        let pairs = self.ids().into_iter().flat_map(|other| [(id, other), (other, id)]);
        self.cut.lock().unwrap().extend(pairs);
    }

    /// Cuts one direction only.
    pub(crate) fn deafen(&self, from: ReplicaId, to: ReplicaId) {
        self.cut.lock().unwrap().insert((from, to));
    }

    pub(crate) fn heal(&self) {
        self.cut.lock().unwrap().clear();
        *self.lost.lock().unwrap() = 0;
    }

    pub(crate) fn below(&self, end: usize) -> usize {
        self.dice.lock().unwrap().below(end)
    }

    pub(crate) fn up_to_ms(&self, most: usize) -> Duration {
        Duration::from_millis(u64::try_from(self.below(most + 1)).unwrap())
    }

    fn is_instance(&self, id: ReplicaId, instance: u64) -> bool {
        self.there.lock().unwrap().get(&id).is_none_or(|replica| replica.instance == instance)
    }

    fn loses(&self, from: ReplicaId, to: ReplicaId) -> bool {
        let lost = *self.lost.lock().unwrap();
        self.dice.lock().unwrap().next() % 100 < lost || self.cut.lock().unwrap().contains(&(from, to))
    }

    /// Stops all, so that nothing keeps the next world's time.
    pub(crate) async fn end(&self) {
        for id in self.ids() {
            let replica = self.there.lock().unwrap().remove(&id);
            if let Some(replica) = replica {
                replica.keyspace.close().await;
            }
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        tasks.shutdown().await;
    }
}
