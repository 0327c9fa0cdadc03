//! Holds what the cluster reports against the truth, all the time: it must never be better.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_settings::admin::{BackupStatus, ClusterStatus, DrainState, PoolSafety, PoolStatus};
use datamesh_shard::SegmentId;
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::gateway::{Ended, ask};
use crate::node::Node;
use crate::run::{World, pause};
use crate::truth;

const PERIOD: Duration = Duration::from_millis(1500);
/// How old what is reported may be, faults included that nobody reported: a partition's rest, the grace in which a
/// missing shard may be a put under way, a pass, a report on its way, and a page of it lost twice.
const BOUND: Duration = Duration::from_secs(60 + 40 + 45);

/// Further losses survived, plus one: 0 stands for "cannot be read".
type Level = usize;

/// What the cluster says, if it says anything of all segments.
pub(crate) fn reported(safety: &PoolSafety) -> Option<Level> {
    if !safety.is_complete() {
        return None;
    }
    if safety.unreadable > 0 {
        return Some(0);
    }
    let lowest = safety.segments.iter().position(|segments| *segments > 0);
    lowest.map(|survived| survived + 1)
}

/// How each segment was, for as long as the bound.
#[derive(Default)]
struct Truths(BTreeMap<SegmentId, Known>);

struct Known {
    first: Instant,
    /// When it last was at each level or a better one.
    last_at: Vec<Instant>,
}

impl Truths {
    fn look(&mut self, world: &World, now: Instant) {
        let listed = truth::listed(&world.nodes.lock());
        self.0.retain(|segment, _| listed.contains_key(segment));
        for (segment, copies) in listed {
            let level = copies.tolerance().map_or(0, |survived| survived + 1);
            let fresh = || Known { first: now, last_at: vec![now; copies.profile.m() + 2] };
            let known = self.0.entry(segment).or_insert_with(fresh);
            known.last_at.iter_mut().take(level + 1).for_each(|at| *at = now);
        }
    }

    /// A segment that was at a worse level than this for all of the bound, and what it was at best. So many are counted apart, as puts
    /// under way: of those no more is said than that they were whole within the bound, and their profile may allow less than this level.
    fn worse_than(
        &self,
        (level, apart): (Level, u64),
        now: Instant,
        counts: impl Fn(&SegmentId) -> bool,
    ) -> Option<(SegmentId, Level)> {
        let within = |at: &Instant| now.duration_since(*at) <= BOUND;
        let best = |known: &Known| known.last_at.iter().rposition(within).unwrap_or_default();
        let old = self.0.iter().filter(|(segment, known)| !within(&known.first) && counts(segment));
        let worse = old.map(|(segment, known)| (*segment, best(known), known.last_at.len() - 1));
        let (whole, short): (Vec<_>, Vec<_>) =
            worse.filter(|(_, best, _)| *best < level).partition(|(_, best, most)| best == most);
        let unsaid = whole.get(usize::try_from(apart).unwrap_or(usize::MAX));
        short.first().or(unsaid).map(|(segment, best, _)| (*segment, *best))
    }
}

/// The pool, and the catalog's backup.
pub(crate) async fn status(world: &World) -> Option<(PoolStatus, BackupStatus)> {
    let mut gateway = world.gateway_watch();
    match ask(&mut gateway, Method::GET, "/api/v1/status", Vec::new()).await {
        Ended::Answered(StatusCode::OK, _, body) => {
            let status: ClusterStatus = serde_json::from_slice(&body).ok()?;
            let pool = status.pools.into_iter().next()?;
            let backup = status.catalog.backup.unwrap_or_default();
            if let Some(at) = backup.last_unix_ms {
                world.note_backup(at, pool.profiles.iter().map(|profile| profile.erasure));
            }
            Some((pool, backup))
        }
        _ => None,
    }
}

pub(crate) async fn pool(world: &World) -> Option<PoolStatus> {
    status(world).await.map(|(pool, _)| pool)
}

/// A node that may go, by what is said, and has shards that can be read all the same.
fn let_go_too_early(world: &World, pool: &PoolStatus) -> Option<String> {
    // Without a layout nobody is a member yet.
    pool.epoch?;
    let wanted = world.wanted.lock();
    let nodes = world.nodes.lock();
    let may_go = |n: usize, node: &Node| match pool.members.iter().find(|member| member.node == node.name) {
        Some(member) => {
            let said = member.drain.as_ref().is_some_and(|drain| drain.state == DrainState::Drained);
            said && (wanted.drains.contains(&n) || !wanted.members.contains(&n))
        }
        None => !wanted.members.contains(&n) && !node.is_lost,
    };
    let mut wrong = nodes.iter().enumerate().filter(|(n, node)| may_go(*n, node));
    wrong.find_map(|(_, node)| {
        let left: Vec<_> = node.platter.lock().rows.keys().copied().collect();
        (!left.is_empty()).then(|| format!("node {} may go, it is said, and has {left:?}", node.name))
    })
}

/// What the gateway says; the truth is looked at meanwhile, or what was true for a moment only would be missed.
async fn asked(world: &World, truths: &mut Truths) -> Option<PoolStatus> {
    let asking = tokio::time::timeout(Duration::from_secs(10), pool(world));
    tokio::pin!(asking);
    loop {
        tokio::select! {
            biased;
            answer = &mut asking => return answer.ok().flatten(),
            () = pause(PERIOD) => truths.look(world, Instant::now()),
        }
    }
}

pub(crate) async fn watch(world: Arc<World>) {
    let mut truths = Truths::default();
    loop {
        pause(PERIOD).await;
        truths.look(&world, Instant::now());
        let Some(pool) = asked(&world, &mut truths).await else { continue };
        let avoided = pool.members.iter().filter(|member| member.avoided.is_some()).count();
        world.surrounding.totals.count(|counts| counts.avoided += u64::from(avoided > 0));
        if avoided > pool.profiles.iter().map(|profile| profile.erasure.m()).max().unwrap_or(0) {
            return world.fail(format!("{avoided} members are avoided: {:?}", pool.members));
        }
        if let Some(what) = let_go_too_early(&world, &pool) {
            return world.fail(what);
        }
        let Some(safety) = pool.safety else { continue };
        let Some(level) = reported(&safety) else { continue };
        // What only silent nodes have is nobody's to report, while it is reported that there are some.
        let listed = truth::listed(&world.nodes.lock());
        let is_seen = |segment: &SegmentId| listed.get(segment).is_some_and(truth::Copies::is_readable);
        let counts = |segment: &SegmentId| safety.unheard_partitions == 0 || is_seen(segment);
        if let Some((segment, best)) = truths.worse_than((level, safety.under_way), Instant::now(), counts) {
            let copies = truth::listed(&world.nodes.lock()).remove(&segment);
            return world.fail(format!(
                "reported: everything survives {} more losses; true of {segment:?} for {BOUND:?}: {} at best; it lies so: \
                 {copies:?}; reported: {safety:?}",
                level.saturating_sub(1),
                best.checked_sub(1).map_or("unreadable".to_owned(), |survived| survived.to_string()),
            ));
        }
    }
}
