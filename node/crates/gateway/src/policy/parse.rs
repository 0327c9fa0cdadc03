//! Policies are checked when they are put: whatever would not mean what its author thinks is refused, and named.

use std::collections::BTreeSet;

use serde_json::Value;

use super::actions::{Action, Level};
use super::conditions::{Condition, ConditionError};
use super::document::{self, Document, Members, OneOrMany, Text};
use super::facts::Key;
use super::pattern::{self, Pattern, TooCostly};
use super::principals::{NoPrincipal, Principals};
use super::{POLICY_BYTES_MAX, Policy, Statement};

/// How resources begin.
const RESOURCE: &str = "arn:aws:s3:::";
/// Versions of the language; the first is meant where none is named.
const VERSIONS: [&str; 2] = ["2008-10-17", "2012-10-17"];

/// Why a text is no policy of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("a policy has at most {POLICY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the policy is malformed: {0}")]
    Malformed(String),
    #[error("Version is {first} or {second}, not {0:?}", first = VERSIONS[0], second = VERSIONS[1])]
    Version(String),
    #[error("a policy has a statement at least")]
    NoStatement,
    #[error("statement {at}: {fault}")]
    Statement { at: String, fault: StatementFault },
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementFault {
    #[error("NotPrincipal is not known here: name in Principal whom it speaks of")]
    NotPrincipal,
    #[error("Principal is missing")]
    NoPrincipal,
    #[error("principals of the kind {0:?} are not known here; AWS is")]
    PrincipalKind(String),
    #[error(transparent)]
    Principal(#[from] NoPrincipal),
    #[error("it has {0}, or Not{0}, and not both")]
    OneOf(&'static str),
    #[error("the action {0:?} is none that a bucket's policy can speak of")]
    Action(String),
    #[error("the resource {resource:?} is not of this bucket: it begins with {RESOURCE}{bucket}")]
    Resource { resource: String, bucket: String },
    #[error("variables (${{…}}) in resources are not known here")]
    Variable,
    #[error(
        "the action {0:?} is done to none of its resources: of the bucket itself, or of its objects (/*)"
    )]
    NothingToDo(String),
    #[error(transparent)]
    Condition(#[from] ConditionError),
    #[error(transparent)]
    Pattern(#[from] TooCostly),
    #[error("requests for {action:?} never say {key}", key = .key.name())]
    NeverSaid { action: String, key: Key },
}

impl Policy {
    /// Reads the policy of a bucket.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub(crate) fn parse(text: &str, bucket: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong);
        }
        let malformed = |error: serde_json::Error| PolicyError::Malformed(error.to_string());
        only_objects(&serde_json::from_str(text).map_err(malformed)?)?;
        let read: Document = serde_json::from_str(text).map_err(malformed)?;
        if let Some(version) = read.version.filter(|version| !VERSIONS.contains(&version.as_str())) {
            return Err(PolicyError::Version(version));
        }
        let OneOrMany(statements) = read.statement;
        if statements.is_empty() {
            return Err(PolicyError::NoStatement);
        }
        let checked = statements.into_iter().enumerate().map(|(n, statement)| {
            let at =
                statement.sid.clone().filter(|sid| !sid.is_empty()).unwrap_or_else(|| (n + 1).to_string());
            checked(statement, bucket).map_err(|fault| PolicyError::Statement { at, fault })
        });
        Ok(Self { statements: checked.collect::<Result<_, _>>()? })
    }
}

