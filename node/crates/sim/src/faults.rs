//! What happens to the cluster: crashes, lost disks, rot, full and slow disks, cut and lossy wires, changes of the pool. One
//! after the other, some of them at the same time, each undone after a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::change;
use crate::life::Aim;
use crate::node::Node;
use crate::run::{World, pause};

/// Nodes that may be away at the same time: one more than the shards that may be missing, now and then.
const DOWN_MAX: usize = 3;

/// What undoes a fault.
#[derive(Clone, Copy, Debug)]
enum Undo {
    StartNode(usize),
    StartGateway,
    EmptyDisk(usize),
    SpeedUp(usize),
    Heal,
    /// Of a node that is lost for good.
    GiveUp(usize),
}

/// Injects faults until it is dropped.
pub(crate) async fn inject(world: Arc<World>) {
    let dice = world.surrounding.dice.fork();
    let mut undoing: Vec<(Instant, Undo)> = Vec::new();
    loop {
        let next = Instant::now() + dice.millis(500, 9000);
        // What is to be undone before the next fault, in its order.
        undoing.sort_by_key(|(at, _)| *at);
        while let Some((at, undo)) = undoing.first().copied().filter(|(at, _)| *at <= next) {
            tokio::time::sleep_until(at).await;
            undoing.remove(0);
            perform(&world, undo).await;
        }
        tokio::time::sleep_until(next).await;
        if let Some((undo, after)) = fault(&world, &dice).await {
            undoing.push((Instant::now() + after, undo));
        }
    }
}

async fn perform(world: &World, undo: Undo) {
    world.note(&format!("undone: {undo:?}"));
    match undo {
        Undo::StartNode(n) => world.start_node(n),
        Undo::StartGateway => start_gateway(world).await,
        Undo::EmptyDisk(n) => world.nodes.lock()[n].platter.lock().full = false,
        Undo::SpeedUp(n) => world.nodes.lock()[n].platter.lock().slowness = 1,
        Undo::Heal => world.surrounding.fabric.heal(),
        Undo::GiveUp(n) => give_up(world, n).await,
    }
}

/// Where it is too early, or no gateway runs, it is said again in the end. (Waiting for a gateway here, nobody would start it.)
async fn give_up(world: &World, n: usize) {
    if world.gateway.lock().await.running().is_none() {
        return;
    }
    match change::give_up(world, n).await {
        Ok(()) if world.surrounding.dice.per_mille(700) => change::come_back(world, n).await,
        Ok(()) => {}
        Err(error) => world.note(&format!("node {n} is not given up yet: {error}")),
    }
}

pub(crate) async fn start_gateway(world: &World) {
    let mut gateway = world.gateway.lock().await;
    if gateway.running().is_none()
        && let Err(error) = gateway.start(&world.surrounding).await
    {
        world.fail(format!("the gateway does not start again: {error}"));
    }
}

/// One fault, and what undoes it when.
async fn fault(world: &World, dice: &crate::dice::Dice) -> Option<(Undo, Duration)> {
    // Those that joined once: also the ones that left.
    let (joined, down) = {
        let nodes = world.nodes.lock();
        let joined = nodes.iter().take_while(|node| node.has_run()).count();
        let is_down = |node: &&Node| !node.is_up() && !node.is_lost;
        (joined, nodes.iter().take(joined).filter(is_down).count())
    };
    let n = dice.below(joined);
    let chosen = dice.below(100);
    let told = |what: &str| {
        world.note(&format!("fault: {what} (node {n})"));
        world.surrounding.totals.count(|counts| counts.faults += 1);
    };
    match chosen {
        0..25 if down < DOWN_MAX => {
            let aim = world.nodes.lock()[n].aim.clone();
            take_aim(&aim, dice).await;
            told("node crashes");
            world.nodes.lock()[n].crash(&world.surrounding);
            Some((Undo::StartNode(n), dice.millis(200, 45_000)))
        }
        25..35 => {
            let aim = world.gateway.lock().await.aim.clone();
            take_aim(&aim, dice).await;
            told("gateway crashes");
            let cut_off = world.gateway.lock().await.crash();
            world.surrounding.totals.count(|counts| {
                counts.crashes += 1;
                counts.cut_commits += u64::from(cut_off);
            });
            Some((Undo::StartGateway, dice.millis(100, 8000)))
        }
        35..47 => lose_disk(world, n, dice, &told).await,
        47..62 => {
            rot(world, n, dice, &told).await;
            None
        }
        62..68 => {
            told("disk full");
            world.nodes.lock()[n].platter.lock().full = true;
            Some((Undo::EmptyDisk(n), dice.millis(1000, 40_000)))
        }
        68..74 => {
            told("disk slow");
            // Tenths of a second for a write, or seconds. Long enough for the gateway to notice, now and then.
            world.nodes.lock()[n].platter.lock().slowness = if dice.per_mille(500) { 50 } else { 250 };
            Some((Undo::SpeedUp(n), dice.millis(1000, 60_000)))
        }
        74..86 => {
            told("wires cut");
            cut(world, n, joined, dice);
            Some((Undo::Heal, dice.millis(500, 30_000)))
        }
        86..91 => {
            told("wires lossy");
            world.surrounding.fabric.lose(dice.below(250));
            Some((Undo::Heal, dice.millis(500, 20_000)))
        }
        91..94 => {
            told("shards are changed in a node's memory");
            world.surrounding.fabric.lie(world.surrounding.peers[n]);
            Some((Undo::Heal, dice.millis(5000, 60_000)))
        }
        _ => change_pool(world, dice, &told).await,
    }
}

