//! Changes of the pool: nodes join it, drain, take shards again, and leave it for good; its partitions are split.

use std::collections::BTreeSet;
use std::time::Duration;

use datamesh_catalog::catalog::BindError;
use datamesh_placement::{Layout, SignedLayout};
use datamesh_settings::admin::{DesiredMember, PoolSpec, RecodeSpec};
use datamesh_shard::{Cipher, ErasureProfile, NodeName};
use http::{Method, StatusCode};

use crate::dice::Dice;
use crate::gateway::{Ended, ask};
use crate::node::Node;
use crate::run::{World, pause};

/// How often it is said that a node is lost, two seconds apart, until somebody is surprised that it is not taken.
const GIVE_UP_TRIES: u32 = 60;

/// Binary logarithm of the partitions a pool is split into at most.
const PARTITIONS_LOG2_MAX: u8 = 6;

/// Nodes that the widest of the profiles needs which a pool may have: 4+2 on six is the default.
const WIDEST: usize = 6;
/// What the pool may be changed to.
const PROFILES: [(u8, u8); 5] = [(4, 2), (2, 2), (3, 2), (2, 1), (3, 3)];

/// What the administrator wants of the pool.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// k and m of what is written from now on.
    pub(crate) erasure: ErasureProfile,
    /// Whether what is of another is coded anew.
    pub(crate) recode: bool,
    /// Its nodes.
    pub(crate) members: BTreeSet<usize>,
    /// Those of them that shall give their shards away.
    pub(crate) drains: BTreeSet<usize>,
}

impl Wanted {
    /// Nothing but this profile yet.
    pub(crate) fn of(erasure: ErasureProfile) -> Self {
        Self { erasure, recode: false, members: BTreeSet::new(), drains: BTreeSet::new() }
    }

    /// Whether the pool can do without one more.
    fn has_one_to_spare(&self) -> bool {
        self.members.len() - self.drains.len() > WIDEST
    }
}

impl World {
    fn spec(&self, members: &BTreeSet<usize>) -> PoolSpec {
        let nodes = self.nodes.lock();
        let Wanted { erasure, recode, .. } = self.wanted.lock().clone();
        let member = |node: &Node| DesiredMember {
            node: node.name.clone(),
            zone: node.zone.clone(),
            capacity_bytes: 1 << 40,
        };
        PoolSpec {
            erasure,
            cipher: Cipher::Aes256Gcm,
            ack_shards: None,
            members: members.iter().filter_map(|n| nodes.get(*n)).map(member).collect(),
            scrub: Default::default(),
            recode: RecodeSpec { enabled: recode, max_bytes_per_second: None },
        }
    }

    /// Has the pool want these nodes, and binds the key of each to its name, as joining does.
    pub(crate) async fn want(&self, members: BTreeSet<usize>) -> Result<(), String> {
        let running = self.gateway.lock().await.running().ok_or("no gateway runs")?;
        let (pool, spec) = (&self.surrounding.pool, self.spec(&members));
        let put = async |spec| running.embedded.put_pool(pool, spec).await.map_err(|error| error.to_string());
        put(spec.clone()).await?;
        let joining: Vec<_> = {
            let nodes = self.nodes.lock();
            let wanted = members.iter().filter_map(|n| Some((*n, nodes.get(*n)?)));
            wanted.map(|(n, node)| (n, node.name.clone(), node.peer)).collect()
        };
        for (n, name, peer) in joining {
            let nonce = [u8::try_from(n).unwrap_or(u8::MAX); 16];
            let bound = running.catalog.bind_join(nonce, &name, pool, peer).await;
            bound.map_err(|error| error.to_string())?;
        }
        put(spec).await?;
        self.wanted.lock().members = members;
        Ok(())
    }

    async fn drain(&self, n: usize, method: Method) -> Result<(), String> {
        let name = self.name_of(n)?;
        match self.administer(method, &format!("drains/{name}")).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, why) => Err(format!("{status}: {why}")),
        }
    }

    fn name_of(&self, n: usize) -> Result<NodeName, String> {
        Ok(self.nodes.lock().get(n).map(|node| node.name.clone()).ok_or("no such node")?)
    }

    /// Asks for a change of the pool; status and body of the answer.
    async fn administer(&self, method: Method, what: &str) -> Result<(StatusCode, String), String> {
        let path = format!("/api/v1/admin/pools/{}/{what}", self.surrounding.pool);
        match ask(&mut self.gateway_watch(), method, &path, Vec::new()).await {
            Ended::Answered(status, _, body) => Ok((status, String::from_utf8_lossy(&body).into_owned())),
            Ended::Unknown => Err("the gateway died".to_owned()),
        }
    }
}

