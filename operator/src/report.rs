//! What the gateway reports, put into conditions. Pure. Nothing here is guessed: without an answer it says Unknown.

use datamesh_crds::condition;
use datamesh_settings::admin::{CatalogStatus, MemberState, MemberStatus, PoolStatus};

use crate::conditions::Verdict;

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

fn in_state(pool: &PoolStatus, state: MemberState) -> impl Iterator<Item = &MemberStatus> {
    pool.members.iter().filter(move |m| m.state == state)
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

/// What the down members of a pool mean for its data.
fn meaning(pool: &PoolStatus) -> String {
    let (down, m) = (down(pool), pool.erasure.m());
    if down > m {
        return format!(
            "{profile} survives {m}: some files cannot be read until nodes come back; nothing is deleted meanwhile",
            profile = pool.erasure,
        );
    }
    match m - down {
        0 => "every file is still readable, but no further node may be lost".into(),
        1 => "every file is still readable, and 1 more node may be lost".into(),
        more => format!("every file is still readable, and {more} more nodes may be lost"),
    }
}

/// One sentence on each trouble of a pool.
fn troubles(pool: &PoolStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    let (down, full) = (down(pool), in_state(pool, MemberState::Full).count());
    if down > 0 {
        let (total, names) = (pool.members.len(), named(in_state(pool, MemberState::Down)));
        let (pool_name, means) = (&pool.name, meaning(pool));
        troubles.push(format!("Pool {pool_name}: {down} of {total} nodes down: {names}; {means}."));
    }
    if full > 0 {
        let (pool_name, names) = (&pool.name, named(in_state(pool, MemberState::Full)));
        troubles.push(format!(
            "Pool {pool_name}: full, takes no new shards: {names}; raise volumeSize or add nodes."
        ));
    }
    if pool.damaged_shards > 0 {
        let (pool_name, damaged) = (&pool.name, pool.damaged_shards);
        troubles.push(format!(
            "Pool {pool_name}: reads found {damaged} shards missing or corrupt and did without."
        ));
    }
    troubles
}

/// Degraded: which members are down, where, and what that means.
pub(crate) fn degraded(pools: &[&PoolStatus]) -> Verdict {
    let troubles: Vec<String> = pools.iter().flat_map(|pool| troubles(pool)).collect();
    if troubles.is_empty() {
        return Verdict::no(condition::DEGRADED, "AllUp", "No node is down or full, no damage is known.");
    }
    let reason = if pools.iter().any(|pool| down(pool) > pool.erasure.m()) {
        "TooManyNodesDown"
    } else if pools.iter().any(|pool| down(pool) > 0) {
        "NodesDown"
    } else if pools.iter().any(|pool| in_state(pool, MemberState::Full).count() > 0) {
        "NodesFull"
    } else {
        "DamageFound"
    };
    Verdict::yes(condition::DEGRADED, reason, troubles.join(" "))
}

/// DataSafe: whether every acknowledged byte survives the next loss. `notes` are lasting weaknesses (few zones).
pub(crate) fn data_safe(catalog: &CatalogStatus, pools: &[&PoolStatus], notes: &[String]) -> Verdict {
    let with_notes = |text: String| notes.iter().fold(text, |text, note| format!("{text} {note}"));
    let shards: Vec<String> =
        pools.iter().map(|pool| format!("Pool {}: {}.", pool.name, meaning(pool))).collect();
    let shards = shards.join(" ");
    if pools.iter().any(|pool| down(pool) > pool.erasure.m()) {
        return Verdict::no(condition::DATA_SAFE, "TooManyNodesDown", with_notes(shards));
    }
    if catalog.replicas <= 1 {
        let text = format!(
            "Names and keys of all files have one copy, on the gateway's volume: losing that volume loses everything. \
             Keep backups of it until a later version replicates the catalog. {shards}"
        );
        return Verdict::no(condition::DATA_SAFE, "CatalogSingleCopy", with_notes(text));
    }
    if pools.iter().any(|pool| down(pool) == pool.erasure.m()) {
        return Verdict::no(condition::DATA_SAFE, "NoFurtherLoss", with_notes(shards));
    }
    Verdict::yes(condition::DATA_SAFE, "Redundant", with_notes(shards))
}

/// Degraded and DataSafe while the gateway cannot be asked.
pub(crate) fn unknown(why: &str) -> [Verdict; 2] {
    [
        Verdict::unknown(condition::DEGRADED, "GatewayUnreachable", format!("Nobody can say: {why}")),
        Verdict::unknown(condition::DATA_SAFE, "GatewayUnreachable", format!("Nobody can say: {why}")),
    ]
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
    Verdict::yes(condition::READY, "Serving", format!("Puts and gets work; {up} of {total} nodes are up."))
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_controller::conditions::ConditionStatus;

    use super::*;

    /// A pool 4+2 whose members have these states.
    pub(crate) fn pool(states: &[MemberState]) -> PoolStatus {
        let members = states.iter().enumerate().map(|(n, &state)| MemberStatus {
            node: format!("demo-main-{n}").parse().unwrap(),
            zone: format!("zone{}", n % 3).parse().unwrap(),
            state,
            peer: None,
            report: None,
            report_age_seconds: None,
        });
        PoolStatus {
            name: "main".parse().unwrap(),
            erasure: datamesh_shard::ErasureProfile::new(4, 2).unwrap(),
            epoch: Some(datamesh_shard::Epoch(1)),
            writable: true,
            members: members.collect(),
            short_puts: 0,
            damaged_shards: 0,
            problems: Vec::new(),
        }
    }

    pub(crate) fn catalog(replicas: u32) -> CatalogStatus {
        CatalogStatus { replicas, incarnation: Default::default(), objects: 0, condemned_segments: 0 }
    }

    use MemberState::{Down, Full, Joining, Up};

    #[test]
    fn down_members_are_named_with_zone_and_meaning() {
        let verdict = degraded(&[&pool(&[Up, Down, Up, Up, Down, Up])]);
        assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "NodesDown"));
        for part in
            ["2 of 6 nodes down", "demo-main-1 (zone zone1), demo-main-4 (zone zone1)", "no further node"]
        {
            assert!(verdict.message.contains(part), "{part} in {}", verdict.message);
        }
        let one = degraded(&[&pool(&[Up, Down, Up, Up, Up, Up])]);
        assert!(one.message.contains("1 more node may be lost"), "{}", one.message);
        let three = degraded(&[&pool(&[Down, Down, Down, Up, Up, Up])]);
        assert_eq!(three.reason, "TooManyNodesDown");
        assert!(three.message.contains("cannot be read until nodes come back"), "{}", three.message);
    }

    #[test]
    fn all_well_is_not_degraded_and_a_full_node_is() {
        assert_eq!(degraded(&[&pool(&[Up; 6])]).status, ConditionStatus::False);
        assert_eq!(degraded(&[&pool(&[Up, Up, Up, Up, Up, Full])]).reason, "NodesFull");
    }

    #[test]
    fn a_single_catalog_copy_is_never_called_safe() {
        for states in [[Up; 6], [Up, Up, Down, Down, Up, Up]] {
            let verdict = data_safe(&catalog(1), &[&pool(&states)], &[]);
            assert_eq!((verdict.status, verdict.reason), (ConditionStatus::False, "CatalogSingleCopy"));
        }
        let replicated = data_safe(&catalog(3), &[&pool(&[Up; 6])], &["Few zones.".into()]);
        assert_eq!(replicated.status, ConditionStatus::True);
        assert!(replicated.message.ends_with("Few zones."), "{}", replicated.message);
        assert_eq!(
            data_safe(&catalog(3), &[&pool(&[Down, Down, Up, Up, Up, Up])], &[]).reason,
            "NoFurtherLoss"
        );
        assert_eq!(data_safe(&catalog(1), &[&pool(&[Down; 6])], &[]).reason, "TooManyNodesDown");
    }

    #[test]
    fn a_pool_is_ready_when_it_can_be_written() {
        let mut status = pool(&[Up, Up, Up, Up, Up, Joining]);
        status.epoch = None;
        assert_eq!(pool_ready(&status).reason, "NodesJoining");
        assert!(pool_ready(&status).message.contains("waiting for demo-main-5"));
        status.epoch = Some(datamesh_shard::Epoch(1));
        status.writable = false;
        assert_eq!(pool_ready(&status).reason, "NotWritable");
        status.writable = true;
        assert!(pool_ready(&status).is_good());
    }
}
