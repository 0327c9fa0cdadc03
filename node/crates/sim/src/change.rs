//! Changes of the pool: nodes join it, drain, take shards again, and leave it for good.

use std::collections::BTreeSet;

use datamesh_settings::admin::{DesiredMember, PoolSpec};
use datamesh_shard::Cipher;
use http::Method;

use crate::dice::Dice;
use crate::gateway::{Ended, ask};
use crate::node::Node;
use crate::run::World;

/// What the administrator wants of the pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Its nodes.
    pub(crate) members: BTreeSet<usize>,
    /// Those of them that shall give their shards away.
    pub(crate) drains: BTreeSet<usize>,
}

impl Wanted {
    /// Whether the pool can do without one more.
    fn has_one_to_spare(&self, world: &World) -> bool {
        self.members.len() - self.drains.len() > world.profile.total()
    }
}

impl World {
    fn spec(&self, members: &BTreeSet<usize>) -> PoolSpec {
        let nodes = self.nodes.lock();
        let member = |node: &Node| DesiredMember {
            node: node.name.clone(),
            zone: node.zone.clone(),
            capacity_bytes: 1 << 40,
        };
        PoolSpec {
            erasure: self.profile,
            cipher: Cipher::Aes256Gcm,
            ack_shards: None,
            members: members.iter().filter_map(|n| nodes.get(*n)).map(member).collect(),
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
        let name = self.nodes.lock().get(n).map(|node| node.name.clone()).ok_or("no such node")?;
        let path = format!("/api/v1/admin/pools/{}/drains/{name}", self.surrounding.pool);
        match ask(&mut self.gateway_watch(), method, &path, Vec::new()).await {
            Ended::Answered(status, _, _) if status.is_success() => Ok(()),
            Ended::Answered(status, _, body) => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
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
    let made = match dice.below(4) {
        0 if wanted.has_one_to_spare(world) => match dice.pick(&staying).copied() {
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
            let spare = wanted.has_one_to_spare(world);
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
        _ => return Box::pin(grow(world, told)).await,
    };
    done(world, made);
}

/// One more member.
pub(crate) async fn grow(world: &World, told: &impl Fn(&str)) {
    let mut more = world.wanted.lock().members.clone();
    let all = world.nodes.lock().len();
    let Some(n) = (0..all).find(|n| !more.contains(n)) else { return };
    if world.gateway.lock().await.running().is_none() {
        return;
    }
    told(&format!("node {n} joins"));
    more.insert(n);
    world.start_node(n);
    let made = world.want(more).await;
    done(world, made);
}

/// Says once more what is wanted: a gateway that died may have been told, or not.
pub(crate) async fn insist(world: &World) -> Result<(), String> {
    let wanted = world.wanted.lock().clone();
    world.want(wanted.members.clone()).await?;
    // First what is called off: more than the pool can do without are not drained, not even for a moment.
    for n in wanted.members.difference(&wanted.drains) {
        world.drain(*n, Method::DELETE).await?;
    }
    for n in wanted.drains {
        world.drain(n, Method::PUT).await?;
    }
    Ok(())
}

fn done(world: &World, made: Result<(), String>) {
    match made {
        Ok(()) => world.surrounding.totals.count(|counts| counts.epochs += 1),
        Err(error) => world.note(&format!("the pool does not change: {error}")),
    }
}
