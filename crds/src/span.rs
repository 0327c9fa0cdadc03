//! Lengths of time: the part of Go's durations that makes sense here, readable by CEL, schema and code alike.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Characters of a span at most: six digits and a unit, three times.
const SPAN_CHARS_MAX: usize = 21;
/// Hours, minutes and seconds in this order, whole numbers: no days, which CEL does not know, and so few digits that every
/// reader's nanoseconds fit in 63 bits.
const SPAN_PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$";
/// Digits of one number at most.
const DIGITS_MAX: usize = 6;
/// Units in the order in which they may stand, and their seconds.
const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// A length of time as people write it: `1h`, `90m`, `336h`, `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(String);

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no length of time: write whole hours, minutes and seconds in this order, like 1h, 90m or 1h30m; 14 days are 336h"
)]
pub struct SpanError {
    text: String,
}

impl Span {
    /// A span as written; [`Span::duration`] checks it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How long it is: whole seconds.
    ///
    /// # Errors
    /// Says how a span is written.
    pub fn duration(&self) -> Result<Duration, SpanError> {
        let error = || SpanError { text: self.0.chars().take(SPAN_CHARS_MAX).collect() };
        let (mut rest, mut seconds, mut units) = (self.0.as_str(), 0, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| (1..=DIGITS_MAX).contains(at));
            let (number, behind) = rest.split_at(digits.ok_or_else(error)?);
            let unit = behind.chars().next().ok_or_else(error)?;
            let (_, unit_seconds) = units.find(|(known, _)| *known == unit).ok_or_else(error)?;
            seconds += number.parse::<u64>().map_err(|_| error())? * unit_seconds;
            rest = &behind[unit.len_utf8()..];
        }
        if self.0.is_empty() { Err(error()) } else { Ok(Duration::from_secs(seconds)) }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 2, "maxLength": SPAN_CHARS_MAX, "pattern": SPAN_PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_does() {
        for (text, seconds) in [
            ("1h", 3600),
            ("90m", 5400),
            ("1h30m", 5400),
            ("336h", 14 * 24 * 3600),
            ("0s", 0),
            ("1h1m1s", 3661),
            ("2h5s", 7205),
            ("999999h999999m999999s", 999_999 * 3661),
        ] {
            assert_eq!(Span::new(text).duration(), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_named_with_the_remedy() {
        for text in
            ["", "1", "h", "14d", "1.5h", "-1h", "1m1h", "1h1h", "1 h", "1234567s", "1ms", "1ä", "3600"]
        {
            let error = Span::new(text).duration().unwrap_err().to_string();
            assert!(error.contains("14 days are 336h"), "{error}");
        }
    }
}
