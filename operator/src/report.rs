//! What the gateway reports, put into conditions. Pure. Nothing here is guessed: without an answer it says Unknown, but
//! for what is known without asking.

use datamesh_crds::condition;
use datamesh_settings::admin::{
    AvoidedReason, CatalogEngine, CatalogStatus, DrainState, MemberState, MemberStatus, PoolScrub, PoolStatus,
};

use crate::conditions::Verdict;
use crate::gateway_api::GatewayError;

pub(crate) mod catalog;
pub(crate) mod copies;
mod recode;
#[cfg(test)]
pub(crate) mod tests;
mod whole;

pub(crate) use catalog::Keepers;
pub(crate) use recode::{profiles, recode};

/// Members named in a message at most; more are counted.
const MEMBERS_NAMED_MAX: usize = 12;
/// Members that answer, full ones included.
pub(crate) fn up(pool: &PoolStatus) -> usize {
    pool.members.iter().filter(|m| matches!(m.state, MemberState::Up | MemberState::Full)).count()
}

/// Members that held shards and do not answer.
fn down(pool: &PoolStatus) -> usize {
    in_state(pool, MemberState::Down).count()
}

/// Members in a state. Whoever is drained is missed by nobody.
fn in_state(pool: &PoolStatus, state: MemberState) -> impl Iterator<Item = &MemberStatus> {
    let is_drained = |m: &&MemberStatus| m.drain.as_ref().is_some_and(|d| d.state == DrainState::Drained);
    pool.members.iter().filter(move |m| m.state == state && !is_drained(m))
}

/// Members the gateway avoids for this reason. Whoever does not answer is down, not that.
fn avoided(pool: &PoolStatus, reason: AvoidedReason) -> impl Iterator<Item = &MemberStatus> {
    let is_so = move |m: &&MemberStatus| m.avoided.as_ref().is_some_and(|a| a.reason == reason);
    pool.members.iter().filter(|m| m.state != MemberState::Down).filter(is_so)
}

