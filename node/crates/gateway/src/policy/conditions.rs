//! Conditions: an operator, a key, values. All keys here have one value at most in a request.

mod operator;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::facts::{Fact, Facts, Key};
use super::pattern::{Pattern, TooCostly};
pub(super) use operator::NoOperator;
use operator::{Family, Operator, Over};

/// Why a condition is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConditionError {
    #[error(transparent)]
    Operator(#[from] NoOperator),
    #[error("the condition key {0} is not known here; there are {names}", names = Key::names())]
    Key(String),
    #[error("{operator} does not go with {key}", key = .key.name())]
    Mismatch { operator: String, key: Key },
    #[error("{operator} of {key} takes {wanted}, not {value:?}", key = .key.name())]
    Value { operator: String, key: Key, wanted: &'static str, value: String },
    #[error("{operator} of {key} has no value", key = .key.name())]
    Empty { operator: String, key: Key },
    #[error("{0} has no condition key")]
    Nothing(String),
    #[error("variables (${{…}}) in conditions are not known here")]
    Variable,
    #[error(transparent)]
    Pattern(#[from] TooCostly),
}

/// Bits before an address of IPv4 in the form of IPv6.
const MAPPED_BITS: u8 = 96;
/// Bytes of a text of a request at most that patterns are held against: keys and prefixes have 1 KiB.
const TEXT_BYTES_MAX: usize = 2 << 10;

/// How a fact stands to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds(self, fact: i64, value: i64) -> bool {
        match self {
            Self::Equal => fact == value,
            Self::Less => fact < value,
            Self::LessOrEqual => fact <= value,
            Self::Greater => fact > value,
            Self::GreaterOrEqual => fact >= value,
        }
    }
}

/// What a fact is held against: one of the values will do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Text(Vec<String>),
    /// In small letters.
    Letters(Vec<String>),
    Like(Vec<Pattern>),
    /// Of numbers, and of dates in milliseconds.
    Number(Compare, Vec<i64>),
    Bool(Vec<bool>),
    Address(Vec<IpNet>),
    /// Whether the request shall not say it.
    Absent(bool),
}

/// When a statement speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    key: Key,
    over: Over,
    /// Holds of requests that do not say it.
    if_exists: bool,
    /// None of the values will do.
    negated: bool,
    test: Test,
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// See [`ConditionError`].
    pub(super) fn new(operator: &str, key: &str, values: &[&str]) -> Result<Self, ConditionError> {
        let named = Operator::named(operator)?;
        let key = Key::named(key).ok_or_else(|| ConditionError::Key(key.to_owned()))?;
        if !named.family.takes(key.kind()) {
            return Err(ConditionError::Mismatch { operator: operator.to_owned(), key });
        }
        if values.is_empty() {
            return Err(ConditionError::Empty { operator: operator.to_owned(), key });
        }
        if values.iter().any(|value| value.contains("${")) {
            return Err(ConditionError::Variable);
        }
        let test = test(named.family, values).map_err(|wrong| match wrong {
            Wrong::Pattern(costly) => ConditionError::Pattern(costly),
            Wrong::Value(wanted, value) => {
                ConditionError::Value { operator: operator.to_owned(), key, wanted, value: value.to_owned() }
            }
        })?;
        let Operator { over, if_exists, negated, .. } = named;
        Ok(Self { key, over, if_exists, negated, test })
    }

    /// What it is about.
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Whether the request says more than a pattern is held against. Nobody is let in by that, nor escapes a denial.
    pub(super) fn is_beyond(&self, facts: &Facts) -> bool {
        let long = |fact| matches!(fact, Fact::Text(text) if text.len() > TEXT_BYTES_MAX);
        matches!(self.test, Test::Like(_)) && self.key.of(facts).is_some_and(long)
    }

    /// Whether it holds of a request.
    pub(super) fn holds(&self, facts: &Facts) -> bool {
        match (&self.test, self.key.of(facts)) {
            (Test::Absent(absent), fact) => fact.is_none() == *absent,
            (test, Some(fact)) => test.holds(fact) != self.negated,
            (_, None) if self.if_exists => true,
            (_, None) => match self.over {
                Over::One => self.negated,
                Over::All => true,
                Over::Any => false,
            },
        }
    }

    /// The addresses it wants a request to come from; absent where it wants nothing of the kind.
    pub(super) fn sources(&self) -> Option<&[IpNet]> {
        match &self.test {
            Test::Address(nets) if !self.negated && !self.if_exists && self.over != Over::All => Some(nets),
            _ => None,
        }
    }
}

