//! Policies of buckets: the language, what is accepted of it, and what it says of a request. No I/O here.
//!
//! * `document`: the JSON as it is written; `parse`: that, checked. Nothing of a policy is ignored: what is not understood is refused.
//! * `actions`: everything a policy can speak of; `principals`: everybody it can speak of.
//! * `conditions`: when a statement speaks; `facts`: what a request is held against there.
//! * `public`: whether a policy lets strangers in.

mod actions;
mod conditions;
mod document;
mod facts;
mod parse;
mod pattern;
mod principals;
mod public;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use actions::Action;
use conditions::Condition;
pub(crate) use facts::Facts;
use pattern::Pattern;
pub(crate) use principals::Principal;
use principals::Principals;

/// Bytes of a policy at most, as in S3.
pub(crate) const POLICY_BYTES_MAX: usize = 20 << 10;

/// What a statement does to the requests it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// Who, what, on what, when.
#[derive(Clone, Debug)]
struct Statement {
    effect: Effect,
    principals: Principals,
    actions: BTreeSet<Action>,
    resources: Vec<Pattern>,
    /// The resources are those it does not speak of.
    other_resources: bool,
    conditions: Vec<Condition>,
}

/// A checked policy.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    pub(crate) principal: Principal<'a>,
    pub(crate) action: Action,
    pub(crate) bucket: &'a str,
    /// Absent: the bucket itself.
    pub(crate) key: Option<&'a str>,
    pub(crate) facts: &'a Facts,
}

/// What a policy says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing: what the key itself may decides.
    Silent,
    Allow,
    /// Whatever else allows it.
    Deny,
}

impl Statement {
    fn speaks_of(&self, deed: &Deed<'_>, resource: &str) -> bool {
        self.actions.contains(&deed.action)
            && self.principals.include(deed.principal)
            && self.resources.iter().any(|pattern| pattern.matches(resource)) != self.other_resources
            && self.conditions.iter().all(|condition| self.holds(condition, deed.facts))
    }

    fn holds(&self, condition: &Condition, facts: &Facts) -> bool {
        if condition.is_beyond(facts) { self.effect == Effect::Deny } else { condition.holds(facts) }
    }

    fn verdict(&self) -> Verdict {
        match self.effect {
            Effect::Allow => Verdict::Allow,
            Effect::Deny => Verdict::Deny,
        }
    }
}

impl Policy {
    /// What it says: a denial, if any statement denies; else an allowance, if any allows.
    pub(crate) fn judge(&self, deed: &Deed<'_>) -> Verdict {
        let resource = match deed.key {
            None => deed.bucket.to_owned(),
            Some(key) => format!("{}/{key}", deed.bucket),
        };
        let speaking = self.statements.iter().filter(|statement| statement.speaks_of(deed, &resource));
        speaking.map(Statement::verdict).max().unwrap_or(Verdict::Silent)
    }

    /// Whether it may allow one of these to this principal, on something, some time: whom it cannot help is refused before the
    /// body that names the keys is read.
    pub(crate) fn may_allow(&self, principal: Principal<'_>, actions: &[Action]) -> bool {
        self.statements.iter().any(|statement| {
            statement.effect == Effect::Allow
                && statement.principals.include(principal)
                && actions.iter().any(|action| statement.actions.contains(action))
        })
    }

    /// Whether it names groups: then it is to be known who asks is in which.
    pub(crate) fn names_groups(&self) -> bool {
        self.statements.iter().any(|statement| statement.principals.name_groups())
    }

    /// The key ids it names.
    pub(crate) fn keys_named(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|statement| statement.principals.keys())
    }
}
