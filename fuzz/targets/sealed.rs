//! Sealed segments, records and certificates. Without the key nothing opens; nothing may panic either.
#![no_main]

use datamesh_seal::{BucketSecret, ClusterSecret, SealHeader, SegmentKey, open_frame, open_record, open_segment};
use datamesh_shard::{NodeName, PoolName};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let key = SegmentKey::from_bytes([7; 32]);
    if let Ok(header) = SealHeader::decode(input) {
        let _ = open_frame(&key, &header, 0, &mut input.to_vec());
    }
    let mut plain = Vec::new();
    assert!(open_segment(&key, &mut input.to_vec(), &mut plain).is_err(), "opened without having been sealed");
    let secret = BucketSecret::from_bytes(1, [9; 32]);
    assert!(open_record(&secret, &[1; 16], b"aad", input).is_err(), "opened without having been sealed");
    if let (Ok(text), Ok(cluster)) = (std::str::from_utf8(input), ClusterSecret::from_hex(&"ab".repeat(32)))
        && let (Ok(node), Ok(pool)) = (NodeName::new("node-0"), PoolName::new("main"))
    {
        assert!(cluster.check_join_token(text, &node, &pool).is_err(), "a token nobody minted");
    }
});
