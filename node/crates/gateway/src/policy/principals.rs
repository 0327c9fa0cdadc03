//! Everybody that a policy can speak of.

use datamesh_catalog::{AccessKeyId, GroupName};

/// How a policy names everybody that an owner's keys act for.
const USER: &str = "arn:aws:iam:::user/";
/// How a policy names everybody that keys of a group's members act for.
const GROUP: &str = "arn:aws:iam:::group/";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Principal<'a> {
    /// Nobody signed the request.
    Anonymous,
    /// An access key, whom it acts for, and the groups they are in where the policy names any.
    Key { id: &'a str, owner: &'a str, groups: &'a [GroupName] },
}

/// Why a text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the principal {0:?} is none: it is \"*\", the id of an access key, {USER}NAME for all keys of an owner, or {GROUP}NAME for those of a group"
)]
pub(crate) struct NoPrincipal(String);

/// Whom a statement speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Principals {
    everybody: bool,
    keys: Vec<AccessKeyId>,
    owners: Vec<String>,
    groups: Vec<GroupName>,
}

impl Principals {
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NoPrincipal> {
        let mut all = Self::default();
        for text in texts {
            if text == "*" {
                all.everybody = true;
            } else if let Ok(id) = text.parse() {
                all.keys.push(id);
            } else if let Some(owner) = text.strip_prefix(USER).filter(|owner| is_name(owner)) {
                all.owners.push(owner.to_owned());
            } else if let Some(Ok(group)) = text.strip_prefix(GROUP).map(str::parse) {
                all.groups.push(group);
            } else {
                return Err(NoPrincipal(text.to_owned()));
            }
        }
        Ok(all)
    }

    pub(super) fn include(&self, principal: Principal<'_>) -> bool {
        self.everybody
            || match principal {
                Principal::Anonymous => false,
                Principal::Key { id, owner, groups } => {
                    self.keys.iter().any(|key| key.as_str() == id)
                        || self.owners.iter().any(|named| named.eq_ignore_ascii_case(owner))
                        || self
                            .groups
                            .iter()
                            .any(|named| groups.iter().any(|group| group.folded() == named.folded()))
                }
            }
    }

    pub(super) fn include_strangers(&self) -> bool {
        self.everybody
    }

    pub(super) fn name_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(AccessKeyId::as_str)
    }
}

/// A name as it is, not one that stands for several.
fn is_name(owner: &str) -> bool {
    !owner.is_empty() && !owner.contains(['*', '?', '$'])
}
