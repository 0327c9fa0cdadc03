//! Frames and messages between processes.
#![no_main]

use datamesh_exchange::frame::{FRAME_HEADER_BYTES, FrameHeader};
use datamesh_exchange::message::{Request, Response};
use datamesh_fuzz as _;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(fixed) = input.first_chunk::<FRAME_HEADER_BYTES>() {
        let _ = FrameHeader::decode(*fixed);
    }
    if let Ok(request) = Request::decode(input)
        && let Ok(again) = request.encode(0)
    {
        assert_eq!(Request::decode(&again[FRAME_HEADER_BYTES..]).ok(), Some(request));
    }
    if let Ok(response) = Response::decode(input)
        && let Ok(again) = response.encode(0)
    {
        assert_eq!(Response::decode(&again[FRAME_HEADER_BYTES..]).ok(), Some(response));
    }
});
