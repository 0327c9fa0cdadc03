//! How far a pass came.

/// What a pass did with the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is as the spec says.
    Applied,
    /// On the way; says what is being waited for.
    Underway {
        /// For machines.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// Nothing was touched: the spec cannot be done. Says what to change.
    Invalid(String),
    /// Nothing was touched: the key is not there, or another one is.
    KeyMissing {
        /// For machines.
        reason: &'static str,
        /// For people: how to restore it.
        message: String,
    },
    /// Nothing was touched: an administrator wants it so.
    Paused,
    /// The API server refused something, or could not be reached; it is tried again.
    Failed(String),
}

impl Outcome {
    /// The Progressing condition.
    pub(crate) fn progressing(&self) -> crate::conditions::Verdict {
        use crate::conditions::Verdict;
        use datamesh_crds::condition::PROGRESSING;
        match self {
            Self::Applied => Verdict::no(PROGRESSING, "UpToDate", "Everything is as the spec says."),
            Self::Underway { reason, message } => Verdict::yes(PROGRESSING, reason, message),
            Self::Invalid(message) => Verdict::no(PROGRESSING, "InvalidSpec", message),
            Self::KeyMissing { reason, message } => Verdict::no(PROGRESSING, reason, message),
            Self::Paused => Verdict::no(
                PROGRESSING,
                "Paused",
                "The operator changes nothing while the cluster's spec.paused is true; what runs goes on running.",
            ),
            Self::Failed(message) => {
                Verdict::yes(PROGRESSING, "Retrying", format!("A step failed and is tried again: {message}"))
            }
        }
    }
}
