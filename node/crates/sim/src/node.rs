//! A simulated storage node: the production keeper over a simulated disk and net.

use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::keeper::{Clock, Keeper, KeeperParts};
use datamesh_mesh::{Pace, RecordBytes, Trust, worker};
use datamesh_placement::SignedLayout;
use datamesh_shard::{Incarnation, NodeName, PeerKey, PoolName, ZoneName};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::bugs::Bug;
use crate::dice::Dice;
use crate::disk::{Attic, Drive, Platter};
use crate::life::{Aim, Life, own};
use crate::net::{Fabric, Link, Me};
use crate::records::{Forgetful, OnPlatter};
use crate::totals::Totals;

/// So that an hour of a cluster's life passes in minutes; the proportions are those of production.
pub(crate) const PACE: Pace = Pace {
    grace: Duration::from_secs(40),
    look: Duration::from_secs(2),
    rest_open: Duration::from_secs(5),
    rest_whole: Duration::from_secs(30),
    rest_homing: Duration::from_secs(5),
    scrub_period: Duration::from_secs(100),
    rest_max: Duration::from_secs(60),
};

/// What every process of a run shares.
#[derive(Clone)]
pub(crate) struct Surrounding {
    pub(crate) fabric: Fabric,
    pub(crate) dice: Dice,
    pub(crate) totals: Totals,
    pub(crate) bug: Option<Bug>,
    pub(crate) cluster: NodeName,
    pub(crate) cluster_key: PeerKey,
    pub(crate) pool: PoolName,
    /// Every node there may be.
    pub(crate) peers: Vec<PeerKey>,
    /// Seconds since 1970, in virtual time.
    pub(crate) clock: Clock,
}

pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) zone: ZoneName,
    pub(crate) peer: PeerKey,
    pub(crate) platter: Arc<Mutex<Platter>>,
    /// Nobody wants it any more: it is started again only to be refused.
    pub(crate) is_lost: bool,
    /// What was on its disk when it was given up.
    pub(crate) attic: Option<Attic>,
    /// What the volume keeps of its membership.
    layouts: Arc<Mutex<Option<SignedLayout>>>,
    incarnation: Incarnation,
    /// Its disk's writes.
    pub(crate) aim: Aim,
    running: Option<Running>,
}

struct Running {
    life: Life,
    /// The tasks are dropped with it.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Node {
    pub(crate) fn new(name: NodeName, zone: ZoneName, peer: PeerKey) -> Self {
        Self {
            name,
            zone,
            peer,
            platter: Arc::default(),
            is_lost: false,
            attic: None,
            layouts: Arc::default(),
            incarnation: Incarnation(0),
            aim: Aim::default(),
            running: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn has_run(&self) -> bool {
        self.incarnation > Incarnation(0)
    }

    pub(crate) fn start(&mut self, surrounding: &Surrounding) {
        self.incarnation = self.incarnation.next();
        let Surrounding { fabric, dice, totals, bug, .. } = surrounding.clone();
        let life = Life::new();
        let trust = self.trust(surrounding);
        let me = Me {
            peer: self.peer,
            incarnation: self.incarnation,
            certificate: None,
            trust: Some(Arc::clone(&trust)),
        };
        let link = Link { fabric: fabric.clone(), me, life: life.clone() };
        let drive = Drive {
            platter: Arc::clone(&self.platter),
            incarnation: self.incarnation,
            life: life.clone(),
            dice,
            bug,
            totals,
            aim: self.aim.clone(),
        };
        let keeper = Keeper::new(KeeperParts {
            shelf: Arc::new(drive),
            records: self.records(bug),
            net: Arc::new(link),
            trust: Arc::clone(&trust),
            pool: surrounding.pool.clone(),
            own: self.peer,
            clock: Arc::clone(&surrounding.clock),
            pace: PACE,
        });
        let Keeper { service, steward, homing, scrub, crier } = keeper;
        fabric.listen(self.peer, service, Arc::clone(&trust), self.incarnation, life.clone());
        let never = CancellationToken::new();
        let others = surrounding.peers.iter().copied().filter(|peer| *peer != self.peer).collect();
        let tasks = vec![
            own(worker::run(steward, never.clone())),
            own(worker::run(homing, never.clone())),
            own(worker::run(scrub, never.clone())),
            own(worker::run(crier, never)),
            own(fabric.probe(self.peer, life.clone(), others, Some(trust))),
        ];
        self.running = Some(Running { life, _tasks: tasks });
    }

    fn trust(&self, surrounding: &Surrounding) -> Arc<Trust> {
        let kept = Arc::clone(&self.layouts);
        let keep = Box::new(move |_: &PoolName, signed: &SignedLayout| *kept.lock() = Some(signed.clone()));
        let trust = Arc::new(Trust::new(surrounding.cluster.clone(), surrounding.cluster_key, keep));
        let known = self.layouts.lock().clone();
        if let Some(signed) = known {
            let _ = trust.learn_layout(&signed);
        }
        trust
    }

    /// What was deleted is remembered on the disk.
    fn records(&self, bug: Option<Bug>) -> Arc<dyn RecordBytes> {
        let on_platter = OnPlatter(Arc::clone(&self.platter));
        match bug {
            Some(Bug::DeleteForgotten) => Arc::new(Forgetful(on_platter)),
            _ => Arc::new(on_platter),
        }
    }

    /// The process ends at once, wherever it is.
    pub(crate) fn crash(&mut self, surrounding: &Surrounding) {
        let Some(running) = self.running.take() else { return };
        running.life.end();
        drop(running);
        let cut_off = self.platter.lock().crash(&surrounding.dice);
        surrounding.totals.count(|counts| {
            counts.crashes += 1;
            counts.torn += u64::from(cut_off > 0);
        });
    }
}
