//! The `Range` header: one range of bytes, from the front or the end.

use std::ops::Range;

use http::{HeaderMap, HeaderValue, header};

use crate::problem::{Kind, Problem};

/// What part of an object a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes; never empty, never beyond the end.
    Part(Range<u64>),
}

/// Reads the `Range` header for an object of `size` bytes. As RFC 9110 wants it, a range that is no single range of
/// bytes is ignored; one that lies outside the object is refused.
pub(super) fn wanted(headers: &HeaderMap, size: u64) -> Result<Wanted, Problem> {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(Wanted::Whole);
    };
    let Some(spec) = parse(text) else { return Ok(Wanted::Whole) };
    match resolve(spec, size) {
        Some(range) => Ok(Wanted::Part(range)),
        None => Err(outside(size)),
    }
}

/// first, last (both inclusive), either may be absent but not both.
fn parse(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    match (number(first)?, number(last)?) {
        (None, None) => None,
        (Some(first), Some(last)) if first > last => None,
        spec => Some(spec),
    }
}

fn resolve((first, last): (Option<u64>, Option<u64>), size: u64) -> Option<Range<u64>> {
    let range = match (first, last) {
        (Some(first), last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
        (None, suffix) => size.saturating_sub(suffix?)..size,
    };
    (range.start < range.end).then_some(range)
}

fn outside(size: u64) -> Problem {
    let problem =
        Problem::new(Kind::RangeNotSatisfiable, format!("the object has {size} bytes")).in_header("Range");
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => problem.header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, size: u64) -> Result<Wanted, Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(text).unwrap());
        wanted(&headers, size).map_err(|problem| problem.kind())
    }

    #[test]
    fn ranges_from_front_and_end() {
        assert_eq!(of("bytes=0-0", 10), Ok(Wanted::Part(0..1)));
        assert_eq!(of("bytes=2-", 10), Ok(Wanted::Part(2..10)));
        assert_eq!(of("bytes=2-99", 10), Ok(Wanted::Part(2..10)));
        assert_eq!(of("bytes=-3", 10), Ok(Wanted::Part(7..10)));
        assert_eq!(of("bytes=-30", 10), Ok(Wanted::Part(0..10)));
        assert_eq!(of("Bytes = 1-2", 10), Ok(Wanted::Part(1..3)));
        assert_eq!(of("bytes=5-18446744073709551615", 10), Ok(Wanted::Part(5..10)));
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for text in
            ["bytes=", "bytes=-", "bytes=5-2", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=+1-2", "x"]
        {
            assert_eq!(of(text, 10), Ok(Wanted::Whole), "{text}");
        }
    }

    #[test]
    fn what_lies_outside_is_refused() {
        for (text, size) in
            [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
        {
            assert_eq!(of(text, size), Err(Kind::RangeNotSatisfiable), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_part_that_lies_within(text in "([bB]ytes *= *)?[-0-9, =]{0,24}|\\PC{0,40}", size: u64) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header::RANGE, value);
            }
            for size in [size, size % 100] {
                if let Ok(Wanted::Part(part)) = wanted(&headers, size) {
                    proptest::prop_assert!(part.start < part.end && part.end <= size);
                }
            }
        }

        #[test]
        fn a_range_that_is_there_is_what_it_says(first in 0_u64..1 << 40, len in 1_u64..1 << 40, more in 0_u64..9) {
            let text = format!("bytes={first}-{}", first + len - 1);
            let part = of(&text, first + len + more);
            proptest::prop_assert_eq!(part, Ok(Wanted::Part(first..first + len)));
        }
    }
}
