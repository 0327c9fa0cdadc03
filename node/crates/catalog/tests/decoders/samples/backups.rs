//! What nodes keep of backups, sealed, and what the catalog knows of them.

use datamesh_catalog::backup::{Anchor, AnchorPart, Chunk};
use datamesh_catalog::record::{
    BackupAskedRecord, CopiedBackup, CopiesRecord, DeletionHeldRecord, RestoredRecord, RestoringRecord,
    SnapshotsRecord,
};
use datamesh_catalog::{SegmentRef, UploadId};
use datamesh_shard::{Epoch, Generation, SegmentId};

use super::{Sample, node, pool, profile, sample};

pub(super) fn samples() -> Vec<Sample> {
    let restored = RestoredRecord {
        generation: 1_800_000_000,
        wish: "newest#2".into(),
        until_unix_ms: 1_800_000_000_000,
        at_unix_ms: 1_800_000_060_000,
        revision: 300,
    };
    let begun_unix_ms = vec![1_800_000_000_000, 1_800_003_600_000];
    let snapshots = SnapshotsRecord { begun_unix_ms };
    let newest = CopiedBackup { generation: 3, revision: 300, at_unix_ms: 1_800_000_000_000, bytes: 70_000 };
    let error = "it answers 403 (AccessDenied)".into();
    let copies = CopiesRecord {
        place: "s3.example.org/copies/".into(),
        newest: Some(newest),
        tried_unix_ms: 1_800_000_060_000,
        error,
    };
    let held = DeletionHeldRecord { since_unix_ms: 1_800_000_060_000 };
    let restoring = RestoringRecord { upload: UploadId([7; 16]), revision: 300, pieces: 20 };
    let known = [
        sample("restored", restored),
        sample("snapshots", snapshots),
        sample("copies", copies),
        sample("deletion-held", held),
        sample("restoring", restoring),
        sample("backup-asked", BackupAskedRecord { at_unix_ms: 1_800_000_060_000 }),
    ];
    std::iter::once(anchor()).chain(known).collect()
}

fn anchor() -> Sample {
    let segment = |n: u8| SegmentRef {
        id: SegmentId([n; 32]),
        sealed_bytes: 300,
        pool: pool(),
        profile: profile(),
        epoch: Epoch(4),
        generation: Generation(2),
    };
    let part = |revision: u64, n: u8| AnchorPart {
        revision,
        at_unix_ms: 1_800_000_000_000 + revision,
        chunks: vec![Chunk { segments: vec![segment(n)], secrets: vec![n; 5] }],
    };
    let anchor = Anchor {
        cluster: "demo".parse().unwrap(),
        gateway: node(),
        generation: 3,
        wish: Some("newest#2".into()),
        pools: vec![pool()],
        reach_ms: 3_600_000,
        upload: UploadId([7; 16]),
        at_unix_ms: 1_800_000_001_000,
        parts: vec![part(40, 1), part(300, 2)],
    };
    sample("anchor", anchor)
}
