//! Conditions: an operator, a key, values. All keys here have one value at most in a request.

mod operator;

use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::{Fact, Facts, Key};
use super::pattern::Pattern;
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
}

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
        let test = test(named.family, values).map_err(|(wanted, value)| ConditionError::Value {
            operator: operator.to_owned(),
            key,
            wanted,
            value: value.to_owned(),
        })?;
        let Operator { over, if_exists, negated, .. } = named;
        Ok(Self { key, over, if_exists, negated, test })
    }

    /// What it is about.
    pub(super) fn key(&self) -> Key {
        self.key
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

type Wrong<'a> = (&'static str, &'a str);

fn test<'a>(family: Family, values: &[&'a str]) -> Result<Test, Wrong<'a>> {
    Ok(match family {
        Family::Text => Test::Text(values.iter().map(|value| (*value).to_owned()).collect()),
        Family::Letters => Test::Letters(values.iter().map(|value| value.to_lowercase()).collect()),
        Family::Like => Test::Like(values.iter().map(|value| Pattern::new(*value)).collect()),
        Family::Number(compare) => Test::Number(compare, each(values, "whole numbers", number)?),
        Family::Date(compare) => {
            Test::Number(compare, each(values, "dates as of RFC 3339, or seconds since 1970", date)?)
        }
        Family::Bool => Test::Bool(each(values, "true or false", truth)?),
        Family::Address => Test::Address(each(values, "addresses or ranges as 10.0.0.0/8", net)?),
        Family::Null => match each(values, "true or false", truth)?[..] {
            [absent] => Test::Absent(absent),
            _ => return Err(("one value", values.first().copied().unwrap_or_default())),
        },
    })
}

fn each<'a, T>(
    values: &[&'a str],
    wanted: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Wrong<'a>> {
    values.iter().map(|value| read(value).ok_or((wanted, *value))).collect()
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn truth(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

fn date(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    let day = text.parse::<jiff::civil::Date>().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

fn net(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