/// What was sent before the change may come long after it.
async fn change_pool(
    world: &World,
    dice: &crate::dice::Dice,
    told: &impl Fn(&str),
) -> Option<(Undo, Duration)> {
    let echoes = dice.per_mille(500);
    if echoes {
        world.surrounding.fabric.echo();
        pause(dice.millis(1000, 10_000)).await;
    }
    change::change(world, dice, told).await;
    echoes.then(|| (Undo::Heal, dice.millis(0, 3000)))
}

/// Most crashes come in the middle of something.
pub(crate) async fn take_aim(aim: &Aim, dice: &crate::dice::Dice) {
    if dice.per_mille(700) {
        aim.wait(dice.millis(100, 6000)).await;
        pause(dice.millis(0, 12)).await;
    }
}

async fn lose_disk(
    world: &World,
    n: usize,
    dice: &crate::dice::Dice,
    told: &impl Fn(&str),
) -> Option<(Undo, Duration)> {
    if !world.lose_within_promise(n, None).await {
        return None;
    }
    told("disk lost");
    world.surrounding.totals.count(|counts| counts.disks_lost += 1);
    let lost = {
        let mut nodes = world.nodes.lock();
        nodes[n].crash(&world.surrounding);
        nodes[n].platter.lock().lose()
    };
    if dice.per_mille(250) && change::leave_out(world, n, told).await {
        world.nodes.lock()[n].attic = Some(lost);
        return Some((Undo::GiveUp(n), dice.millis(5000, 60_000)));
    }
    Some((Undo::StartNode(n), dice.millis(200, 20_000)))
}

async fn rot(world: &World, n: usize, dice: &crate::dice::Dice, told: &impl Fn(&str)) {
    let sound = world.nodes.lock()[n].platter.lock().sound();
    let Some((key, _)) = dice.pick(&sound).copied() else { return };
    if world.lose_within_promise(n, Some(key.segment)).await {
        told(&format!("shard {key} rots"));
        world.surrounding.totals.count(|counts| counts.rotted += 1);
        world.nodes.lock()[n].platter.lock().rot(key);
    }
}

/// One node, one way or both, from some or all others.
fn cut(world: &World, n: usize, joined: usize, dice: &crate::dice::Dice) {
    let peers = &world.surrounding.peers;
    let (all, one_way) = (dice.per_mille(400), dice.per_mille(300));
    for other in (0..joined).filter(|other| *other != n) {
        if all || dice.per_mille(400) {
            world.surrounding.fabric.cut(peers[n], peers[other]);
            if !one_way {
                world.surrounding.fabric.cut(peers[other], peers[n]);
            }
        }
    }
    if all {
        world.surrounding.fabric.cut(crate::run::GATEWAY, peers[n]);
    }
}

/// Everything that can be mended is.
pub(crate) async fn mend(world: &World) {
    world.surrounding.fabric.heal();
    start_gateway(world).await;
    if let Err(error) = change::insist(world).await {
        world.fail(format!("the pool does not become what is wanted: {error}"));
    }
    if world.surrounding.totals.read().epochs == 0 {
        // At least one layout change in each run.
        change::grow(world, &|what| world.note(what)).await;
    }
    start_all(world);
    pause(Duration::from_millis(1)).await;
}

/// All but the gateway.
pub(crate) fn mend_nodes(world: &World) {
    world.surrounding.fabric.heal();
    start_all(world);
}

/// Every node that was ever there runs again, on a disk that does what it shall.
fn start_all(world: &World) {
    let mut nodes = world.nodes.lock();
    for node in nodes.iter_mut().filter(|node| node.has_run() && !node.is_lost) {
        if !node.is_up() {
            node.start(&world.surrounding);
        }
        let mut platter = node.platter.lock();
        (platter.full, platter.slowness) = (false, 1);
    }
}
