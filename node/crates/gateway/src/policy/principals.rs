//! Everybody that a policy can speak of.

use datamesh_catalog::AccessKeyId;

/// How a policy names everybody that an owner's keys act for.
const USER: &str = "arn:aws:iam:::user/";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Principal<'a> {
    /// Nobody signed the request.
    Anonymous,
    /// An access key, and whom it acts for.
    Key { id: &'a str, owner: &'a str },
}

/// Why a text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the principal {0:?} is none: it is \"*\", the id of an access key, or {USER}NAME for all keys of an owner"
)]
pub(crate) struct NoPrincipal(String);

/// Whom a statement speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Principals {
    everybody: bool,
    keys: Vec<AccessKeyId>,
    owners: Vec<String>,
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
                Principal::Key { id, owner } => {
                    self.keys.iter().any(|key| key.as_str() == id)
                        || self.owners.iter().any(|named| named.eq_ignore_ascii_case(owner))
                }
            }
    }

    pub(super) fn include_strangers(&self) -> bool {
        self.everybody
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(AccessKeyId::as_str)
    }
}

/// A name as it is, not one that stands for several.
fn is_name(owner: &str) -> bool {
    !owner.is_empty() && !owner.contains(['*', '?', '$'])
}
