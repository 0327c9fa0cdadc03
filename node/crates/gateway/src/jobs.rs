//! What goes on for longer than a request, in one list: decided without I/O from what the status and rows say. What nobody has data of is
//! not in it.
//!
//! * `pools`: what nodes do with their shards.
//! * `catalog`: what is done with names, keys and their backups.

mod catalog;
mod pools;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use datamesh_catalog::catalog::Shred;
use datamesh_catalog::record::ShredState;
use datamesh_settings::admin::{
    BackupOverview, ClusterStatus, FsckProgress, Job, JobKind, JobProgress, JobState, JobSubject, JobUnit,
};
use datamesh_shard::{BucketName, NodeName, PoolName};

use crate::backup::copies::Copying;
use crate::work::shred::{Progress, Step};

/// All that the list is made of.
pub(crate) struct Facts<'a> {
    pub(crate) status: &'a ClusterStatus,
    pub(crate) now_unix_ms: u64,
    /// When drains were asked for: milliseconds since 1970. Those that follow from what a pool shall be are not here.
    pub(crate) drains_since: BTreeMap<(PoolName, NodeName), u64>,
    pub(crate) shreds: Vec<(Shred, Progress)>,
    /// The buckets those are of.
    pub(crate) buckets: BTreeMap<u64, BucketName>,
    /// Where backups are made, and one was asked for or is written.
    pub(crate) backup: Option<BackupOverview>,
    /// A copy of a backup that this gateway makes.
    pub(crate) copying: Option<Copying>,
    /// A check, and since when.
    pub(crate) fsck: Option<(FsckProgress, u64)>,
}

/// All jobs, by id.
pub(crate) fn of(facts: &Facts<'_>) -> Vec<Job> {
    let mut jobs: Vec<Job> = pools::of(facts).chain(catalog::of(facts)).collect();
    jobs.extend(facts.shreds.iter().filter_map(|shred| shredding(facts, shred)));
    jobs.sort_by(|one, other| one.id.cmp(&other.id));
    jobs
}

/// One of this kind that goes on, with nothing known of it yet. The id is the kind with what names it among those.
fn job(kind: JobKind, named: &[&str], of: JobSubject) -> Job {
    Job {
        id: [&[kind.as_str()][..], named].concat().join(":"),
        kind,
        of,
        state: JobState::Running,
        progress: None,
        since_unix_ms: None,
        eta_seconds: None,
        waits_for: Vec::new(),
        can_be_cancelled: false,
        cancel: String::new(),
    }
}

fn shredding(facts: &Facts<'_>, (shred, progress): &(Shred, Progress)) -> Option<Job> {
    let ShredState::Going { bucket, key } = &shred.record.state else { return None };
    let Progress { step, nodes_done, nodes, waits_for } = progress;
    let id = shred.id.to_string();
    let of = JobSubject {
        pool: Some(shred.record.pool.clone()),
        bucket: facts.buckets.get(&bucket.0).cloned(),
        name: Some(key.to_string()),
        ..JobSubject::default()
    };
    let count = |nodes: &usize| u64::try_from(*nodes).unwrap_or(u64::MAX);
    // Until nodes have deleted it none has anything to empty.
    let counted = (*step == Step::Emptying).then(|| (count(nodes_done), count(nodes)));
    Some(Job {
        state: if waits_for.is_empty() { JobState::Running } else { JobState::Waiting },
        progress: counted.map(|(done, all)| JobProgress::of(JobUnit::Nodes, done, all)),
        since_unix_ms: Some(shred.record.begun_unix_ms),
        waits_for: waits_for.iter().map(|node| format!("{node} does not answer: bring it back.")).collect(),
        can_be_cancelled: true,
        cancel: format!("datamesh shreds {id} --forget; what was deleted stays deleted"),
        ..job(JobKind::Shred, &[&id], of)
    })
}
