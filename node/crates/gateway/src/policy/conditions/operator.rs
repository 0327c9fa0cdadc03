//! Names of operators: what they compare, and how they take what a request does not say.

use super::Compare;
use crate::policy::facts::Kind;

/// There is no such operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the condition operator {0} is not known here")]
pub(crate) struct NoOperator(String);

/// What it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    Letters,
    Like,
    Number(Compare),
    Date(Compare),
    Bool,
    Address,
    Null,
}

/// Which of the values that a request gives must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    One,
    /// Each, if there are any.
    All,
    /// One that is there.
    Any,
}

/// An operator, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) over: Over,
    pub(super) family: Family,
    pub(super) negated: bool,
    pub(super) if_exists: bool,
}

impl Family {
    pub(super) fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Text | Self::Letters | Self::Like => kind == Kind::Text,
            Self::Number(_) => kind == Kind::Number,
            Self::Date(_) => kind == Kind::Date,
            Self::Bool => kind == Kind::Bool,
            Self::Address => kind == Kind::Address,
            Self::Null => true,
        }
    }
}

impl Operator {
    /// Reads its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) fn named(name: &str) -> Result<Self, NoOperator> {
        let (over, rest) = match name.split_once(':') {
            None => (Over::One, name),
            Some(("ForAllValues", rest)) => (Over::All, rest),
            Some(("ForAnyValue", rest)) => (Over::Any, rest),
            Some(_) => return Err(NoOperator(name.to_owned())),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (family, negated) = base_of(base).ok_or_else(|| NoOperator(name.to_owned()))?;
        if family == Family::Null && (if_exists || over != Over::One) {
            return Err(NoOperator(name.to_owned()));
        }
        Ok(Self { over, family, negated, if_exists })
    }
}

fn base_of(name: &str) -> Option<(Family, bool)> {
    let compared = |name: &str| {
        Some(match name {
            "Equals" => (Compare::Equal, false),
            "NotEquals" => (Compare::Equal, true),
            "LessThan" => (Compare::Less, false),
            "LessThanEquals" => (Compare::LessOrEqual, false),
            "GreaterThan" => (Compare::Greater, false),
            "GreaterThanEquals" => (Compare::GreaterOrEqual, false),
            _ => return None,
        })
    };
    if let Some(rest) = name.strip_prefix("Numeric") {
        return compared(rest).map(|(compare, negated)| (Family::Number(compare), negated));
    }
    if let Some(rest) = name.strip_prefix("Date") {
        return compared(rest).map(|(compare, negated)| (Family::Date(compare), negated));
    }
    Some(match name {
        "StringEquals" => (Family::Text, false),
        "StringNotEquals" => (Family::Text, true),
        "StringEqualsIgnoreCase" => (Family::Letters, false),
        "StringNotEqualsIgnoreCase" => (Family::Letters, true),
        "StringLike" => (Family::Like, false),
        "StringNotLike" => (Family::Like, true),
        "Bool" => (Family::Bool, false),
        "IpAddress" => (Family::Address, false),
        "NotIpAddress" => (Family::Address, true),
        "Null" => (Family::Null, false),
        _ => return None,
    })
}
