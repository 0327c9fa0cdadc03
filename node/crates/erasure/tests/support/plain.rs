//! The second implementation: the code as the textbook writes it, byte by byte, with no table and nothing of the engine.
#![allow(dead_code, reason = "each test file takes what it needs")]

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1.
pub(crate) fn mul(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1d;
        }
        b >>= 1;
    }
    product
}

/// The x with a·x = 1, by trying them all; 0 for 0.
pub(crate) fn inverse(a: u8) -> u8 {
    (1..=255).find(|&x| mul(a, x) == 1).unwrap_or(0)
}

/// Row i of the encoding matrix: unit rows for data, `1 / (i xor j)` for parity.
pub(crate) fn row(i: usize, k: usize) -> Vec<u8> {
    let cell = |j: usize| match i < k {
        true => u8::from(i == j),
        false => inverse(u8::try_from(i ^ j).unwrap_or(0)),
    };
    (0..k).map(cell).collect()
}

pub(crate) fn combine(row: &[u8], shards: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0; shards[0].len()];
    for (&c, shard) in row.iter().zip(shards) {
        for (out, &byte) in out.iter_mut().zip(shard) {
            *out ^= mul(c, byte);
        }
    }
    out
}

/// The parity shards of k data shards.
pub(crate) fn parity(data: &[Vec<u8>], m: usize) -> Vec<Vec<u8>> {
    let k = data.len();
    (k..k + m).map(|i| combine(&row(i, k), data)).collect()
}

/// The data shards from any k shards (index, payload), by Gaussian elimination on rows and payloads at once.
pub(crate) fn solve(k: usize, survivors: &[(usize, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> =
        survivors[..k].iter().map(|(i, p)| (row(*i, k), p.clone())).collect();
    for column in 0..k {
        let pivot = (column..k).find(|&r| rows[r].0[column] != 0).expect("the matrix can be inverted");
        rows.swap(column, pivot);
        let by = inverse(rows[column].0[column]);
        scale(&mut rows[column], by);
        let pivot = rows[column].clone();
        for (r, target) in rows.iter_mut().enumerate() {
            if r != column {
                subtract(target, &pivot, target.0[column]);
            }
        }
    }
    rows.into_iter().map(|(_, payload)| payload).collect()
}

fn scale(row: &mut (Vec<u8>, Vec<u8>), by: u8) {
    for cell in row.0.iter_mut().chain(&mut row.1) {
        *cell = mul(*cell, by);
    }
}

fn subtract(target: &mut (Vec<u8>, Vec<u8>), row: &(Vec<u8>, Vec<u8>), times: u8) {
    for (cell, &other) in target.0.iter_mut().zip(&row.0).chain(target.1.iter_mut().zip(&row.1)) {
        *cell ^= mul(times, other);
    }
}
