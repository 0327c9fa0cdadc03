//! From a data folder and a list of members to a part in their group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::raft::{Peers, RaftKeyspace, ReplicaOptions};
use datamesh_mesh::Gateways;
use datamesh_settings::GatewaySettings;
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::NodeName;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::desk::FrontDesk;
use super::form::{self, Step};
use super::volume::{Folder, Found};
use super::wires::Wires;
use super::{Group, GroupError, Members};
use crate::server::Waiting;

/// Before the others are asked again, unless this gateway is taken in meanwhile.
const PAUSE: Duration = Duration::from_millis(500);
/// Members there may be, and where others leave one that stays.
const NUMBERS: [usize; 2] = [3, 5];
const STAYS_ALONE: usize = 1;

/// Holds a gateway's settings of this against each other.
pub(crate) fn check(node: &NodeName, gateway: &GatewaySettings) -> Result<(), GroupError> {
    let (members, leaving) = (&gateway.catalog_members, &gateway.catalog_leaving);
    match leaving.first() {
        None if members.is_empty() => return Ok(()),
        Some(first) if members.is_empty() => return Err(GroupError::NobodyStays(first.node.clone())),
        _ => {}
    }
    if gateway.catalog_database.is_some() && gateway.catalog_move.is_none() {
        return Err(GroupError::Database);
    }
    let stays_alone = members.len() == STAYS_ALONE && !leaving.is_empty();
    if !stays_alone && !NUMBERS.contains(&members.len()) {
        return Err(GroupError::Number(members.len()));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = gateway.catalog_gateways().find(|member| !names.insert(&member.node)) {
        return Err(GroupError::Twice(twice.node.clone()));
    }
    if names.contains(node) { Ok(()) } else { Err(GroupError::NotNamed(node.clone())) }
}

/// A gateway on its way into the group.
pub(crate) struct Opening {
    pub(crate) node: NodeName,
    pub(crate) members: Members,
    pub(crate) folder: Folder,
    pub(crate) gateways: Gateways,
    pub(crate) desk: FrontDesk,
    pub(crate) waiting: Waiting,
}

impl Opening {
    /// Takes part, as soon as there is a group: waits for as long as the others need.
    pub(crate) async fn run(self) -> Result<Group, GroupError> {
        let Self { node, members, folder, gateways, desk, waiting } = self;
        let others = members.all().filter(|name| **name != node).cloned().collect();
        let wires = Arc::new(Wires::new(gateways, others));
        let forming = Forming { node: &node, members: &members, wires: &wires, waiting: &waiting };
        let looking = folder.clone();
        let mut found = blocking(move || looking.look()).await?;
        desk.has_found(found);
        if found == Found::Alone {
            forming.until_no_other_catalog(folder.id).await?;
            tracing::info!("the catalog of this gateway becomes that of several");
            folder.take_over().await?;
            found = Found::Replica;
        }
        let options = ReplicaOptions { exists: found == Found::Replica, ..ReplicaOptions::default() };
        let peers: Arc<dyn Peers> = Arc::<Wires>::clone(&wires);
        // Before the first question: what is answered from here on has to be remembered.
        let replica = RaftKeyspace::open(&folder.replica(), folder.id, &options, peers).await?;
        if members.is_one()
            && let Err(refused) = check_last(&replica)
        {
            replica.close().await;
            return Err(refused);
        }
        blocking(move || folder.mark()).await?;
        desk.has_replica(replica.clone());
        tokio::select! {
            formed = forming.until_in_a_group(&replica) => formed?,
            () = replica.write_failed() => return Err(GroupError::Stopped),
        }
        tracing::info!(replica = replica.id(), "this gateway keeps the catalog together with others");
        Ok(Group { node, members, replica, wires, heard: Mutex::new(BTreeMap::new()) })
    }
}

/// A gateway that is told of no others must be the only one with a vote: else what the others have would be missed.
fn check_last(replica: &RaftKeyspace) -> Result<(), GroupError> {
    let group = replica.status();
    match group.voters == [replica.id()].into() && !group.joint {
        true => Ok(()),
        false => Err(GroupError::NotLast(group.voters.len())),
    }
}

async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, GroupError> + Send + 'static,
) -> Result<T, GroupError> {
    match tokio::task::spawn_blocking(task).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What is asked, and of whom.
struct Forming<'a> {
    node: &'a NodeName,
    members: &'a Members,
    wires: &'a Wires,
    waiting: &'a Waiting,
}

impl Forming<'_> {
    async fn until_no_other_catalog(&self, id: u64) -> Result<(), GroupError> {
        let own = CatalogStanding {
            node: self.node.clone(),
            replica: id,
            holding: CatalogHolding::Alone,
            applied: 0,
            leads: false,
            voters: BTreeSet::new(),
        };
        loop {
            match form::next(self.members, &own, &self.wires.ask_others().await) {
                Step::Refuse(other) => return Err(GroupError::TwoCatalogs { other }),
                Step::Wait(reason) => self.waiting.tell(reason),
                Step::TakeOver | Step::Form(_) => return Ok(()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn until_in_a_group(&self, replica: &RaftKeyspace) -> Result<(), GroupError> {
        loop {
            // Also where it is in one: whom it asks later is known from here on.
            let said = self.wires.ask_others().await;
            let own = super::standing::of(self.node, replica);
            if own.holding == CatalogHolding::Replica {
                return Ok(());
            }
            match form::next(self.members, &own, &said) {
                Step::Form(replicas) => replica.form(replicas).await?,
                Step::Wait(reason) => self.waiting.tell(reason),
                Step::Refuse(other) => return Err(GroupError::TwoCatalogs { other }),
                Step::TakeOver => {}
            }
            // Late is no fault: the others are asked again.
            let _ = timeout(PAUSE, replica.until(|group| !group.voters.is_empty())).await;
        }
    }
}
