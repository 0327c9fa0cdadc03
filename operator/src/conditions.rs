//! Conditions: decided as verdicts, kept with their transition times, told as events.

use datamesh_crds::condition;
use k8s_controller::conditions::{self as standard, ConditionStatus, DesiredCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Characters of a message at most; a pool of a thousand nodes must not fill the API server's object.
const MESSAGE_CHARS_MAX: usize = 2000;

/// What a condition shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) type_: &'static str,
    pub(crate) status: ConditionStatus,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn yes(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: ConditionStatus::True, reason, message: message.into() }
    }

    pub(crate) fn no(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: ConditionStatus::False, reason, message: message.into() }
    }

    pub(crate) fn unknown(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: ConditionStatus::Unknown, reason, message: message.into() }
    }

    /// Whether this is what one wants to see of its type.
    pub(crate) fn is_good(&self) -> bool {
        condition::is_good(self.type_, self.status.as_str())
    }

    /// Whether somebody should look: work in progress is no alarm unless it fails.
    pub(crate) fn is_alarming(&self) -> bool {
        condition::is_alarming(self.type_, self.status.as_str(), self.reason)
    }
}

/// Sets `verdicts` in `conditions` and returns those whose status or reason changed.
pub(crate) fn set(
    conditions: &mut Vec<Condition>,
    verdicts: &[Verdict],
    generation: Option<i64>,
) -> Vec<Verdict> {
    let mut changed = Vec::new();
    for verdict in verdicts {
        let before = standard::find(conditions, verdict.type_).map(|c| (c.status.clone(), c.reason.clone()));
        let message: String = verdict.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let desired = DesiredCondition::new(verdict.type_, verdict.status, verdict.reason, message)
            .observed_generation(generation);
        if standard::set(conditions, desired).is_changed()
            && before
                .is_none_or(|(status, reason)| status != verdict.status.as_str() || reason != verdict.reason)
        {
            changed.push(verdict.clone());
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_changed_status_or_reason_is_told() {
        let mut conditions = Vec::new();
        let first = [Verdict::no(condition::READY, "Starting", "one")];
        assert_eq!(set(&mut conditions, &first, Some(1)).len(), 1);
        let reworded = [Verdict::no(condition::READY, "Starting", "two")];
        assert!(set(&mut conditions, &reworded, Some(2)).is_empty());
        assert_eq!((conditions[0].message.as_str(), conditions[0].observed_generation), ("two", Some(2)));
        let ready = [Verdict::yes(condition::READY, "Serving", "three")];
        assert_eq!(set(&mut conditions, &ready, Some(2)), ready);
    }

    #[test]
    fn messages_are_bounded() {
        let mut conditions = Vec::new();
        set(&mut conditions, &[Verdict::no(condition::READY, "Starting", "x".repeat(9999))], None);
        assert_eq!(conditions[0].message.len(), MESSAGE_CHARS_MAX);
    }
}
