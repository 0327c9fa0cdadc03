//! Rules by which a bucket's objects, versions and uploads end, and whether one has: no clock, no rows.

use std::cell::LazyCell;

use datamesh_catalog::BucketSetting;
use datamesh_catalog::catalog::VersionStanding as Standing;
use serde::{Deserialize, Serialize};

use crate::objects::Tags;
use crate::trash::Trash;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// All rules of a bucket, as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lifecycle {
    pub(crate) rules: Vec<Rule>,
}

/// One rule. What ends is what its filter takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) enabled: bool,
    pub(crate) filter: Filter,
    /// Of the object that a key shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expiration: Option<Expiration>,
    /// Of versions behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) noncurrent: Option<Noncurrent>,
    /// Of uploads, so many days after they began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) abort_uploads_after_days: Option<u32>,
}

/// What a rule is about: all that is named must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default)]
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) tags: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) larger_than: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) smaller_than: Option<u64>,
}

/// When the object that a key shows ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expiration {
    /// So many days after it was put.
    Days(u32),
    /// From then on, in milliseconds since 1970.
    Date(u64),
    /// A delete that hides nothing any more.
    LoneMarkers,
}

/// When a version ends that another one took the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noncurrent {
    pub(crate) days: u32,
    /// So many of the newest objects among them stay in any case; deletes are not counted, and not kept by this.
    #[serde(default)]
    pub(crate) kept: u32,
}

/// A version as rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) key: &'a [u8],
    /// Absent: a delete.
    pub(crate) size_bytes: Option<u64>,
    pub(crate) created_unix_ms: u64,
    pub(crate) standing: Standing,
}

/// What a rule makes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It stays.
    Stays,
    /// It ends.
    Ends,
    /// It ends if it has the rule's tags.
    EndsWithTags,
}

/// Days are whole: what is due within one is so at its end, midnight in Greenwich.
fn due_unix_ms(from_unix_ms: u64, days: u32) -> u64 {
    from_unix_ms
        .saturating_add(u64::from(days).saturating_mul(DAY_MS))
        .div_ceil(DAY_MS)
        .saturating_mul(DAY_MS)
}

impl Lifecycle {
    /// Where a bucket's rules may stand: those of its owner, and the one of its trash.
    pub(crate) const KEPT_AS: [BucketSetting; 2] = [BucketSetting::Lifecycle, BucketSetting::Trash];

    /// Reads what is set of a bucket there.
    pub(crate) fn read(which: BucketSetting, bytes: &[u8]) -> serde_json::Result<Self> {
        match which {
            BucketSetting::Trash => serde_json::from_slice(bytes).map(Trash::rules),
            _ => serde_json::from_slice(bytes),
        }
    }

    /// Whether a version may have ended, for all one can tell without its tags.
    pub(crate) fn may_end(&self, candidate: &Candidate<'_>, now_unix_ms: u64) -> bool {
        self.rules.iter().any(|rule| rule.judge(candidate, now_unix_ms) != Verdict::Stays)
    }

    /// The first rule that ends a version now. The tags are asked for at most once; where they do not read, no rule of tags takes it.
    pub(crate) fn ends(
        &self,
        candidate: &Candidate<'_>,
        now_unix_ms: u64,
        tags: impl FnOnce() -> Option<Tags>,
    ) -> Option<&Rule> {
        let tags = LazyCell::new(tags);
        self.rules.iter().find(|rule| match rule.judge(candidate, now_unix_ms) {
            Verdict::Stays => false,
            Verdict::Ends => true,
            Verdict::EndsWithTags => tags.as_ref().is_some_and(|tags| tags.include(&rule.filter.tags)),
        })
    }

    /// The first rule by which an upload to this key that began then is given up now.
    pub(crate) fn aborts(&self, key: &[u8], begun_unix_ms: u64, now_unix_ms: u64) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.aborts(key, begun_unix_ms, now_unix_ms))
    }

    /// So many newer objects decide at most.
    pub(crate) fn kept_max(&self) -> usize {
        let kept = self.rules.iter().filter_map(|rule| rule.noncurrent.as_ref()).map(|rule| rule.kept);
        kept.max().map_or(0, |kept| usize::try_from(kept).unwrap_or(usize::MAX))
    }
}

impl Rule {
    /// What becomes of a version now.
    fn judge(&self, candidate: &Candidate<'_>, now_unix_ms: u64) -> Verdict {
        if !self.enabled || !self.is_due(candidate, now_unix_ms) || !self.filter.takes(candidate) {
            return Verdict::Stays;
        }
        match candidate.size_bytes {
            Some(_) if self.filter.tags.pairs().len() > 0 => Verdict::EndsWithTags,
            _ => Verdict::Ends,
        }
    }

    fn is_due(&self, candidate: &Candidate<'_>, now_unix_ms: u64) -> bool {
        match (candidate.standing, candidate.size_bytes) {
            (Standing::Newest { .. }, Some(_)) => match &self.expiration {
                Some(Expiration::Days(days)) => due_unix_ms(candidate.created_unix_ms, *days) <= now_unix_ms,
                Some(Expiration::Date(date)) => *date <= now_unix_ms,
                Some(Expiration::LoneMarkers) | None => false,
            },
            (Standing::Newest { only }, None) => match &self.expiration {
                Some(Expiration::LoneMarkers) => only,
                // As in S3: what rules of days left behind goes with them.
                Some(Expiration::Days(days)) => {
                    only && due_unix_ms(candidate.created_unix_ms, *days) <= now_unix_ms
                }
                Some(Expiration::Date(_)) | None => false,
            },
            (Standing::Behind { since_unix_ms, newer }, size) => {
                self.noncurrent.as_ref().is_some_and(|rule| {
                    let beyond = size.is_none() || usize::try_from(rule.kept).is_ok_and(|kept| newer >= kept);
                    beyond && due_unix_ms(since_unix_ms, rule.days) <= now_unix_ms
                })
            }
        }
    }

    /// Whether an upload to this key that began then is given up now.
    fn aborts(&self, key: &[u8], begun_unix_ms: u64, now_unix_ms: u64) -> bool {
        let due = |days| due_unix_ms(begun_unix_ms, days) <= now_unix_ms;
        let is_theirs = key.starts_with(self.filter.prefix.as_bytes());
        self.enabled && is_theirs && self.abort_uploads_after_days.is_some_and(due)
    }
}

impl Filter {
    /// Whether a version is of those, as far as one can tell without its tags.
    fn takes(&self, candidate: &Candidate<'_>) -> bool {
        let size = candidate.size_bytes;
        let sizes = self.larger_than.is_none_or(|least| size.is_some_and(|size| size > least))
            && self.smaller_than.is_none_or(|most| size.is_some_and(|size| size < most));
        let tags = size.is_some() || self.tags.pairs().len() == 0;
        candidate.key.starts_with(self.prefix.as_bytes()) && sizes && tags
    }
}

#[cfg(test)]
mod tests;