impl Test {
    fn holds(&self, fact: Fact<'_>) -> bool {
        match (self, fact) {
            (Self::Text(values), Fact::Text(text)) => values.iter().any(|value| value == text),
            (Self::Letters(values), Fact::Text(text)) => values.contains(&text.to_lowercase()),
            (Self::Like(values), Fact::Text(text)) => values.iter().any(|value| value.matches(text)),
            (Self::Number(compare, values), Fact::Number(fact) | Fact::Date(fact)) => {
                values.iter().any(|value| compare.holds(fact, *value))
            }
            (Self::Bool(values), Fact::Bool(fact)) => values.contains(&fact),
            (Self::Address(nets), Fact::Address(address)) => nets.iter().any(|net| net.contains(&address)),
            // Operators and keys of different kinds were refused.
            _ => false,
        }
    }
}

enum Wrong<'a> {
    /// What is wanted, and what there is.
    Value(&'static str, &'a str),
    Pattern(TooCostly),
}

fn test<'a>(family: Family, values: &[&'a str]) -> Result<Test, Wrong<'a>> {
    Ok(match family {
        Family::Text => Test::Text(values.iter().map(|value| (*value).to_owned()).collect()),
        Family::Letters => Test::Letters(values.iter().map(|value| value.to_lowercase()).collect()),
        Family::Like => {
            let patterns = values.iter().map(|value| Pattern::new(*value)).collect::<Result<_, _>>();
            Test::Like(patterns.map_err(Wrong::Pattern)?)
        }
        Family::Number(compare) => Test::Number(compare, each(values, "whole numbers", number)?),
        Family::Date(compare) => Test::Number(compare, each(values, DATES, date)?),
        Family::Bool => Test::Bool(each(values, "true or false", truth)?),
        Family::Address => {
            Test::Address(each(values, "addresses, or ranges as 10.0.0.0/8 with no bits behind", net)?)
        }
        Family::Null => match each(values, "true or false", truth)?[..] {
            [absent] => Test::Absent(absent),
            _ => return Err(Wrong::Value("one value", values.first().copied().unwrap_or_default())),
        },
    })
}

fn each<'a, T>(
    values: &[&'a str],
    wanted: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Wrong<'a>> {
    values.iter().map(|value| read(value).ok_or(Wrong::Value(wanted, value))).collect()
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn truth(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

/// Digits of seconds since 1970 at least: fewer are a year, or a day without its dashes.
const SECONDS_DIGITS_MIN: usize = 9;
const DATES: &str = "dates as 2026-12-31T18:00:00Z, days as 2026-12-31, or seconds since 1970";

fn date(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000).filter(|_| text.len() >= SECONDS_DIGITS_MIN);
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    // A time of day without a zone would be taken for a day.
    let day = text.parse::<jiff::civil::Date>().ok().filter(|day| day.to_string() == text)?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// As addresses of requests are taken: one of IPv4 in the form of IPv6 is the former. Bits behind the range are a mistake for one address.
fn net(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let net = match (net.addr().to_canonical(), net) {
        (IpAddr::V4(address), IpNet::V6(net)) => {
            let prefix = net.prefix_len().checked_sub(MAPPED_BITS)?;
            IpNet::new(address.into(), prefix).ok()?
        }
        (_, net) => net,
    };
    // Some of what it covers would never match.
    let covers_mapped =
        matches!(net, IpNet::V6(net) if net.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()));
    (net.trunc() == net && (!covers_mapped || net.prefix_len() == 0)).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_or_none() {
        let day = date("2026-12-31").unwrap();
        assert_eq!(date("2026-12-31T18:00:00Z").unwrap(), day + 18 * 3_600_000);
        assert_eq!(date("2026-12-31T18:00:00+01:00").unwrap(), day + 17 * 3_600_000);
        assert_eq!(date(&(day / 1000).to_string()), Some(day));
        for text in [
            "2027",
            "20270101",
            "2026-12-31T18:00:00",
            "2027-01-01T00:00[America/New_York]",
            "2026-12-31 18:00",
            "",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_addresses_that_requests_have() {
        let is = |text: &str| net(text).map(|net| net.to_string());
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("::ffff:203.0.113.0/120", Some("203.0.113.0/24")),
            ("::ffff:203.0.113.7", Some("203.0.113.7/32")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("::/0", Some("::/0")),
            ("10.1.2.3/8", None),
            ("::ffff:0:0/90", None),
            ("::/64", None),
        ] {
            assert_eq!(is(text).as_deref(), expected, "{text}");
        }
    }
}
