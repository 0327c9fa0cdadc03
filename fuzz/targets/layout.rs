//! Layouts, as peers push them and volumes keep them.
#![no_main]

use datamesh_fuzz as _;
use datamesh_placement::Layout;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(layout) = Layout::decode(input) {
        assert_eq!(Layout::decode(&layout.encode()).ok(), Some(layout));
    }
});
