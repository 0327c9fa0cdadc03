//! What is known of a pool's segments that are not whole: what its nodes counted. Before they have all, also what the gateway saw
//! since it started, which says that something was wrong, not whether it still is.

use datamesh_settings::admin::{MemberStatus, PoolStatus};

use super::named;

/// Shards a node found corrupt on its own disk.
fn corrupt(member: &MemberStatus) -> u64 {
    member.report.as_ref().map_or(0, |report| report.corrupt_shards)
}

fn all_corrupt(pool: &PoolStatus) -> u64 {
    pool.members.iter().map(corrupt).fold(0, u64::saturating_add)
}

/// What is wrong, for machines: damage before shortness. `None` when nothing is known to be.
pub(super) fn reason(pools: &[&PoolStatus]) -> Option<&'static str> {
    if pools.iter().any(|pool| pool.safety.as_ref().is_some_and(|safety| safety.unreadable > 0)) {
        return Some("Unreadable");
    }
    if pools.iter().any(|pool| !pool.flaws().is_empty()) {
        return Some("NotWhole");
    }
    let pools: Vec<_> = pools.iter().filter(|pool| pool.counts().is_none()).collect();
    if pools.iter().any(|pool| pool.damaged_shards > 0 || all_corrupt(pool) > 0) {
        return Some("DamageFound");
    }
    pools.iter().any(|pool| pool.short_puts > 0).then_some("ShortPuts")
}

/// What is not whole and what that means, each in its own words. Empty when nothing is known not to be.
pub(super) fn flaws(pool: &PoolStatus) -> Vec<String> {
    let mut flaws = pool.flaws();
    if pool.counts().is_some() {
        return flaws;
    }
    if pool.short_puts > 0 {
        flaws.push(short(pool));
    }
    if pool.damaged_shards > 0 {
        let (shards, since) = (counted(pool.damaged_shards, "shard"), since(pool));
        flaws.push(format!(
            "{shards} found missing or corrupt by reads {since}; the reads did without. Until the nodes have counted, take \
             it that their segments survive that many losses less."
        ));
    }
    if all_corrupt(pool) > 0 {
        let shards = counted(all_corrupt(pool), "corrupt shard");
        let nodes = named(pool.members.iter().filter(|member| corrupt(member) > 0));
        flaws.push(format!(
            "{shards} reported by {nodes}: look at these disks. They are rebuilt once the nodes have counted."
        ));
    }
    flaws
}

/// A short segment survives one more loss at its acknowledgement, or none where m is 1 (the administrator's choice).
fn short(pool: &PoolStatus) -> String {
    let (segments, since) = (counted(pool.short_puts, "segment"), since(pool));
    let (total, m) = (pool.weakest().total(), pool.weakest().m());
    let survives = match m {
        1 => "no loss of a node".to_owned(),
        m => format!("the loss of 1 node, not of {m}"),
    };
    format!(
        "{segments} acknowledged short {since}: fewer than all {total} shards durable, or two on one node. Some were \
         completed within seconds; which stayed short is not known, so take it that they survive {survives}. Putting \
         their files again while all nodes are up makes them whole."
    )
}

/// What may be said when nothing is known not to be whole.
pub(super) fn nothing_seen(pool: &PoolStatus) -> String {
    if pool.counts().is_some() {
        // No figures: a condition that is rewritten with each count would tell nothing new each time.
        return format!(
            "All its segments survive the loss of any {} nodes, as the nodes counted.",
            pool.weakest().m()
        );
    }
    format!("No short put and no damage was seen {}.", since(pool))
}

/// From when the counts are: a gateway keeps them in memory.
fn since(pool: &PoolStatus) -> String {
    let at = pool.counting_since_unix_ms.and_then(|ms| i64::try_from(ms).ok());
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.map_or_else(String::new, |at| at.strftime(" at %Y-%m-%d %H:%M:%S UTC").to_string());
    format!("since the gateway started{at} (it forgets what was before)")
}

/// `1 shard was`, `2 shards were`.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what} was") } else { format!("{count} {what}s were") }
}