/// Some change of the pool that is possible now; whether it was made.
pub(crate) async fn change(world: &World, dice: &Dice, told: &impl Fn(&str)) {
    if world.gateway.lock().await.running().is_none() {
        return;
    }
    let wanted = world.wanted.lock().clone();
    let staying: Vec<usize> = wanted.members.difference(&wanted.drains).copied().collect();
    let draining: Vec<usize> = wanted.drains.iter().copied().collect();
    let members: Vec<usize> = wanted.members.iter().copied().collect();
    let made = match dice.below(8) {
        0 if wanted.has_one_to_spare() => match dice.pick(&staying).copied() {
            Some(n) => {
                told(&format!("node {n} is to be drained"));
                world.surrounding.totals.count(|counts| counts.drains += 1);
                world.wanted.lock().drains.insert(n);
                world.drain(n, Method::PUT).await
            }
            None => return,
        },
        1 => match dice.pick(&draining).copied() {
            Some(n) => {
                told(&format!("node {n} is not to be drained any more"));
                world.surrounding.totals.count(|counts| counts.undrains += 1);
                world.wanted.lock().drains.remove(&n);
                world.drain(n, Method::DELETE).await
            }
            None => return,
        },
        2 => {
            let spare = wanted.has_one_to_spare();
            let leaves = |n: &&usize| spare || wanted.drains.contains(*n);
            let may_leave: Vec<usize> = members.iter().filter(leaves).copied().collect();
            let Some(n) = dice.pick(&may_leave).copied() else { return };
            told(&format!("node {n} is to leave"));
            world.surrounding.totals.count(|counts| counts.drains += 1);
            let mut fewer = wanted.members.clone();
            fewer.remove(&n);
            world.wanted.lock().drains.remove(&n);
            world.want(fewer).await
        }
        3 => split(world, told).await,
        4 | 5 => recode(world, dice, told).await,
        _ => return Box::pin(grow(world, told)).await,
    };
    done(world, made);
}

/// The pool's profile changes, or what is of an earlier one is coded anew, or that rests.
async fn recode(world: &World, dice: &Dice, told: &impl Fn(&str)) -> Result<(), String> {
    let before = world.wanted.lock().clone();
    let profiles: Vec<_> = PROFILES.iter().filter_map(|(k, m)| ErasureProfile::new(*k, *m).ok()).collect();
    let others: Vec<_> = profiles.into_iter().filter(|profile| *profile != before.erasure).collect();
    let erasure = match dice.pick(&others) {
        Some(other) if dice.per_mille(600) => *other,
        _ => before.erasure,
    };
    let recode = dice.per_mille(700);
    told(&format!("the pool is to be {erasure}, coded anew: {recode}"));
    let changes = u64::from(erasure != before.erasure);
    world.surrounding.totals.count(|counts| counts.profiles += changes);
    (world.wanted.lock().erasure, world.wanted.lock().recode) = (erasure, recode);
    let made = world.want(before.members).await;
    if made.is_err() {
        // Refused, as with data in too many profiles at once; or nobody knows.
        (world.wanted.lock().erasure, world.wanted.lock().recode) = (before.erasure, before.recode);
    }
    made
}

/// Partitions are split: the gateway begins a new life in which it wants twice as many.
async fn split(world: &World, told: &impl Fn(&str)) -> Result<(), String> {
    let mut gateway = world.gateway.lock().await;
    if gateway.partitions_log2 == PARTITIONS_LOG2_MAX {
        return Ok(());
    }
    told("partitions are to be split");
    gateway.partitions_log2 += 1;
    world.surrounding.totals.count(|counts| counts.splits += 1);
    gateway.crash();
    gateway.start(&world.surrounding).await
}

/// One more member.
pub(crate) async fn grow(world: &World, told: &impl Fn(&str)) {
    let mut more = world.wanted.lock().members.clone();
    let all = world.nodes.lock().len();
    let is_lost = |n: usize| world.nodes.lock().get(n).is_some_and(|node| node.is_lost);
    let Some(n) = (0..all).find(|n| !more.contains(n) && !is_lost(*n)) else { return };
    if world.gateway.lock().await.running().is_none() {
        return;
    }
    told(&format!("node {n} joins"));
    more.insert(n);
    world.start_node(n);
    let made = world.want(more).await;
    done(world, made);
}

