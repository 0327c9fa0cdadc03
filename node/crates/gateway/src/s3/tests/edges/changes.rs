//! How a request is changed on its way.

use super::Shot;

/// Words that readers of numbers, names and lines are known to stumble over.
const WORDS: [&[u8]; 12] = [
    b"",
    b"0",
    b"-1",
    b"ffffffff",
    b"ffffffffffffffff",
    b"18446744073709551616",
    b"%00",
    b"%",
    b"\xff",
    b"\r\n",
    b"aws:kms",
    b"../../shown/y",
];
const SEPARATORS: [&[u8]; 8] = [b"&", b"/", b",", b";", b"=", b"\r\n", b":", b"<"];

/// One change: numbers that say where it is and what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    field: usize,
    separator: usize,
    how: usize,
    at: usize,
    other: usize,
    byte: usize,
}

impl From<[u16; 6]> for Change {
    fn from(numbers: [u16; 6]) -> Self {
        let [field, separator, how, at, other, byte] = numbers.map(usize::from);
        Self { field, separator, how, at, other, byte }
    }
}

/// Changes the target, the body, a header's value, or which headers there are.
pub(super) fn change(shot: &mut Shot, wanted: &Change) {
    let headers = shot.headers.len();
    match wanted.field % 8 {
        0 | 1 => edit(&mut shot.target, wanted),
        2..=4 => edit(&mut shot.body, wanted),
        5 | 6 if headers > 0 => edit(&mut shot.headers[wanted.field / 8 % headers].1, wanted),
        _ if headers > 0 => {
            let (at, other) = (wanted.at % headers, wanted.other % headers);
            match wanted.how % 3 {
                0 => drop(shot.headers.remove(at)),
                1 => shot.headers.push(shot.headers[at].clone()),
                _ => {
                    let value = shot.headers[at].1.clone();
                    shot.headers[at].1 = std::mem::replace(&mut shot.headers[other].1, value);
                }
            }
        }
        _ => {}
    }
}

/// Changes bytes, or the words between two separators.
fn edit(bytes: &mut Vec<u8>, wanted: &Change) {
    let (at, byte) = (wanted.at % (bytes.len() + 1), u8::try_from(wanted.byte % 256).unwrap_or_default());
    let end = (at + wanted.other % 16 + 1).min(bytes.len());
    match wanted.how % 10 {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|changed| *changed ^= 1 << (byte % 8)),
        1 => bytes.insert(at, byte),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        4 => bytes.truncate(at),
        5 => bytes.iter_mut().skip(at).take(end - at).for_each(u8::make_ascii_uppercase),
        how => words(bytes, how, wanted),
    }
}

fn words(bytes: &mut Vec<u8>, how: usize, wanted: &Change) {
    let separator = SEPARATORS[wanted.separator % SEPARATORS.len()];
    let mut words = split(bytes, separator);
    let (at, other) = (wanted.at % words.len(), wanted.other % words.len());
    match how {
        6 => drop(words.remove(at)),
        7 => words.insert(other, words[at].clone()),
        8 => words.swap(at, other),
        _ => words[at] = WORDS[wanted.byte % WORDS.len()].to_vec(),
    }
    *bytes = words.join(separator);
}

fn split(bytes: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let mut words = vec![Vec::new()];
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(separator) {
            words.push(Vec::new());
            at += separator.len();
        } else {
            words.iter_mut().last().into_iter().for_each(|word| word.push(bytes[at]));
            at += 1;
        }
    }
    words
}
