//! Every decoder of this crate and of placement on mutated and random bytes: each gives a value or an error, never a
//! panic; and a value it gives is one that it gives again from its own encoding.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed and figures"
)]

#[path = "exchange/dice.rs"]
mod dice;

use datamesh_exchange::frame::{FRAME_HEADER_BYTES, FrameHeader};
use datamesh_exchange::message::{Request, Response};
use datamesh_placement::{Layout, Table};
use dice::{Dice, seed};

const INPUTS: usize = 100_000;

/// Good inputs to start from: the golden files, so that no format is forgotten.
fn corpus() -> Vec<Vec<u8>> {
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let messages = include_str!("golden/messages.txt").lines();
    let heads = messages.map(|line| unhex(line.split_once(' ').unwrap().1)[FRAME_HEADER_BYTES..].to_vec());
    let layout = include_str!("../../placement/tests/golden/layout-v1.hex");
    heads.chain([unhex(layout.trim())]).collect()
}

/// Flips, cuts, doubles, inserts, and overwrites with the bytes that numbers go wrong at.
fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len());
        match dice.below(6) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            2 => input.truncate(at),
            3 => input.insert(at, dice.byte()),
            4 => input.extend_from_within(at..),
            _ => (0..dice.below(12)).for_each(|_| input.push(dice.byte())),
        }
    }
}

/// How many decoders took the input.
fn decode_all(input: &[u8]) -> usize {
    let mut taken = 0;
    if let Ok(request) = Request::decode(input) {
        let again = request.encode(0).unwrap();
        assert_eq!(Request::decode(&again[FRAME_HEADER_BYTES..]).unwrap(), request);
        taken += 1;
    }
    if let Ok(response) = Response::decode(input) {
        let again = response.encode(0).unwrap();
        assert_eq!(Response::decode(&again[FRAME_HEADER_BYTES..]).unwrap(), response);
        taken += 1;
    }
    if let Ok(layout) = Layout::decode(input) {
        assert_eq!(Layout::decode(&layout.encode()).unwrap(), layout);
        // What decodes can be computed from; only small ones, for the time.
        if layout.partitions_log2 <= 4 {
            Table::compute(layout).unwrap();
        }
        taken += 1;
    }
    if let Some(header) = input.first_chunk().and_then(|bytes| FrameHeader::decode(*bytes).ok()) {
        assert!(header.head_bytes() <= 1 << 20);
        taken += 1;
    }
    taken
}

#[test]
fn decoders_withstand_mutated_input() {
    let mut dice = Dice::new(seed("decoders"));
    let corpus = corpus();
    // The control: each good input is taken by a decoder, so the mutants start from something that is looked into.
    assert!(corpus.iter().all(|input| decode_all(input) > 0));
    let mut taken = 0;
    for _ in 0..INPUTS {
        let mut input = corpus[dice.below(corpus.len())].clone();
        mutate(&mut input, &mut dice);
        taken += usize::from(decode_all(&input) > 0);
    }
    println!("{taken} of {INPUTS} mutants were taken");
    assert!(taken > INPUTS / 100 && taken < INPUTS);
}
