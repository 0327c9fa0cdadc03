//! What a storage node does with its shards: answers for them, counts and rebuilds those of its partitions, sends home
//! what belongs to others, reads all of them now and then, and tells of damage. It knows its disk as a [`Shelf`] and the others as a [`Net`], and takes the time from
//! the runtime: the simulation runs all of it unchanged.

pub(crate) mod anchors;
mod crier;
mod fellows;
mod homing;
mod ledger;
mod looks;
mod pace;
mod rules;
mod scrub;
mod service;
mod shelf;
mod shreds;
mod steward;

use std::sync::Arc;

use datamesh_exchange::net::Net;
use datamesh_shard::{PeerKey, PoolName};

use crate::alarms::Alarms;
use crate::swarm::RecordBytes;
use crate::trust::Trust;
use anchors::Anchors;
pub use crier::Crier;
use fellows::Fellows;
pub use homing::Homing;
use ledger::Ledger;
use looks::Looks;
pub use pace::Pace;
use rules::Rules;
use scrub::Orders;
pub use scrub::Scrub;
pub use service::StorageService;
pub use shelf::Shelf;
use shreds::Shreds;
pub use steward::Steward;

/// Seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a keeper works with.
pub struct KeeperParts {
    /// Its shards.
    pub shelf: Arc<dyn Shelf>,
    /// What it remembers besides.
    pub records: Arc<dyn RecordBytes>,
    /// The others.
    pub net: Arc<dyn Net>,
    /// Whom it believes, and the layouts.
    pub trust: Arc<Trust>,
    /// Its pool.
    pub pool: PoolName,
    /// Its key.
    pub own: PeerKey,
    /// How long a delete is remembered goes by this.
    pub clock: Clock,
    /// How often it looks after its shards.
    pub pace: Pace,
}

/// The parts of a storage node that need neither sockets nor files: one answers, four work in the background.
pub struct Keeper {
    /// Answers requests.
    pub service: StorageService,
    /// Counts and rebuilds.
    pub steward: Steward,
    /// Sends shards home.
    pub homing: Homing,
    /// Reads every shard now and then.
    pub scrub: Scrub,
    /// Tells of what is found corrupt here.
    pub crier: Crier,
}

impl Keeper {
    /// Puts them together.
    #[must_use]
    pub fn new(parts: KeeperParts) -> Self {
        let KeeperParts { shelf, records, net, trust, pool, own, clock, pace } = parts;
        let anchors = Anchors::recall(Arc::clone(&records));
        let rules = Arc::new(Rules::new(records, clock));
        let orders = Arc::new(Orders::recall(Arc::clone(&rules)));
        let ledger = Arc::new(Ledger::default());
        let fellows = Arc::new(Fellows {
            shelf,
            trust,
            net,
            pool,
            own,
            rules,
            alarms: Alarms::default(),
            looks: Looks::default(),
            newest: parking_lot::Mutex::default(),
            computing: tokio::sync::Mutex::default(),
        });
        Self {
            service: StorageService {
                fellows: Arc::clone(&fellows),
                ledger: Arc::clone(&ledger),
                orders: Arc::clone(&orders),
                shreds: Shreds::default(),
                anchors,
            },
            steward: Steward::new(Arc::clone(&fellows), Arc::clone(&ledger), pace),
            homing: Homing { fellows: Arc::clone(&fellows), ledger: Arc::clone(&ledger), pace, forgot: None },
            scrub: Scrub { fellows: Arc::clone(&fellows), ledger, orders, pace },
            crier: Crier { fellows, pace },
        }
    }
}
