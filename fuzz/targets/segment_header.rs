//! A segment's header, as it comes from disks and peers.
#![no_main]

use datamesh_fuzz as _;
use datamesh_shard::{SegmentHeader, ShardIndex};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(header) = SegmentHeader::decode(input) {
        assert_eq!(header.encode(), input, "one header, one encoding: its hash is the segment's id");
        let _ = header.verify_leaf(ShardIndex(input[0]), input);
    }
});
