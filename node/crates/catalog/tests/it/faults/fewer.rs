//! Three become one under faults: as soon as the one that stays says that it has all votes, the others are gone with their disks.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::raft::ReplicaId;
use datamesh_catalog::keyspace::Keyspace;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::world::World;
use super::{
    CLIENTS, ENDS_WITHIN, LOG_ENTRIES_KEPT, Shared, client, in_a_world, mend, rows, seeds, strike, victim,
};

/// What whoever leads does, once: one that leaves has the one that stays lead, which takes the others' votes.
async fn step(world: &World, stays: ReplicaId) {
    let leads = |id: &ReplicaId| world.keyspace(*id).is_some_and(|at| at.status().leader == Some(*id));
    let Some(leader) = world.ids().into_iter().find(leads) else { return };
    let Some(at) = world.keyspace(leader) else { return };
    let asked = async {
        match leader == stays {
            true => at.change_members([stays].into()).await,
            false => at.hand_over(stays).await,
        }
    };
    // Late or refused: it is asked again.
    let _ = timeout(Duration::from_secs(2), asked).await;
}

/// The word on which the others go: after a fence, just its own vote, and that agreed on.
async fn has_all_votes(world: &World, stays: ReplicaId) -> bool {
    let Some(at) = world.keyspace(stays) else { return false };
    let fenced = timeout(Duration::from_secs(2), at.get(b"any")).await;
    let group = at.status();
    matches!(fenced, Ok(Ok(_)))
        && group.settled
        && !group.joint
        && group.learners.is_empty()
        && group.voters == [stays].into()
}

async fn until_said(world: &World, stays: ReplicaId) {
    while !has_all_votes(world, stays).await {
        step(world, stays).await;
        sleep(Duration::from_millis(20)).await;
    }
}

async fn run(seed: u64) -> Result<u64, String> {
    let world = World::begin(seed, LOG_ENTRIES_KEPT).await;
    let (history, stays) = (Shared::default(), 1 + u64::try_from(world.below(3)).unwrap());
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&world), Arc::clone(&history), n));
    }
    sleep(world.up_to_ms(500)).await;
    loop {
        strike(&world, victim(&world).await, world.below(6));
        let said = timeout(world.up_to_ms(3000), until_said(&world, stays)).await;
        if said.is_ok() {
            break;
        }
        mend(&world).await;
        if timeout(world.up_to_ms(1500), until_said(&world, stays)).await.is_ok() {
            break;
        }
    }
    // Nobody comes back, not even those that were down.
    world.ids().into_iter().filter(|id| *id != stays).for_each(|id| world.lose(id));
    mend(&world).await;
    clients.join_all().await;
    let last = rows(&world.keyspace(stays).unwrap()).await;
    world.end().await;
    let history = history.lock().unwrap();
    history
        .check(&last)
        .map(|()| u64::try_from(history.writes.iter().filter(|w| w.outcome.is_ok()).count()).unwrap())
}

#[test]
fn who_stays_has_everything_when_the_others_are_gone_with_their_disks() {
    let seeds = seeds();
    let (runs, mut acknowledged) = (seeds.end - seeds.start, 0);
    for seed in seeds {
        println!("fewer: DATAMESH_SEED={seed}");
        let known = in_a_world(move |runtime| {
            let run = async move { timeout(ENDS_WITHIN, run(seed)).await };
            runtime.block_on(run).unwrap_or_else(|_| Err("it does not come to one".into()))
        });
        acknowledged += known.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
    println!("{acknowledged} commits acknowledged");
    assert!(runs < 10 || acknowledged > 20 * runs, "the faults left too little to see");
}
