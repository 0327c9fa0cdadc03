//! What is done with the catalog, what it has to do yet, and its backups.

use datamesh_settings::admin::{
    CatalogMember, CatalogMemberState, CatalogMovePhase, FsckStep, Job, JobKind, JobProgress, JobState,
    JobSubject, JobUnit, NotificationStatus,
};

use super::{Facts, job};

pub(super) fn of<'a>(facts: &'a Facts<'a>) -> impl Iterator<Item = Job> + 'a {
    let one = [moving(facts), backup(facts), copies(facts), held(facts), reclaim(facts), fsck(facts)];
    let replicas = facts.status.catalog.members.iter().filter_map(replica);
    let targets = facts.status.notifications.iter().filter_map(notify);
    one.into_iter().flatten().chain(replicas).chain(targets)
}

fn moving(facts: &Facts<'_>) -> Option<Job> {
    let moving = facts.status.catalog.moving.as_ref()?;
    if moving.phase == CatalogMovePhase::Moved {
        return None;
    }
    let is_waiting = moving.waits_for.is_some() || moving.phase == CatalogMovePhase::Beginning;
    let cancel = match moving.phase {
        CatalogMovePhase::Opening => "from here on there is no way back",
        _ => "set the gateways' settings (spec.catalog) back to where the catalog is",
    };
    Some(Job {
        state: if is_waiting { JobState::Waiting } else { JobState::Running },
        progress: Some(JobProgress {
            left: Some(moving.changes),
            ..JobProgress::done(JobUnit::Rows, moving.rows)
        }),
        waits_for: moving.waits_for.iter().cloned().collect(),
        cancel: cancel.to_owned(),
        ..job(JobKind::CatalogMove, &[], JobSubject::default())
    })
}

fn replica(member: &CatalogMember) -> Option<Job> {
    if !matches!(member.state, CatalogMemberState::Joining | CatalogMemberState::Behind) {
        return None;
    }
    let of = JobSubject { gateway: Some(member.node.clone()), ..JobSubject::default() };
    Some(Job {
        cancel: "it makes a whole copy, and cannot be called off".to_owned(),
        ..job(JobKind::CatalogReplica, &[member.node.as_str()], of)
    })
}

/// A snapshot that is written here, or a backup that was asked for and that nodes do not keep yet.
fn backup(facts: &Facts<'_>) -> Option<Job> {
    let overview = facts.backup.as_ref()?;
    let asked = overview.asked.filter(|asked| !asked.done);
    let since = overview.writing.map(|writing| writing.since_unix_ms);
    let since = since.or(asked.map(|asked| asked.asked_unix_ms))?;
    let of =
        JobSubject { gateway: overview.writing.map(|_| overview.gateway.clone()), ..JobSubject::default() };
    Some(Job {
        state: if overview.writing.is_some() { JobState::Running } else { JobState::Waiting },
        progress: overview.writing.map(|writing| JobProgress::done(JobUnit::Pieces, writing.pieces)),
        since_unix_ms: Some(since),
        waits_for: overview.newest.error.iter().cloned().collect(),
        cancel: "it ends by itself; the backup before it counts until then".to_owned(),
        ..job(JobKind::Backup, &[], of)
    })
}

/// A copy that is made here, or that cannot be made.
fn copies(facts: &Facts<'_>) -> Option<Job> {
    let copies = facts.status.catalog.backup.as_ref()?.copies.as_ref()?;
    let at = facts.copying;
    if at.is_none() && copies.error.is_none() {
        return None;
    }
    let count = |pieces: usize| u64::try_from(pieces).unwrap_or(u64::MAX);
    let of = JobSubject { name: Some(copies.place.clone()), ..JobSubject::default() };
    Some(Job {
        state: if copies.error.is_some() { JobState::Stalled } else { JobState::Running },
        progress: at.map(|at| JobProgress::of(JobUnit::Pieces, count(at.done), count(at.total))),
        since_unix_ms: at.map(|at| at.since_unix_ms),
        waits_for: copies.error.iter().cloned().collect(),
        cancel: "take gateway.backupCopies out of the DataMeshCluster to have none".to_owned(),
        ..job(JobKind::BackupCopies, &[], of)
    })
}

fn held(facts: &Facts<'_>) -> Option<Job> {
    let backup = facts.status.catalog.backup.as_ref()?;
    let restored = backup.restored.as_ref().filter(|restored| restored.deletion_held)?;
    Some(Job {
        state: JobState::Waiting,
        since_unix_ms: Some(restored.at_unix_ms),
        waits_for: vec![
            "The catalog came out of copies, and nobody has said that this is the point that is wanted: look, then \
             datamesh fsck --confirm-restored."
                .to_owned(),
        ],
        cancel: "datamesh fsck --confirm-restored ends it".to_owned(),
        ..job(JobKind::HeldDeletion, &[], JobSubject::default())
    })
}

/// Segments of what was deleted.
fn reclaim(facts: &Facts<'_>) -> Option<Job> {
    let left = facts.status.catalog.condemned_segments;
    (left > 0).then(|| Job {
        state: JobState::Waiting,
        progress: Some(JobProgress::left(JobUnit::Segments, left)),
        waits_for: vec![
            "What was deleted is kept for readers for its retention (gateway.deletedRetention), and for as long as the newest backup \
             needs it and the nodes that have it are away."
                .to_owned(),
        ],
        cancel: "what was deleted is not taken back".to_owned(),
        ..job(JobKind::Reclaim, &[], JobSubject::default())
    })
}

fn notify(target: &NotificationStatus) -> Option<Job> {
    let of = JobSubject { name: Some(target.target.to_string()), ..JobSubject::default() };
    (target.pending > 0).then(|| Job {
        state: if target.problems.is_empty() { JobState::Running } else { JobState::Stalled },
        progress: Some(JobProgress::left(JobUnit::Events, target.pending)),
        waits_for: target.problems.clone(),
        cancel: "they are told once their target takes them".to_owned(),
        ..job(JobKind::Notify, &[target.target.as_str()], of)
    })
}

fn fsck(facts: &Facts<'_>) -> Option<Job> {
    let (progress, since_unix_ms) = facts.fsck.as_ref()?;
    let unit = match progress.step {
        FsckStep::Uploads => JobUnit::Uploads,
        FsckStep::References => JobUnit::References,
        FsckStep::Objects => JobUnit::Objects,
        FsckStep::Partitions => JobUnit::Partitions,
    };
    let gateway = &facts.status.gateway;
    let of = JobSubject { gateway: Some(gateway.clone()), ..JobSubject::default() };
    Some(Job {
        progress: Some(match progress.of {
            Some(all) => JobProgress::of(unit, progress.done, all),
            None => JobProgress::done(unit, progress.done),
        }),
        since_unix_ms: Some(*since_unix_ms),
        cancel: "interrupt the command that asked for it".to_owned(),
        ..job(JobKind::Fsck, &[gateway.as_str()], of)
    })
}
