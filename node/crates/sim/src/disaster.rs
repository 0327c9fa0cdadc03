//! The catalog's volume is lost, and the catalog comes back out of the mesh.

use std::time::Duration;

use datamesh_placement::Layout;
use http::{Method, StatusCode};

use crate::again;
use crate::client;
use crate::faults;
use crate::gateway::{Ended, ask};
use crate::run::{World, pause};

/// Runs in a thousand in which that happens.
const CHANCE: usize = 400;

/// Perhaps loses the catalog, in the middle of all that is broken, and restores it once that is mended. Gives the time from which on
/// nothing is certain.
pub(crate) async fn strike(world: &World) -> Result<Option<u64>, String> {
    let dice = world.surrounding.dice.fork();
    if !dice.per_mille(CHANCE) || !is_promised(world).await {
        return Ok(None);
    }
    let aim = world.gateway.lock().await.aim.clone();
    faults::take_aim(&aim, &dice).await;
    world.note("the catalog is lost");
    world.gateway.lock().await.crash();
    let counted = world.backed_up.lock().unwrap_or_default();
    faults::mend_nodes(world);
    let restored = world.gateway.lock().await.restore(&world.surrounding).await;
    let restored = restored.map_err(|error| format!("the catalog is not restored: {error}"))?;
    let until = restored.until_unix_ms;
    world.note(&format!("the catalog is restored as of {until}, {} ms ago", world.now_ms() - until));
    if until < counted {
        return Err(format!("a backup of {counted} counted as kept, and what is restored is of {until}"));
    }
    world.surrounding.totals.count(|counts| counts.restored += 1);
    world.history.lock().is_set_back(until);
    again::is_set_back(world);
    Ok(Some(until))
}

/// Whether there is a backup that can be restored, by what is promised: no more nodes are lost for good than its pool can do without.
async fn is_promised(world: &World) -> bool {
    if world.backed_up.lock().is_none() {
        return false;
    }
    faults::start_gateway(world).await;
    let Some(running) = world.gateway.lock().await.running() else { return false };
    let layouts = running.embedded.layouts();
    let Some(layout) = layouts.first().and_then(|signed| Layout::decode(&signed.bytes).ok()) else {
        return false;
    };
    let nodes = world.nodes.lock();
    let is_lost = |peer| nodes.iter().any(|node| node.peer == peer && node.is_lost);
    let lost = layout.members.iter().filter(|member| is_lost(member.peer)).count();
    let least = layout.profiles().map(|profile| profile.m()).min().unwrap_or(0);
    lost <= least
}

/// A check of catalog and nodes, with repair; what it found.
async fn check(world: &World) -> Result<String, String> {
    let mut gateway = world.gateway_watch();
    let body = br#"{"repair":true}"#.to_vec();
    match ask(&mut gateway, Method::POST, "/api/v1/admin/fsck", body).await {
        Ended::Answered(StatusCode::OK, _, lines) => Ok(String::from_utf8_lossy(&lines).into_owned()),
        other => Err(format!("a check of the restored catalog: {other:?}")),
    }
}

/// What was shredded since the moment of a restored catalog is shredded again: that catalog has it, and not all of its bytes are there.
pub(crate) async fn shred_again(world: &World, until: u64) -> Result<(), String> {
    let keys = world.history.lock().keys();
    for key in keys {
        let shredded = world.history.lock().may_be_shredded(until, &key);
        if shredded && !client::delete(world, &key, client::SHRED).await {
            return Err(format!("key {key} cannot be shredded again although nothing is broken"));
        }
    }
    Ok(())
}

/// What a restored catalog does not know of is on the disks, and whoever restores it has that deleted.
pub(crate) async fn mend(world: &World) -> Result<(), String> {
    check(world).await.map(drop)
}

/// Nothing of that is left.
pub(crate) async fn find_unknown(world: &World) -> Result<(), String> {
    let mended = check(world).await?;
    // What was just mended is none any more.
    pause(Duration::from_secs(1)).await;
    let last = check(world).await?;
    match last.lines().any(|line| line.contains(r#""type":"finding""#)) {
        true => Err(format!("what the restored catalog lacked was not mended: {mended}, then {last}")),
        false => Ok(()),
    }
}

/// Whether what keys hold is what they held at one moment that the backup says.
pub(crate) fn judge(world: &World, until: u64) -> Result<(), String> {
    let history = world.history.lock();
    let mut held = history.held();
    // What was shredded since was shredded once more.
    held.retain(|key, _| !history.may_be_shredded(until, key));
    let set_back = u64::try_from(history.differing(&held)).unwrap_or(u64::MAX);
    world.surrounding.totals.count(|counts| counts.set_back += set_back);
    match history.is_one_moment(until, &held) {
        true => Ok(()),
        false => Err(format!("the restored catalog is of no moment since {until}: {held:x?}")),
    }
}