/// What the types would read as well: nothing in place of something, and lists in place of members.
fn only_objects(document: &Value) -> Result<(), PolicyError> {
    let refused = |what: &str| Err(PolicyError::Malformed(what.to_owned()));
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => &[],
    };
    if !document.is_object() || !statements.iter().all(Value::is_object) {
        return refused("a policy and each of its statements are objects");
    }
    if has_null(document) {
        return refused("null is no value: leave out what is not meant");
    }
    Ok(())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn checked(written: document::Statement, bucket: &str) -> Result<Statement, StatementFault> {
    if written.not_principal.is_some() {
        return Err(StatementFault::NotPrincipal);
    }
    let principals = principals(written.principal.ok_or(StatementFault::NoPrincipal)?)?;
    let (actions, other_actions) = one_of(written.action, written.not_action, "Action")?;
    let (resources, other_resources) = one_of(written.resource, written.not_resource, "Resource")?;
    let patterns =
        resources.iter().map(|Text(text)| resource(text, bucket)).collect::<Result<Vec<_>, _>>()?;
    let conditions = conditions(written.condition)?;
    let reached = [Level::Bucket, Level::Object].map(|level| reaches(&patterns, level, bucket));
    let mut named = BTreeSet::new();
    for Text(action) in actions.iter().collect::<BTreeSet<_>>() {
        let meant = Action::named(action);
        if meant.is_empty() {
            return Err(StatementFault::Action(action.clone()));
        }
        if !other_actions {
            let done =
                |action: &Action| other_resources || reached[usize::from(action.level() == Level::Object)];
            if !meant.iter().any(done) {
                return Err(StatementFault::NothingToDo(action.clone()));
            }
            let said = |condition: &&Condition| !meant.iter().any(|action| condition.key().is_of(*action));
            if let Some(never) = conditions.iter().find(said) {
                return Err(StatementFault::NeverSaid { action: action.clone(), key: never.key() });
            }
        }
        named.extend(meant);
    }
    let actions = if other_actions { &Action::all() - &named } else { named };
    let effect = written.effect;
    Ok(Statement { effect, principals, actions, resources: patterns, other_resources, conditions })
}

fn principals(written: document::Principal) -> Result<Principals, StatementFault> {
    match written {
        document::Principal::Word(word) => Ok(Principals::new([word.as_str()])?),
        document::Principal::Kinds(Members(kinds)) => {
            if let Some((kind, _)) = kinds.iter().find(|(kind, _)| kind != "AWS") {
                return Err(StatementFault::PrincipalKind(kind.clone()));
            }
            let texts =
                kinds.iter().flat_map(|(_, OneOrMany(texts))| texts.iter().map(|Text(text)| text.as_str()));
            let texts: Vec<_> = texts.collect();
            if texts.is_empty() {
                return Err(StatementFault::NoPrincipal);
            }
            Ok(Principals::new(texts)?)
        }
    }
}

/// The one of both that is there, and whether it is the one that begins with `Not`.
fn one_of(
    plain: Option<OneOrMany<Text>>,
    not: Option<OneOrMany<Text>>,
    name: &'static str,
) -> Result<(Vec<Text>, bool), StatementFault> {
    match (plain, not) {
        (Some(OneOrMany(texts)), None) if !texts.is_empty() => Ok((texts, false)),
        (None, Some(OneOrMany(texts))) if !texts.is_empty() => Ok((texts, true)),
        _ => Err(StatementFault::OneOf(name)),
    }
}

fn resource(text: &str, bucket: &str) -> Result<Pattern, StatementFault> {
    if text.contains("${") {
        return Err(StatementFault::Variable);
    }
    let pattern = text.strip_prefix(RESOURCE).map(Pattern::new).transpose()?;
    let of_bucket = |pattern: &Pattern| {
        reaches_one(pattern, Level::Bucket, bucket) || reaches_one(pattern, Level::Object, bucket)
    };
    pattern
        .filter(of_bucket)
        .ok_or_else(|| StatementFault::Resource { resource: text.to_owned(), bucket: bucket.to_owned() })
}

/// Whether any of the resources can be the bucket, or an object of it.
fn reaches(patterns: &[Pattern], level: Level, bucket: &str) -> bool {
    patterns.iter().any(|pattern| reaches_one(pattern, level, bucket))
}

fn reaches_one(pattern: &Pattern, level: Level, bucket: &str) -> bool {
    let text = pattern.as_str();
    match (level, text.split_once('/')) {
        (Level::Bucket, _) => pattern.matches(bucket),
        (Level::Object, Some((before, key))) => !key.is_empty() && pattern::matches(before, bucket),
        (Level::Object, None) => text.ends_with('*') && pattern.matches(bucket),
    }
}

fn conditions(written: Option<Members<Members<OneOrMany<Text>>>>) -> Result<Vec<Condition>, StatementFault> {
    let mut all = Vec::new();
    for (operator, Members(keys)) in written.map(|Members(operators)| operators).unwrap_or_default() {
        if keys.is_empty() {
            return Err(ConditionError::Nothing(operator).into());
        }
        for (key, OneOrMany(values)) in &keys {
            let values: Vec<_> = values.iter().map(|Text(text)| text.as_str()).collect();
            all.push(Condition::new(&operator, key, &values)?);
        }
    }
    Ok(all)
}
