//! Replicas that leave and come while others work, each step asked for until it is done, as gateways do it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::raft::{RaftKeyspace, ReplicaId};
use tokio::time::sleep;

use super::world::World;

const PAUSE: Duration = Duration::from_millis(200);

/// Asks whoever leads, until it is done: a leader may go while it is asked.
async fn until_done(world: &World, ask: impl AsyncFn(&RaftKeyspace) -> bool) {
    loop {
        if let Some(leader) = world.keyspace(world.leader().await)
            && ask(&leader).await
        {
            return;
        }
        sleep(PAUSE).await;
    }
}

async fn vote(world: &World, voters: &BTreeSet<ReplicaId>) {
    until_done(world, async |leader| leader.change_members(voters.clone()).await.is_ok()).await;
}

async fn learn(world: &World, id: ReplicaId) {
    until_done(world, async |leader| leader.add_learner(id).await.is_ok()).await;
}

/// The volume of one is lost for good; gives the replica that comes with an empty one in its place.
pub(super) async fn start_empty(world: &Arc<World>, lost: ReplicaId) -> ReplicaId {
    world.lose(lost);
    let new = world.ids().last().unwrap().max(&lost) + 1;
    world.add(new).await;
    new
}

/// A volume is lost for good: its replica leaves, one with an empty volume comes.
pub(super) async fn replace(world: &Arc<World>, lost: ReplicaId) {
    let new = start_empty(world, lost).await;
    super::form_again(world).await;
    // All of them may be new, where the group had to be formed again.
    let stay: BTreeSet<_> = world.ids().into_iter().filter(|id| *id != new).collect();
    vote(world, &stay).await;
    learn(world, new).await;
    vote(world, &stay.into_iter().chain([new]).collect()).await;
}

/// All but one leave, whoever leads perhaps among them, and come back with what they have.
pub(super) async fn leave_and_come_back(world: &Arc<World>) {
    let ids = world.ids();
    let last = ids[world.below(ids.len())];
    vote(world, &[last].into()).await;
    sleep(world.up_to_ms(1000)).await;
    for &id in ids.iter().filter(|id| **id != last) {
        learn(world, id).await;
    }
    vote(world, &ids.into_iter().collect()).await;
}
