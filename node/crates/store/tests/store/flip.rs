use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use datamesh_shard::Generation;
use datamesh_store::GetError;

use crate::sample::{open, sample};

const LOG: &str = "0000000001.log";

#[tokio::test]
async fn a_flipped_bit_in_any_byte_of_a_record_is_found_named_counted_and_mended_by_a_put() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let path = dir.path().join("logs").join(LOG);
    let log = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let shard = sample(1, 16);
    for at in 0..shard.record_bytes() {
        let offset = log.metadata().unwrap().len();
        shard.put(&store, 7).await;
        // The control: whole before the flip.
        assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(7));
        let mut byte = [0];
        log.read_exact_at(&mut byte, offset + at).unwrap();
        log.write_all_at(&[byte[0] ^ (1 << (at % 8))], offset + at).unwrap();

        let error = store.get(shard.key).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, GetError::Corrupt { .. }), "byte {at}: {text}");
        for named in
            [shard.key.segment.to_string(), "shard 0".into(), LOG.into(), format!("offset {offset}:")]
        {
            assert!(text.contains(&named), "byte {at}: {text:?} does not name {named:?}");
        }
        // Noted by the writer, behind which this delete of nothing waits.
        store.delete(sample(2, 16).key, Generation(0)).await.unwrap();
        assert_eq!(store.usage().corrupt_shards, 1, "byte {at}");
        assert!(
            store.locate(shard.key.segment).await.unwrap().is_empty(),
            "offered although corrupt, byte {at}"
        );
        assert!(store.get(shard.key).await.is_err(), "byte {at}");
    }
    shard.put(&store, 7).await;
    assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(7));
    assert_eq!(store.usage().corrupt_shards, 0);
    assert_eq!(store.usage().shards, 1);
    assert_eq!(store.counters().corrupt_reads, 2 * shard.record_bytes());
    assert_eq!(store.locate(shard.key.segment).await.unwrap(), [shard.key.index]);
}

#[tokio::test]
async fn a_shard_known_to_be_corrupt_is_still_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shard = sample(1, 100);
    shard.put(&store, 0).await;
    let log = OpenOptions::new().write(true).open(dir.path().join("logs").join(LOG)).unwrap();
    let end = log.metadata().unwrap().len();
    log.write_all_at(&[shard.payload[99] ^ 1], end - 1).unwrap();
    store.get(shard.key).await.unwrap_err();
    store.close().await.unwrap();
    drop(log);
    let store = open(dir.path());
    assert_eq!(store.usage().corrupt_shards, 1);
    assert!(store.locate(shard.key.segment).await.unwrap().is_empty());
    // A delete clears it as well.
    assert!(store.delete(shard.key, Generation(0)).await.unwrap());
    assert_eq!(store.usage().corrupt_shards, 0);
    assert!(store.get(shard.key).await.unwrap().is_none());
}
