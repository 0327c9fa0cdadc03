//! What a provider gives at each sign-in, as accounts take it and as the audit has it. What cannot be given keeps nobody from signing in.

use datamesh_catalog::catalog::{Given, GroupChange, Taken};
use datamesh_catalog::{GroupName, Identity, Role, User};

use super::Accounts;
use super::federated::unknown_or_disabled;
use crate::audit::{Actor, Note};
use crate::objects::refusals;
use crate::oidc::{Claims, Provider};
use crate::problem::Problem;

/// Bytes of names for each thing that comes of groups at most: an entry of the audit has room for all five, and for who it is.
const NAMED_BYTES_MAX: usize = 128;

impl Accounts {
    /// A user who comes again, with the role and the groups that the claims give where the settings have them of those.
    pub(super) async fn known_there(
        &self,
        (provider, claims): (&Provider, &Claims),
        (user, identity): (User, &Identity),
        (note, who): (&Note, &str),
    ) -> Result<User, Problem> {
        note.actor(Actor::not(Some(&user)));
        if user.disabled {
            return Err(unknown_or_disabled());
        }
        let given = provider.given(claims);
        let taken = if given == Given::default() {
            Taken { user: user.clone(), groups: Vec::new() }
        } else {
            let taken = self.catalog.take_given((user.id, identity), &given).await;
            taken.map_err(refusals::catalog)?.ok_or_else(unknown_or_disabled)?
        };
        let role = role_came(provider, (user.role, given.role), taken.user.role);
        let groups = groups_came(provider, &given, &taken.groups);
        if !role.is_empty() || !groups.is_empty() {
            note.detail(format!("{who}{role}{groups}"));
        }
        Ok(taken.user)
    }
}

/// What came of the role, if anything, where it was one and was said to be one.
fn role_came(provider: &Provider, (was, said): (Role, Option<Role>), is: Role) -> String {
    match said {
        None if provider.gives_roles() => format!(" role={} (stays: the claim is not there)", is.as_str()),
        Some(said) if said != is => format!(" role={} (stays: no other administrator is left)", is.as_str()),
        Some(said) if said != was => format!(" role={}", is.as_str()),
        _ => String::new(),
    }
}

/// What came of groups, if anything; what could not be is the log's too.
pub(super) fn groups_came(
    provider: &Provider,
    given: &Given,
    changes: &[(GroupName, GroupChange)],
) -> String {
    if given.groups.is_none() && provider.gives_groups() {
        return " groups (stay: the claim is not there)".to_owned();
    }
    let told = [
        (GroupChange::Joined, "joined", None),
        (GroupChange::Left, "left", None),
        (GroupChange::NoGroup, "no-group", Some("there is no such group")),
        (GroupChange::GroupFull, "full", Some("it has as many members as there may be")),
        (GroupChange::UserFull, "too-many", Some("the user is in as many groups as there may be")),
    ];
    let mut all = String::new();
    for (change, word, why) in told {
        let these = changes.iter().filter(|(_, came)| *came == change).map(|(group, _)| group.as_str());
        let these: Vec<&str> = these.collect();
        if these.is_empty() {
            continue;
        }
        if let Some(why) = why {
            tracing::warn!(provider = provider.name(), groups = ?these, why, "who signed in is not in a group");
        }
        all.push_str(&format!(" {word}={}", named(&these)));
    }
    all
}

/// The names that have room, and how many more there are.
fn named(groups: &[&str]) -> String {
    let mut text = String::new();
    for (at, group) in groups.iter().enumerate() {
        if text.len() + group.len() > NAMED_BYTES_MAX {
            return format!("{text} and {} more", groups.len() - at);
        }
        let comma = if at == 0 { "" } else { "," };
        text.push_str(comma);
        text.push_str(group);
    }
    text
}
