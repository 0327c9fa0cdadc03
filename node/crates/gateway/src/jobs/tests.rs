use datamesh_catalog::record::ShredRecord;
use datamesh_catalog::{ObjectKey, UploadId};
use datamesh_settings::admin::{AskedBackup, BackupStatus, FsckStep, WritingSnapshot};
use serde_json::{Value, json};

use super::*;

/// A pool of two nodes with this much more to say.
fn status(pool: Value, member: Value, catalog: Value) -> ClusterStatus {
    let merged = |mut one: Value, more: Value| {
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let node = |name: &str| json!({ "node": name, "zone": "a", "state": "Up" });
    let pool = merged(
        json!({ "name": "main", "erasure": { "data": 4, "parity": 2 }, "epoch": 1, "writable": true, "shortPuts": 0, "damagedShards": 0,
            "members": [merged(node("n0"), member), node("n1")], "problems": [] }),
        pool,
    );
    let catalog =
        merged(json!({ "replicas": 1, "incarnation": 1, "objects": 0, "condemnedSegments": 0 }), catalog);
    serde_json::from_value(
        json!({ "cluster": "c", "gateway": "gw", "version": "1", "keyFingerprint": "0", "catalog": catalog,
        "pools": [pool] }),
    )
    .unwrap()
}

fn facts(status: &ClusterStatus) -> Facts<'_> {
    Facts {
        status,
        now_unix_ms: 1_000_000,
        drains_since: BTreeMap::new(),
        shreds: Vec::new(),
        buckets: BTreeMap::new(),
        backup: None,
        copying: None,
        fsck: None,
    }
}

fn all(status: &ClusterStatus) -> Vec<Job> {
    of(&facts(status))
}

fn one(status: &ClusterStatus) -> Job {
    let [job] = <[Job; 1]>::try_from(all(status)).unwrap();
    job
}

#[test]
fn where_nothing_goes_on_nothing_is_listed() {
    let safe = json!({ "safety": { "partitions": 4, "countedPartitions": 4, "oldestSeconds": 1, "segments": [0, 0, 9], "unreadable": 0,
        "away": 0, "rebuiltShards": 7, "failedRebuilds": 1 }, "recode": { "state": "Off", "leftBytes": 5, "doneBytes": 0, "waitsFor": [] } });
    let drained = json!({ "drain": { "state": "Drained", "movedBytes": 9 } });
    assert_eq!(all(&status(safe, drained, json!({}))), []);
}

#[test]
fn a_drain_that_was_asked_for_is_cancelled_and_one_that_follows_from_the_spec_is_not() {
    let drain = json!({ "drain": { "state": "Moving", "leftShards": 3, "leftBytes": 50, "movedBytes": 150, "etaSeconds": 9,
        "waitsFor": ["n1 is full."] } });
    let status = status(json!({}), drain, json!({}));
    let followed = one(&status);
    assert_eq!((followed.id.as_str(), followed.state), ("drain:main:n0", JobState::Running));
    assert_eq!(followed.progress, Some(JobProgress::of(JobUnit::Bytes, 150, 200)));
    assert!(!followed.can_be_cancelled && followed.cancel.contains("wanted without this node"));
    let since = BTreeMap::from([(("main".parse().unwrap(), "n0".parse().unwrap()), 7)]);
    let asked = of(&Facts { drains_since: since, ..facts(&status) });
    assert_eq!((asked[0].since_unix_ms, asked[0].eta_seconds), (Some(7), Some(9)));
    assert!(asked[0].can_be_cancelled && asked[0].cancel.contains("undrain n0 --pool main"));
    assert_eq!(asked[0].waits_for, ["n1 is full."]);
}

#[test]
fn what_keeps_data_safe_says_what_is_left_and_whom_it_waits_for() {
    let short = json!({ "safety": { "partitions": 4, "countedPartitions": 4, "oldestSeconds": 1, "segments": [0, 2, 9], "short": [0, 2, 0],
        "unreadable": 1, "away": 5, "rebuiltShards": 7, "failedRebuilds": 1 } });
    let going = all(&status(short.clone(), json!({}), json!({})));
    let told: Vec<_> = going.iter().map(|job| (job.id.as_str(), job.state, job.progress)).collect();
    let left = |unit, left| Some(JobProgress::left(unit, left));
    assert_eq!(
        told,
        [
            ("homing:main", JobState::Running, left(JobUnit::Shards, 5)),
            ("rebuild:main", JobState::Running, left(JobUnit::Segments, 3)),
        ]
    );
    let waiting = all(&status(short, json!({ "state": "Down" }), json!({})));
    assert!(
        waiting
            .iter()
            .all(|job| job.state == JobState::Waiting && job.waits_for[0].starts_with("n0 does not"))
    );
}

#[test]
fn a_scrub_is_as_far_as_its_slowest_node_and_never_ends() {
    let pool = json!({ "scrub": { "wanted": {}, "members": 2, "untoldMembers": 0, "heardMembers": 2, "pausedMembers": 0,
        "overdueMembers": 0, "donePermille": 200 } });
    let report = |permille: u32, seconds: u32| {
        json!({ "reportAgeSeconds": 1, "report": { "incarnation": 1, "shards": 0, "shardBytes": 0, "capacityBytes": 9, "freeBytes": 9,
            "accepting": true, "corruptShards": 0, "epoch": 1,
            "scrub": { "ordered": {}, "donePermille": permille, "roundSeconds": seconds } } })
    };
    let scrub = one(&status(pool, report(200, 99), json!({})));
    assert_eq!((scrub.id.as_str(), scrub.since_unix_ms), ("scrub:main", Some(900_000)));
    assert_eq!(scrub.progress, Some(JobProgress::of(JobUnit::Permille, 200, 1000)));
    assert!(!scrub.kind.ends() && JobKind::Drain.ends());
}

