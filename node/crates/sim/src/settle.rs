//! The end of a run: nothing is broken any more, so everything must come right, and be reported as it is.

use std::sync::Arc;
use std::time::Duration;

use datamesh_settings::CatalogBackups;
use datamesh_settings::admin::{DrainState, MemberStatus, PoolSafety, PoolStatus};
use tokio::time::Instant;

use crate::again;
use crate::client;
use crate::disaster;
use crate::faults;
use crate::gateway::PUT_LEASE;
use crate::run::{World, pause};
use crate::truth;
use crate::watcher;

/// Whoever restores a catalog has what it does not know of deleted: looked for so often, since what is young may be on its way.
const BETWEEN_MENDS: Duration = Duration::from_secs(100);
/// By then the cluster must be whole again.
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) async fn settle(world: &Arc<World>) {
    let set_back = match disaster::strike(world).await {
        Ok(set_back) => set_back,
        Err(what) => return world.fail(what),
    };
    world.note("everything is mended");
    faults::mend(world).await;
    if let Err(what) = again::tidy(world).await {
        return world.fail(what);
    }
    if let Some(until) = set_back
        && let Err(what) = disaster::shred_again(world, until).await
    {
        return world.fail(what);
    }
    if let Err(what) = come_right(world, set_back.is_some()).await {
        return world.fail(what);
    }
    if let Err(what) = again::is_kept(world) {
        return world.fail(what);
    }
    if let Err(what) = read_all(world).await {
        return world.fail(what);
    }
    if let Some(until) = set_back {
        let found = disaster::find_unknown(world).await;
        if let Err(what) = disaster::judge(world, until).and(found) {
            return world.fail(what);
        }
    }
    if let Err(what) = empty(world).await {
        world.fail(what);
    }
}

/// Whatever was acknowledged is there.
async fn read_all(world: &World) -> Result<(), String> {
    // What the gateway has in memory proves nothing of the disks.
    world.gateway.lock().await.crash();
    faults::start_gateway(world).await;
    let keys = world.history.lock().keys();
    for key in keys {
        if !client::get(world, &key).await? {
            let there = world.describe(&key).await;
            return Err(format!("key {key} cannot be read although nothing is broken: {there}"));
        }
    }
    Ok(())
}

/// The catalog is backed up no more: backups bring segments and let them go, so that what was counted is never what is there.
async fn without_backups(world: &Arc<World>) {
    {
        let mut gateway = world.gateway.lock().await;
        gateway.backups = CatalogBackups::Off;
        gateway.crash();
    }
    faults::start_gateway(world).await;
}

/// Deletes everything: all space comes back, that of backups and of puts which were cut off as well.
async fn empty(world: &Arc<World>) -> Result<(), String> {
    let keys = world.history.lock().keys();
    for key in keys {
        if !client::delete(world, &key, "").await {
            return Err(format!("key {key} cannot be deleted although nothing is broken"));
        }
    }
    again::let_go(world).await?;
    let until = Instant::now() + PUT_LEASE + PATIENCE;
    while Instant::now() < until {
        // What is on a disk that was given up nobody can delete, and nobody has brought anywhere else.
        let left: usize = {
            let nodes = world.nodes.lock();
            nodes.iter().filter(|node| !node.is_lost).map(|node| node.platter.lock().rows.len()).sum()
        };
        // Nor is there a profile left of what is gone.
        let profiles = watcher::pool(world).await.map_or(2, |pool| pool.profiles.len());
        if left == 0 && profiles == 1 {
            return Ok(());
        }
        pause(Duration::from_secs(20)).await;
    }
    let left = truth::sound(&world.nodes.lock());
    Err(format!("everything was deleted, and these are still on disks: {left:?}"))
}