/// `demo-main-1 (zone a), demo-main-4 (zone b) and 3 more`.
fn named<'a>(members: impl Iterator<Item = &'a MemberStatus>) -> String {
    let all: Vec<String> = members.map(|m| format!("{} (zone {})", m.node, m.zone)).collect();
    let named = all[..all.len().min(MEMBERS_NAMED_MAX)].join(", ");
    match all.len().saturating_sub(MEMBERS_NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What the down members of a pool mean for data that is whole; of what is not, [`whole::flaws`] speaks.
fn meaning(pool: &PoolStatus) -> String {
    let (down, profile) = (down(pool), pool.weakest());
    let m = profile.m();
    if down > m {
        return format!(
            "{profile} survives {m}: some files cannot be read until nodes come back; nothing is deleted meanwhile",
            profile = profile,
        );
    }
    match m - down {
        0 => "data that is whole is readable, but no further node may be lost".into(),
        1 => "data that is whole is readable, and 1 more node may be lost".into(),
        more => format!("data that is whole is readable, and {more} more nodes may be lost"),
    }
}

/// Whether a layout exists under which no put can be acknowledged now.
fn takes_no_writes(pool: &PoolStatus) -> bool {
    pool.epoch.is_some() && !pool.writable
}

/// One sentence on each trouble of a pool.
fn troubles(pool: &PoolStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    let (down, full) = (down(pool), in_state(pool, MemberState::Full).count());
    if down > 0 {
        let (total, names) = (pool.members.len(), named(in_state(pool, MemberState::Down)));
        troubles.push(format!("{down} of {total} nodes down: {names}; {}.", meaning(pool)));
    }
    if full > 0 {
        let names = named(in_state(pool, MemberState::Full));
        troubles.push(format!("Full, takes no new shards: {names}; raise volumeSize or add nodes."));
    }
    if avoided(pool, AvoidedReason::WrongAnswers).count() > 0 {
        let names = named(avoided(pool, AvoidedReason::WrongAnswers));
        troubles.push(format!(
            "Quarantined, gave wrong answers: {names}; see `datamesh diagnose`, and drain them if it happens again."
        ));
    }
    if takes_no_writes(pool) {
        troubles.push("Too few nodes take shards: puts fail until more do.".into());
    }
    troubles.extend(whole::flaws(pool));
    troubles.into_iter().map(|trouble| format!("Pool {}: {trouble}", pool.name)).collect()
}

/// Degraded: which members are down, where, what is not whole, and what that means.
pub(crate) fn degraded(pools: &[&PoolStatus]) -> Verdict {
    let troubles: Vec<String> = pools.iter().flat_map(|pool| troubles(pool)).collect();
    if troubles.is_empty() {
        let known: Vec<String> = pools.iter().map(|pool| whole::nothing_seen(pool)).collect();
        let text = format!("No node is down or full. {}", known.join(" "));
        return Verdict::no(condition::DEGRADED, "AllUp", text);
    }
    let any = |trouble: fn(&PoolStatus) -> bool| pools.iter().any(|pool| trouble(pool));
    let reason = if any(|pool| down(pool) > pool.weakest().m()) {
        "TooManyNodesDown"
    } else if any(|pool| down(pool) > 0) {
        "NodesDown"
    } else if any(|pool| in_state(pool, MemberState::Full).count() > 0) {
        "NodesFull"
    } else if any(|pool| avoided(pool, AvoidedReason::WrongAnswers).count() > 0) {
        "NodesQuarantined"
    } else if any(takes_no_writes) {
        "NotWritable"
    } else {
        whole::reason(pools).unwrap_or("DamageFound")
    };
    Verdict::yes(condition::DEGRADED, reason, troubles.join(" "))
}

/// What is known of a pool's data, and of what is not known.
fn safety(pool: &PoolStatus) -> String {
    let mut known = vec![format!("Pool {}: {}.", pool.name, meaning(pool))];
    known.extend(whole::flaws(pool));
    if known.len() == 1 {
        known.push(whole::nothing_seen(pool));
    }
    // Counts are of shards that are there; whether they are still what was written, the scrub says.
    known.extend(pool.scrub.iter().flat_map(PoolScrub::caveats));
    known.join(" ")
}

/// What the tables of a pool's layout say of the loss of a zone, if that would be too much.
fn zone_loss(pool: &PoolStatus) -> Option<String> {
    let (name, profile, shards) = (&pool.name, pool.weakest(), pool.zone_loss_shards?);
    Some(format!(
        "Pool {name}: the loss of a whole zone may cost {shards} of the {total} shards of a segment, and {profile} survives \
         {m}: spread the nodes over more zones.",
        total = profile.total(),
        m = profile.m(),
    ))
}

/// DataSafe: whether every acknowledged byte survives the next loss. `notes` are weaknesses that follow from the spec
/// (few zones); what the gateway's tables say of zones takes their place.
pub(crate) fn data_safe(catalog: &CatalogStatus, pools: &[&PoolStatus], notes: &[String]) -> Verdict {
    let measured: Vec<String> = pools.iter().filter_map(|pool| zone_loss(pool)).collect();
    let lasting = if measured.is_empty() { notes } else { &measured };
    let known: Vec<String> = pools.iter().map(|pool| safety(pool)).chain(lasting.iter().cloned()).collect();
    let known = known.join(" ");
    let any = |trouble: fn(&PoolStatus) -> bool| pools.iter().any(|pool| trouble(pool));
    if any(|pool| down(pool) > pool.weakest().m()) {
        return Verdict::no(condition::DATA_SAFE, "TooManyNodesDown", known);
    }
    if let Some((reason, why)) = catalog::unsafe_for(catalog) {
        return Verdict::no(condition::DATA_SAFE, reason, format!("{why} {known}").trim_end());
    }
    if any(|pool| down(pool) == pool.weakest().m()) {
        return Verdict::no(condition::DATA_SAFE, "NoFurtherLoss", known);
    }
    match (whole::reason(pools), catalog.engine) {
        (Some(reason), _) => Verdict::no(condition::DATA_SAFE, reason, known),
        (None, CatalogEngine::Embedded) if catalog.members.len() < 2 && catalog.replicas < 2 => {
            Verdict::yes(condition::DATA_SAFE, "Redundant", format!("{known} {}", catalog::BACKED_UP))
        }
        (None, CatalogEngine::Embedded) => Verdict::yes(condition::DATA_SAFE, "Redundant", known),
        (None, CatalogEngine::Postgres) => {
            Verdict::yes(condition::DATA_SAFE, "Redundant", format!("{known} {}", catalog::ELSEWHERE))
        }
    }
}

/// Degraded and DataSafe of what the gateway knows nothing of.
pub(crate) fn unknown(why: &str) -> [Verdict; 2] {
    [condition::DEGRADED, condition::DATA_SAFE]
        .map(|type_| Verdict::unknown(type_, "GatewayUnreachable", format!("Nobody can say: {why}")))
}

/// Degraded and DataSafe while no gateway can be asked. How the nodes are nobody can say then, but that a single gateway's
/// catalog has one copy is so whether it answers or not.
pub(crate) fn unasked(error: &GatewayError, keepers: Keepers) -> [Verdict; 2] {
    let [degraded, data_safe] = unknown(&error.to_string());
    if matches!(error, GatewayError::NoCluster) || keepers != Keepers::OneGateway {
        return [degraded, data_safe];
    }
    let text = format!("{} How the storage nodes are could not be asked: {error}", catalog::SINGLE_COPY);
    [degraded, Verdict::no(condition::DATA_SAFE, "CatalogSingleCopy", text)]
}

/// Ready of one pool the gateway knows.
pub(crate) fn pool_ready(pool: &PoolStatus) -> Verdict {
    let (up, total) = (up(pool), pool.members.len());
    if pool.epoch.is_none() {
        let waiting = named(in_state(pool, MemberState::Joining));
        let text = format!("{up} of {total} nodes have joined; waiting for {waiting}.");
        return Verdict::no(condition::READY, "NodesJoining", text);
    }
    if !pool.writable {
        let problems = pool.problems.join(" ");
        let text = format!("{up} of {total} nodes are up, too few to store a segment. {problems}");
        return Verdict::no(condition::READY, "NotWritable", text.trim_end());
    }
    let mut text = format!("Puts and gets work; {up} of {total} nodes are up.");
    if avoided(pool, AvoidedReason::Slow).count() > 0 {
        // Without figures: a message that changes all the time is written all the time.
        text.push_str(&format!(" Slow and avoided: {}.", named(avoided(pool, AvoidedReason::Slow))));
    }
    Verdict::yes(condition::READY, "Serving", text)
}