#[test]
fn a_catalog_that_moves_grows_or_is_held_says_so() {
    let moving = json!({ "moving": { "to": "postgres", "phase": "following", "rows": 90, "changes": 3, "waitsFor": "for gw-1" },
        "members": [{ "node": "gw-1", "state": "joining" }, { "node": "gw-2", "state": "current" }], "condemnedSegments": 4,
        "backup": { "revision": 1, "bytes": 1, "segments": 1,
            "restored": { "untilUnixMs": 5, "atUnixMs": 6, "revision": 1, "deletionHeld": true } } });
    let all = all(&status(json!({}), json!({}), moving));
    let told: Vec<_> = all.iter().map(|job| (job.id.as_str(), job.state)).collect();
    let waiting = JobState::Waiting;
    assert_eq!(
        told,
        [
            ("catalogMove", waiting),
            ("catalogReplica:gw-1", JobState::Running),
            ("heldDeletion", waiting),
            ("reclaim", waiting),
        ]
    );
    assert_eq!((all[0].progress.unwrap().done, all[0].progress.unwrap().left), (Some(90), Some(3)));
    let moved = json!({ "moving": { "to": "postgres", "phase": "moved", "rows": 90, "changes": 0 } });
    assert_eq!(super::of(&facts(&status(json!({}), json!({}), moved))), []);
}

#[test]
fn a_shredding_names_its_object_while_it_goes_on() {
    let status = status(json!({}), json!({}), json!({}));
    let key = ObjectKey::new("a/b").unwrap();
    let shred = |state| Shred {
        id: UploadId([0xab; 16]),
        record: ShredRecord { begun_unix_ms: 5, pool: "main".parse().unwrap(), state },
    };
    let going = ShredState::Going { bucket: datamesh_catalog::BucketId(3), key };
    let progress =
        Progress { step: Step::Emptying, nodes_done: 2, nodes: 6, waits_for: vec!["n1".parse().unwrap()] };
    let over = ShredState::Over { at_unix_ms: 9, partly: Vec::new() };
    let shreds = vec![(shred(going), progress.clone()), (shred(over), progress)];
    let buckets = BTreeMap::from([(3, "photos".parse().unwrap())]);
    let [job] = <[Job; 1]>::try_from(of(&Facts { shreds, buckets, ..facts(&status) })).unwrap();
    assert_eq!(job.id, format!("shred:{}", "ab".repeat(16)));
    assert_eq!((job.of.bucket.unwrap().as_str(), job.of.name.as_deref()), ("photos", Some("a/b")));
    assert_eq!(job.progress, Some(JobProgress::of(JobUnit::Nodes, 2, 6)));
    assert!(job.can_be_cancelled && job.waits_for == ["n1 does not answer: bring it back."]);
}

#[test]
fn a_backup_is_a_job_while_it_is_written_or_asked_for_and_not_done() {
    let status = status(json!({}), json!({}), json!({}));
    let told = |asked: Option<bool>, writing: Option<u64>| {
        let asked = asked.map(|done| AskedBackup { revision: 9, asked_unix_ms: 70, done });
        let overview = BackupOverview {
            gateway: "gw".parse().unwrap(),
            newest: BackupStatus { error: Some("full".into()), ..BackupStatus::default() },
            reach_seconds: 1,
            asked,
            writing: writing.map(|pieces| WritingSnapshot { since_unix_ms: 60, pieces }),
            next_snapshot_seconds: None,
        };
        of(&Facts { backup: Some(overview), ..facts(&status) }).into_iter().next()
    };
    assert_eq!((told(None, None), told(Some(true), None)), (None, None));
    let waiting = told(Some(false), None).unwrap();
    assert_eq!((waiting.state, waiting.since_unix_ms, waiting.progress), (JobState::Waiting, Some(70), None));
    assert_eq!(waiting.waits_for, ["full"]);
    let running = told(Some(true), Some(4)).unwrap();
    assert_eq!((running.state, running.since_unix_ms), (JobState::Running, Some(60)));
    assert_eq!(running.progress, Some(JobProgress::done(JobUnit::Pieces, 4)));
}

#[test]
fn copies_are_a_job_while_one_is_made_or_none_can_be() {
    let of_copies = |error: Option<&str>, copying| {
        let copies = json!({ "place": "s3.example.org/copies", "bytes": 0, "error": error });
        let backup = json!({ "backup": { "revision": 1, "bytes": 1, "segments": 1, "copies": copies } });
        let status = status(json!({}), json!({}), backup);
        of(&Facts { copying, ..facts(&status) }).into_iter().next()
    };
    assert_eq!(of_copies(None, None), None);
    let at = Copying { since_unix_ms: 5, done: 2, total: 9 };
    let running = of_copies(None, Some(at)).unwrap();
    assert_eq!(
        (running.state, running.progress),
        (JobState::Running, Some(JobProgress::of(JobUnit::Pieces, 2, 9)))
    );
    let stalled = of_copies(Some("it answers 403"), None).unwrap();
    assert_eq!((stalled.state, stalled.waits_for), (JobState::Stalled, vec!["it answers 403".to_owned()]));
}

#[test]
fn a_check_is_a_job_of_its_gateway() {
    let status = status(json!({}), json!({}), json!({}));
    let at = FsckProgress { step: FsckStep::Partitions, done: 3, of: Some(1024) };
    let [job] = <[Job; 1]>::try_from(of(&Facts { fsck: Some((at, 5)), ..facts(&status) })).unwrap();
    assert_eq!((job.id.as_str(), job.since_unix_ms), ("fsck:gw", Some(5)));
    assert_eq!(job.progress, Some(JobProgress::of(JobUnit::Partitions, 3, 1024)));
}
