//! Bytes of any kind where frames are expected.

use bytes::Bytes;
use datamesh_exchange::frame::FRAME_HEADER_BYTES;
use datamesh_exchange::message::{Request, Response};
use datamesh_shard::{Incarnation, SegmentId, ShardIndex, ShardKey};
use futures::FutureExt;
use tokio::io::{Empty, Join, Sink, empty, join, sink};

use super::seals::{Seals, Side};
use super::{FrameLimits, Wire, WireError, receive_buffers};
use crate::dice::Dice;

const INPUTS: usize = 20_000;
const LIMITS: FrameLimits = FrameLimits { head_bytes: 4096, payload_bytes: 8192 };

/// What a stream of these bytes is read as: heads, and how long their payloads are. Memory is never waited for.
fn frames(bytes: &[u8], seals: Option<Box<Seals>>) -> Vec<(Vec<u8>, usize)> {
    let stream = join(bytes, sink());
    let mut wire = Wire { seals, ..Wire::new(stream, receive_buffers()) };
    let mut found = Vec::new();
    let reading = async {
        while let Ok(first) = wire.first_byte().await {
            let start = wire.read_start(first, LIMITS).await?;
            assert!(start.head.len() <= LIMITS.head_bytes && start.payload_bytes <= LIMITS.payload_bytes);
            wire.read_payload(start.payload_bytes).await?;
            found.push((start.head, start.payload_bytes));
        }
        Ok::<_, WireError>(())
    };
    drop(reading.now_or_never().expect("bytes in memory are there at once"));
    found
}

/// Some requests and their payloads, one after the other.
fn conversation() -> Vec<(Bytes, usize)> {
    let key = ShardKey { segment: SegmentId([7; 32]), index: ShardIndex(3) };
    let hello = Request::Hello { certificate: Some(vec![3; 120]), incarnation: Incarnation(9) };
    vec![
        (hello.encode(0).unwrap(), 0),
        (Request::Get { key }.encode(0).unwrap(), 0),
        (Response::Shard { header: Bytes::from_static(&[5; 200]) }.encode(5000).unwrap(), 5000),
        (Request::Report.encode(0).unwrap(), 0),
    ]
}

#[test]
fn mutated_frames_are_read_within_their_limits_or_refused() {
    let sent = conversation();
    let valid: Vec<u8> = sent.iter().flat_map(|(start, len)| [start, &vec![9; *len][..]].concat()).collect();
    assert_eq!(frames(&valid, None).len(), sent.len(), "the control");
    let mut dice = Dice::printed("frames");
    let (mut whole, mut less) = (0, 0);
    for _ in 0..INPUTS {
        let len = dice.below(300);
        let hostile = if dice.one_in(8) { dice.bytes(len) } else { dice.mutate(&valid) };
        let found = frames(&hostile, None);
        for (head, _) in &found {
            drop((Request::decode(head), Response::decode(head)));
        }
        if found.len() == sent.len() { whole += 1 } else { less += 1 }
    }
    println!("{whole} conversations whole, {less} cut off");
    assert!(whole > INPUTS / 20 && less > INPUTS / 20);
}

#[test]
fn sealed_heads_are_what_was_sent_up_to_the_first_change() {
    let sent = conversation();
    let mut sealing = Seals::for_tests_of(Side::Client);
    let seal = |(start, len): &(Bytes, usize)| [sealing.seal(start).unwrap(), vec![9; *len]].concat();
    let valid: Vec<u8> = sent.iter().flat_map(seal).collect();
    let heads: Vec<_> =
        sent.iter().map(|(start, len)| (start[FRAME_HEADER_BYTES..].to_vec(), *len)).collect();
    let opened = |bytes: &[u8]| frames(bytes, Some(Box::new(Seals::for_tests())));
    assert_eq!(opened(&valid), heads, "the control");
    let mut dice = Dice::printed("sealed heads");
    let mut cut = 0;
    for _ in 0..INPUTS {
        let found = opened(&dice.mutate(&valid));
        assert!(heads.starts_with(&found), "another head was taken");
        cut += usize::from(found.len() < heads.len());
    }
    println!("{cut} of {INPUTS} cut off");
    assert!(cut > INPUTS / 20);
}

/// A stream that ends at once is closed, and no frame.
#[test]
fn nothing_is_no_frame() {
    let mut wire: Wire<Join<Empty, Sink>> = Wire::new(join(empty(), sink()), receive_buffers());
    assert!(matches!(wire.first_byte().now_or_never(), Some(Err(WireError::Closed))));
    assert_eq!(frames(&[], None), []);
}
