//! Groups of replicas in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::engine::raft::{
    ImportError, PeerError, Peers, RaftKeyspace, ReplicaId, ReplicaOptions, import,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;

/// Times that suit tests.
pub(crate) fn quick() -> ReplicaOptions {
    ReplicaOptions { heartbeat_ms: 100, election_ms: 400, ..ReplicaOptions::default() }
}

/// Who is there.
#[derive(Default)]
pub(crate) struct Wires {
    there: Mutex<BTreeMap<ReplicaId, RaftKeyspace>>,
}

/// The wires as one replica has them.
struct End {
    wires: Arc<Wires>,
}

impl Peers for End {
    fn ask(&self, to: ReplicaId, question: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, PeerError>> {
        async move {
            let there = self.wires.there.lock().unwrap().get(&to).cloned();
            match there {
                Some(there) => Ok(there.answer(&question).await),
                None => Err(PeerError::Unreachable(to)),
            }
        }
        .boxed()
    }
}

/// A group, formed.
pub(crate) struct Replicas {
    pub(crate) wires: Arc<Wires>,
    dirs: BTreeMap<ReplicaId, TempDir>,
    options: ReplicaOptions,
}

impl Replicas {
    /// Opens these and forms their group.
    pub(crate) async fn formed(ids: &[ReplicaId], options: ReplicaOptions) -> Self {
        let mut replicas = Self { wires: Arc::default(), dirs: BTreeMap::new(), options };
        for &id in ids {
            replicas.add(id).await;
        }
        replicas.at(ids[0]).form(ids.iter().copied().collect()).await.unwrap();
        replicas
    }

    pub(crate) async fn of(many: u64) -> Self {
        let ids: Vec<ReplicaId> = (1..=many).collect();
        Self::formed(&ids, quick()).await
    }

    /// One, with what lies in this folder of a single volume.
    pub(crate) async fn imported(id: ReplicaId, from: &Path) -> Self {
        let (folder, options) = (tempfile::tempdir().unwrap(), quick());
        import(from, folder.path(), id, options.rocks).await.unwrap();
        Self::of_folder(id, folder, options).await
    }

    /// One, with this folder, whatever lies in it.
    pub(crate) async fn of_folder(id: ReplicaId, folder: TempDir, options: ReplicaOptions) -> Self {
        let replicas = Self { wires: Arc::default(), dirs: [(id, folder)].into(), options };
        replicas.open(id).await;
        replicas
    }

    pub(crate) fn folder(&self, id: ReplicaId) -> &Path {
        self.dirs[&id].path()
    }

    pub(crate) async fn import(&self, id: ReplicaId, from: &Path) -> Result<(), ImportError> {
        import(from, self.dirs[&id].path(), id, self.options.rocks).await
    }

    /// A replica with an empty folder, not of the group.
    pub(crate) async fn add(&mut self, id: ReplicaId) {
        self.dirs.insert(id, tempfile::tempdir().unwrap());
        self.open(id).await;
    }

    pub(crate) async fn open(&self, id: ReplicaId) {
        let end = Arc::new(End { wires: Arc::clone(&self.wires) });
        let opened = RaftKeyspace::open(self.dirs[&id].path(), id, &self.options, end).await.unwrap();
        self.wires.there.lock().unwrap().insert(id, opened);
    }

    /// Stops a replica; its folder stays.
    pub(crate) async fn close(&self, id: ReplicaId) {
        let closed = self.wires.there.lock().unwrap().remove(&id).unwrap();
        closed.close().await;
    }

    pub(crate) fn at(&self, id: ReplicaId) -> RaftKeyspace {
        self.wires.there.lock().unwrap()[&id].clone()
    }

    /// Waits until one of these leads and says so itself.
    pub(crate) async fn leader_of(&self, ids: &[ReplicaId]) -> ReplicaId {
        loop {
            if let Some(&leader) = ids.iter().find(|&&id| self.at(id).status().leader == Some(id)) {
                return leader;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn leader(&self) -> ReplicaId {
        let ids: Vec<ReplicaId> = self.wires.there.lock().unwrap().keys().copied().collect();
        self.leader_of(&ids).await
    }

    /// As a gateway has it: the leader's, or a follower's.
    pub(crate) async fn any(&self, leads: bool) -> AnyKeyspace {
        let leader = self.leader().await;
        let ids: Vec<ReplicaId> = self.dirs.keys().copied().collect();
        self.at(*ids.iter().find(|&&id| (id == leader) == leads).unwrap()).into()
    }
}

/// Runs each test on one replica, and on the leader of three; a follower of three is among all engines.
macro_rules! on_replicas {
    ($make:ident: $($name:ident),+ $(,)?) => {
        crate::replicas::on_replicas!(one, 1, $make: $($name),+);
        crate::replicas::on_replicas!(leader, 3, $make: $($name),+);
    };
    ($module:ident, $many:literal, $make:ident: $($name:ident),+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let replicas = crate::replicas::Replicas::of($many).await;
                super::$name(super::$make(replicas.any(true).await).await).await;
            })+
        }
    };
}
pub(crate) use on_replicas;