/// A node whose disk is lost is lost itself, and wanted no more; whether the pool can do without it.
pub(crate) async fn leave_out(world: &World, n: usize, told: &impl Fn(&str)) -> bool {
    let wanted = world.wanted.lock().clone();
    let is_spare = wanted.drains.contains(&n) || wanted.has_one_to_spare();
    if !wanted.members.contains(&n) || !is_spare || world.gateway.lock().await.running().is_none() {
        return false;
    }
    told("node lost for good");
    world.nodes.lock()[n].is_lost = true;
    world.surrounding.totals.count(|counts| counts.given_up += 1);
    let mut fewer = wanted.members;
    fewer.remove(&n);
    world.wanted.lock().drains.remove(&n);
    // Kept even if the gateway dies now: it is told again.
    world.wanted.lock().members.clone_from(&fewer);
    let made = world.want(fewer).await;
    done(world, made);
    true
}

/// Tells the gateway that a node is lost for good, as an administrator does.
pub(crate) async fn give_up(world: &World, n: usize) -> Result<(), String> {
    let name = world.name_of(n)?;
    match world.administer(Method::POST, &format!("nodes/{name}/replace")).await? {
        // Not found: it was left out already.
        (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
        (status, why) => Err(format!("{status}: {why}")),
    }
}

/// A volume that was given up is found again, with all that was on it: its node starts, and must not be let in.
pub(crate) async fn come_back(world: &World, n: usize) {
    let Some(running) = world.gateway.lock().await.running() else { return };
    let Some((name, peer)) = world.nodes.lock().get(n).map(|node| (node.name.clone(), node.peer)) else {
        return;
    };
    let lists = |signed: &SignedLayout| {
        let layout = Layout::decode(&signed.bytes);
        layout.is_ok_and(|layout| layout.members.iter().any(|member| member.peer == peer))
    };
    // As long as it is a member it is told of deletes, and what it has counts.
    if running.embedded.layouts().iter().any(lists) {
        return;
    }
    let Some(attic) = world.nodes.lock()[n].attic.take() else { return };
    // One that had been drained before left with the proof that nothing was on it, so nobody had to give it up.
    if !running.catalog.given_up().await.is_ok_and(|given_up| given_up.contains(&peer)) {
        if !attic.is_empty() {
            world.fail(format!("node {n} left, was not given up, and has shards"));
        }
        return;
    }
    world.note(&format!("node {n} comes back with what was on it"));
    world.surrounding.totals.count(|counts| counts.came_back += 1);
    {
        let node = &mut world.nodes.lock()[n];
        node.platter.lock().find(attic);
        node.start(&world.surrounding);
    }
    let pool = &world.surrounding.pool;
    let nonce = [u8::try_from(n).unwrap_or(u8::MAX); 16];
    match running.catalog.bind_join(nonce, &name, pool, peer).await {
        Err(BindError::GivenUp { .. }) => {}
        other => world.fail(format!("node {n} was given up, and joins with what was on it: {other:?}")),
    }
}

/// Says so until it is taken: the gateway has to have missed the node for some seconds first.
async fn insist_on_giving_up(world: &World, n: usize) -> Result<(), String> {
    let mut last = Ok(());
    for _ in 0..GIVE_UP_TRIES {
        last = give_up(world, n).await;
        if last.is_ok() {
            break;
        }
        pause(Duration::from_secs(2)).await;
    }
    last
}

/// Says once more what is wanted: a gateway that died may have been told, or not.
pub(crate) async fn insist(world: &World) -> Result<(), String> {
    let wanted = world.wanted.lock().clone();
    // A drain whose end a dead gateway did not hear of would leave too few members once another is lost. It may not know all
    // of these yet: what matters is said again below.
    for n in wanted.members.difference(&wanted.drains) {
        let _ = world.drain(*n, Method::DELETE).await;
    }
    world.want(wanted.members.clone()).await?;
    // First what is called off: more than the pool can do without are not drained, not even for a moment.
    for n in wanted.members.difference(&wanted.drains) {
        world.drain(*n, Method::DELETE).await?;
    }
    for n in wanted.drains {
        world.drain(n, Method::PUT).await?;
    }
    let lost: Vec<usize> = {
        let nodes = world.nodes.lock();
        nodes.iter().enumerate().filter(|(_, node)| node.is_lost).map(|(n, _)| n).collect()
    };
    for n in lost {
        insist_on_giving_up(world, n).await?;
    }
    Ok(())
}

fn done(world: &World, made: Result<(), String>) {
    match made {
        Ok(()) => world.surrounding.totals.count(|counts| counts.epochs += 1),
        Err(error) => world.note(&format!("the pool does not change: {error}")),
    }
}