/// Waits until what is reported is that all is well, and holds it against the truth.
async fn come_right(world: &Arc<World>, set_back: bool) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let (mut last, mut backed_up) = (None, false);
    let mut mended = Instant::now();
    while Instant::now() < until {
        if let Some((pool, backup)) = watcher::status(world).await {
            let safety = pool.safety.clone().unwrap_or_default();
            let (good, what) = judge(world, &safety);
            let drains = undone_drains(world, &pool);
            let what = if drains.is_empty() { what } else { format!("{what}; drains: {drains:?}") };
            let recoded = recoded(world, &pool);
            if !backed_up && backup.counts() && backup.error.is_none() {
                backed_up = true;
                without_backups(world).await;
            }
            if good && drains.is_empty() && recoded && backed_up {
                world.surrounding.totals.count(|counts| counts.rebuilt += safety.rebuilt_shards);
                world.note(&format!("it came right: {what}"));
                return Ok(());
            }
            if set_back && mended.elapsed() > BETWEEN_MENDS {
                disaster::mend(world).await?;
                mended = Instant::now();
            }
            last = Some(format!("{what}; profiles: {:?}, {:?}; {backup:?}", pool.profiles, pool.recode));
        }
        pause(Duration::from_secs(2)).await;
    }
    Err(format!("after {PATIENCE:?} without faults it has not come right: {last:?}"))
}

/// Whether all is in the wanted profile, if that was asked for, and no other is left.
fn recoded(world: &World, pool: &PoolStatus) -> bool {
    let wanted = world.wanted.lock();
    let profiles: Vec<_> = pool.profiles.iter().map(|profile| profile.erasure).collect();
    let is_wanted = profiles.first() == Some(&wanted.erasure);
    is_wanted && (!wanted.recode || profiles.len() == 1 && pool.recode.is_none())
}

/// Members that shall drain or leave, and have not.
fn undone_drains(world: &World, pool: &PoolStatus) -> Vec<String> {
    let wanted = world.wanted.lock();
    let nodes = world.nodes.lock();
    let is_right = |member: &MemberStatus| {
        let n = nodes.iter().position(|node| node.name == member.node);
        let drained = member.drain.as_ref().map(|drain| drain.state);
        match n.filter(|n| wanted.members.contains(n)) {
            Some(n) if wanted.drains.contains(&n) => drained == Some(DrainState::Drained),
            Some(_) => drained.is_none(),
            None => false,
        }
    };
    let wrong = pool.members.iter().filter(|member| !is_right(member));
    wrong.map(|member| format!("{}: {:?}", member.node, member.drain)).collect()
}

/// Whether all that is needed is whole and the report says exactly what is.
fn judge(world: &World, safety: &PoolSafety) -> (bool, String) {
    let nodes = world.nodes.lock();
    let listed = truth::listed(&nodes);
    // Rot that nobody has read yet: the scrub finds it.
    let all_found = listed == truth::sound(&nodes);
    let whole = listed.values().filter(|copies| copies.is_whole()).count();
    // Left behind by puts that a crash cut off before anybody had written down what they were about.
    let unreadable = listed.values().filter(|copies| copies.tolerance().is_none()).count();
    // Each level by itself: segments of different profiles are whole at different ones.
    let mut levels = vec![0; safety.segments.len()];
    for survived in listed.values().filter_map(|copies| copies.tolerance()) {
        levels.resize(levels.len().max(survived + 1), 0);
        levels[survived] += 1;
    }
    let not_whole: Vec<_> = listed.iter().filter(|(_, copies)| !copies.is_whole()).collect();
    let counted = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let said_all: u64 = safety.segments.iter().sum();
    let said_short: u64 = safety.short.iter().sum();
    let good = all_found
        && safety.is_complete()
        && safety.unheard_partitions == 0
        && safety.under_way == 0
        && safety.away == 0
        && said_short == 0
        && said_all == counted(whole)
        && safety.segments == levels
        && safety.unreadable == counted(unreadable)
        && whole + unreadable == listed.len();
    (
        good,
        format!(
            "{whole} whole and {unreadable} unreadable of {} segments; the others lie so: {not_whole:?}; reported: {safety:?}",
            listed.len()
        ),
    )
}
