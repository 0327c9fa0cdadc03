//! How long what was deleted of a bucket can be put back. It is a rule like those of a lifecycle: what versions keep ends by it.

use serde::{Deserialize, Serialize};

use crate::lifecycle::{Expiration, Lifecycle, Noncurrent, Rule};

/// What the audit calls the rule.
const RULE: &str = "trash";

/// What is set of a bucket with a trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trash {
    /// Days that what was replaced and deleted is kept.
    pub(crate) days: u32,
}

impl Trash {
    /// What ends by it: versions that were replaced or deleted so many days ago, and deletes that hide nothing any more.
    pub(crate) fn rules(self) -> Lifecycle {
        let noncurrent = Some(Noncurrent { days: self.days, kept: 0 });
        let expiration = Some(Expiration::LoneMarkers);
        Lifecycle {
            rules: vec![Rule { id: RULE.into(), enabled: true, expiration, noncurrent, ..Rule::default() }],
        }
    }
}

#[cfg(test)]
mod tests {
    use datamesh_catalog::catalog::VersionStanding;

    use super::*;
    use crate::lifecycle::Candidate;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    #[test]
    fn what_was_deleted_ends_after_its_days_and_nothing_that_is_shown() {
        let rules = Trash { days: 2 }.rules();
        let ends = |size_bytes, standing| {
            let candidate = Candidate { key: b"a", size_bytes, created_unix_ms: 0, standing };
            rules.ends(&candidate, 10 * DAY_MS, || None).is_some()
        };
        let behind = |day: u64| VersionStanding::Behind { since_unix_ms: day * DAY_MS, newer: 0 };
        assert!(ends(Some(1), behind(8)) && !ends(Some(1), behind(9)), "so long after it was deleted");
        let newest = |only| VersionStanding::Newest { only };
        assert!(!ends(Some(1), newest(true)) && !ends(Some(1), newest(false)));
        assert!(ends(None, newest(true)) && !ends(None, newest(false)), "a delete goes last");
    }
}
