//! What nodes do with their shards.

use datamesh_settings::admin::{
    DrainState, Job, JobKind, JobProgress, JobState, JobSubject, JobUnit, MemberState, MemberStatus,
    PoolStatus, RecodeState,
};

use super::{Facts, job};

/// Why nobody calls off what keeps data safe.
const KEEPS_SAFE: &str = "it keeps data safe, and cannot be called off";

pub(super) fn of<'a>(facts: &'a Facts<'a>) -> impl Iterator<Item = Job> + 'a {
    facts.status.pools.iter().flat_map(move |pool| {
        let drains = pool.members.iter().filter_map(move |member| drain(facts, pool, member));
        let others = [recode(pool), rebuild(pool), homing(pool), scrub(facts, pool)];
        drains.chain(others.into_iter().flatten())
    })
}

fn subject(pool: &PoolStatus) -> JobSubject {
    JobSubject { pool: Some(pool.name.clone()), ..JobSubject::default() }
}

fn drain(facts: &Facts<'_>, pool: &PoolStatus, member: &MemberStatus) -> Option<Job> {
    let drain = member.drain.as_ref()?;
    let state = match drain.state {
        DrainState::Pending => JobState::Waiting,
        DrainState::Moving => JobState::Running,
        DrainState::Stalled => JobState::Stalled,
        DrainState::Drained => return None,
    };
    let (name, node) = (&pool.name, &member.node);
    let since = facts.drains_since.get(&(name.clone(), node.clone())).copied();
    let moved = drain.moved_bytes;
    let progress = match drain.left_bytes {
        Some(left) => JobProgress::of(JobUnit::Bytes, moved, moved.saturating_add(left)),
        None => JobProgress::done(JobUnit::Bytes, moved),
    };
    let of = JobSubject { node: Some(node.clone()), ..subject(pool) };
    Some(Job {
        state,
        progress: Some(progress),
        since_unix_ms: since,
        eta_seconds: drain.eta_seconds,
        waits_for: drain.waits_for.clone(),
        can_be_cancelled: since.is_some(),
        cancel: match since {
            Some(_) => format!("datamesh node undrain {node} --pool {name}; what left it comes back"),
            None => "the pool is wanted without this node: say that it is wanted again".to_owned(),
        },
        ..job(JobKind::Drain, &[name.as_str(), node.as_str()], of)
    })
}

fn recode(pool: &PoolStatus) -> Option<Job> {
    let recode = pool.recode.as_ref()?;
    let state = match recode.state {
        RecodeState::Off => return None,
        RecodeState::Running => JobState::Running,
        RecodeState::Stalled => JobState::Stalled,
        RecodeState::Ending => JobState::Waiting,
    };
    let all = recode.done_bytes.saturating_add(recode.left_bytes);
    Some(Job {
        state,
        progress: Some(JobProgress::of(JobUnit::Bytes, recode.done_bytes, all)),
        eta_seconds: recode.eta_seconds,
        waits_for: recode.waits_for.clone(),
        cancel: "set spec.recode.enabled of the StoragePool to false; what is done stays done".to_owned(),
        ..job(JobKind::Recode, &[pool.name.as_str()], subject(pool))
    })
}

/// Members that do not answer, as far as something waits for them.
fn away(pool: &PoolStatus) -> Vec<String> {
    let down = pool.members.iter().filter(|member| member.state == MemberState::Down);
    down.map(|member| {
        format!("{} does not answer: what belongs there may wait until it is back.", member.node)
    })
    .collect()
}

fn repair(pool: &PoolStatus, kind: JobKind, progress: JobProgress) -> Job {
    let waits_for = away(pool);
    Job {
        state: if waits_for.is_empty() { JobState::Running } else { JobState::Waiting },
        progress: Some(progress),
        waits_for,
        cancel: KEEPS_SAFE.to_owned(),
        ..job(kind, &[pool.name.as_str()], subject(pool))
    }
}

fn rebuild(pool: &PoolStatus) -> Option<Job> {
    let safety = pool.safety.as_ref()?;
    let short = safety.short.iter().sum::<u64>().saturating_add(safety.unreadable);
    let progress = JobProgress::left(JobUnit::Segments, short);
    (short > 0).then(|| repair(pool, JobKind::Rebuild, progress))
}

fn homing(pool: &PoolStatus) -> Option<Job> {
    let away = pool.safety.as_ref()?.away;
    (away > 0).then(|| repair(pool, JobKind::Homing, JobProgress::left(JobUnit::Shards, away)))
}

/// As far as its slowest node is.
fn scrub(facts: &Facts<'_>, pool: &PoolStatus) -> Option<Job> {
    let scrub = pool.scrub.as_ref().filter(|scrub| scrub.heard_members > 0)?;
    let told = pool.members.iter().filter_map(|member| {
        let report = member.report.as_ref()?.scrub?;
        let age = member.report_age_seconds.unwrap_or(0);
        Some((report.done_permille, report.round_seconds.saturating_add(age)))
    });
    let round_seconds = told.min_by_key(|(done, _)| *done).map(|(_, seconds)| seconds);
    Some(Job {
        state: if scrub.paused_members > 0 { JobState::Waiting } else { JobState::Running },
        progress: Some(JobProgress::of(JobUnit::Permille, scrub.done_permille.into(), 1000)),
        since_unix_ms: round_seconds
            .map(|seconds| facts.now_unix_ms.saturating_sub(seconds.saturating_mul(1000))),
        waits_for: scrub.caveats(),
        cancel: "spec.scrub.paused of the StoragePool has it wait; it does not end".to_owned(),
        ..job(JobKind::Scrub, &[pool.name.as_str()], subject(pool))
    })
}
