//! A tail that was not written to its end, at every byte.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::sample::{Sample, copy_dir, memory_dir, open, sample};

struct Case {
    dir: tempfile::TempDir,
    shards: [Sample; 3],
    /// Where the last record begins, and ends.
    last: u64,
    end: u64,
}

/// Three shards; one copy of the folder whose index knows all three, and one whose index knows the first two only.
async fn case() -> Case {
    let dir = memory_dir();
    let made = dir.path().join("made");
    let shards = [1, 2, 3].map(|number| sample(number, 16));
    let store = open(&made);
    shards[0].put(&store, 0).await;
    shards[1].put(&store, 0).await;
    store.close().await.unwrap();
    let last = std::fs::metadata(log(&made)).unwrap().len();
    copy_dir(&made.join("index"), &dir.path().join("behind/index"));
    let store = open(&made);
    shards[2].put(&store, 0).await;
    store.close().await.unwrap();
    copy_dir(&made.join("logs"), &dir.path().join("behind/logs"));
    let end = std::fs::metadata(log(&made)).unwrap().len();
    assert_eq!(end - last, shards[2].record_bytes());
    Case { dir, shards, last, end }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("logs/0000000001.log")
}

#[tokio::test]
async fn a_tail_cut_anywhere_is_taken_off_and_what_is_before_stays() {
    let case = case().await;
    for (which, cut) in
        ["made", "behind"].into_iter().flat_map(|which| (case.last..=case.end).map(move |cut| (which, cut)))
    {
        let dir = memory_dir();
        copy_dir(&case.dir.path().join(which), dir.path());
        OpenOptions::new().write(true).open(log(dir.path())).unwrap().set_len(cut).unwrap();
        let store = open(dir.path());
        let recovery = store.recovery();
        let whole = cut == case.end;
        assert_eq!(case.shards[2].is_whole(&store).await, whole, "{which} at {cut}");
        assert!(
            case.shards[0].is_whole(&store).await && case.shards[1].is_whole(&store).await,
            "{which} at {cut}"
        );
        assert_eq!(recovery.truncated_bytes, if whole { 0 } else { cut - case.last }, "{which} at {cut}");
        assert_eq!(recovery.dropped_shards, u64::from(which == "made" && !whole), "{which} at {cut}");
        assert_eq!(recovery.indexed_records, u64::from(which == "behind" && whole), "{which} at {cut}");
        // And it goes on where the tail was (tried for some, since each reopening takes its time).
        if cut % 8 > 0 {
            continue;
        }
        case.shards[2].put(&store, 0).await;
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.recovery(), datamesh_store::Recovery::default(), "{which} at {cut}");
        assert!(case.shards[2].is_whole(&store).await, "{which} at {cut}");
        assert_eq!(store.usage().shards, 3);
    }
}

#[tokio::test]
async fn a_tail_with_any_byte_wrong_is_taken_off() {
    let case = case().await;
    for at in case.last..case.end {
        let dir = memory_dir();
        copy_dir(&case.dir.path().join("behind"), dir.path());
        let file = OpenOptions::new().read(true).write(true).open(log(dir.path())).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        let store = open(dir.path());
        assert_eq!(store.recovery().truncated_bytes, case.end - case.last, "at {at}");
        assert_eq!(store.usage().shards, 2, "at {at}");
        assert!(store.get(case.shards[2].key).await.unwrap().is_none(), "at {at}");
    }
}

#[tokio::test]
async fn a_damaged_record_between_whole_ones_costs_only_itself() {
    let case = case().await;
    let dir = memory_dir();
    copy_dir(&case.dir.path().join("behind"), dir.path());
    // No index at all: every record is read again, the second with a broken payload.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let file = OpenOptions::new().write(true).open(log(dir.path())).unwrap();
    file.write_all_at(&[!case.shards[1].payload[15]], case.last - 1).unwrap();
    let store = open(dir.path());
    assert_eq!(store.recovery().damaged_records, 1);
    assert_eq!(store.recovery().indexed_records, 2);
    assert_eq!(store.recovery().truncated_bytes, 0);
    assert!(case.shards[0].is_whole(&store).await && case.shards[2].is_whole(&store).await);
    assert!(store.get(case.shards[1].key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_log_cut_within_its_head_is_made_anew() {
    let case = case().await;
    for cut in [0, 1, 31, 32, 40] {
        let dir = memory_dir();
        copy_dir(&case.dir.path().join("made"), dir.path());
        OpenOptions::new().write(true).open(log(dir.path())).unwrap().set_len(cut).unwrap();
        let store = open(dir.path());
        assert_eq!(store.recovery().dropped_shards, 3, "at {cut}");
        assert_eq!(store.usage().shards, 0);
        case.shards[1].put(&store, 0).await;
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.recovery(), datamesh_store::Recovery::default(), "at {cut}");
        assert!(case.shards[1].is_whole(&store).await);
    }
}
