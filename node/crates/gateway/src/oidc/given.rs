//! What a provider gives by its claims: roles, and places in groups. A claim that is not there gives and takes nothing: it is none that is
//! empty, and may be a mapper that somebody forgot.

use std::collections::BTreeMap;

use datamesh_catalog::catalog::Given;
use datamesh_catalog::{GroupName, Role};
use datamesh_settings::oidc::OidcSettings;
use serde_json::Value;

use super::token::Claims;

/// Texts that give groups at most: each group may be written in the commit of a sign-in.
const GROUP_TEXTS_MAX: usize = 64;
/// Claims that say nothing of what somebody may do.
const NOTHING_GIVEN: [&str; 7] = ["iss", "sub", "aud", "azp", "exp", "iat", "nonce"];

/// A field of the settings, and what it should be.
type Wrong = (&'static str, &'static str);

/// A group, and the texts of which any gives it.
type Group = (GroupName, Vec<String>);

/// A claim, and the role that each text of it gives.
type Roles = (String, Vec<(String, Role)>);

/// What the settings have it give.
#[derive(Debug, Default)]
pub(super) struct Gives {
    roles: Option<Roles>,
    groups: Option<(String, Vec<Group>)>,
}

impl Gives {
    pub(super) fn open(settings: &OidcSettings) -> Result<Self, Wrong> {
        let (roles, groups) = (roles_of(settings)?, groups_of(settings)?);
        let is_none = |claim: &str| claim.is_empty() || NOTHING_GIVEN.contains(&claim);
        if roles.as_ref().is_some_and(|(claim, _)| is_none(claim)) {
            return Err(("roles.claim", "a claim that says what somebody may do, such as groups"));
        }
        if groups.as_ref().is_some_and(|(claim, _)| is_none(claim)) {
            return Err(("groups.claim", "a claim that says what somebody belongs to, such as groups"));
        }
        Ok(Self { roles, groups })
    }

    pub(super) fn roles(&self) -> bool {
        self.roles.is_some()
    }

    pub(super) fn groups(&self) -> bool {
        self.groups.is_some()
    }

    /// The claims that it looks at.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        let roles = self.roles.iter().map(|(claim, _)| claim.as_str());
        roles.chain(self.groups.iter().map(|(claim, _)| claim.as_str()))
    }

    /// What claims give.
    pub(super) fn read(&self, claims: &Claims) -> Given {
        Given { role: self.role(claims), groups: self.places(claims) }
    }

    fn role(&self, claims: &Claims) -> Option<Role> {
        let (claim, map) = self.roles.as_ref()?;
        let said = texts(claims, claim)?;
        let fits = map.iter().filter(|(text, _)| said.contains(&text.as_str()));
        Some(fits.map(|(_, role)| *role).max().unwrap_or(Role::Member))
    }

    fn places(&self, claims: &Claims) -> Option<Vec<(GroupName, bool)>> {
        let (claim, groups) = self.groups.as_ref()?;
        let said = texts(claims, claim)?;
        let is_in = |texts: &[String]| texts.iter().any(|text| said.contains(&text.as_str()));
        Some(groups.iter().map(|(group, texts)| (group.clone(), is_in(texts))).collect())
    }
}

/// What a claim says: a text, or several.
fn texts<'a>(claims: &'a Claims, claim: &str) -> Option<Vec<&'a str>> {
    match claims.more.get(claim)? {
        Value::String(one) => Some(vec![one.as_str()]),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn roles_of(settings: &OidcSettings) -> Result<Option<Roles>, Wrong> {
    let Some(roles) = &settings.roles else { return Ok(None) };
    let role = |(said, role): (&String, &String)| {
        let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
        role.map(|role| (said.clone(), role))
    };
    let map = roles.map.iter().map(role).collect::<Option<Vec<_>>>();
    let map = map.ok_or(("roles.map", "roles are member, auditor, operator and admin"))?;
    Ok(Some((roles.claim.clone(), map)))
}

/// Each group once, whatever the case in which its name stands there.
fn groups_of(settings: &OidcSettings) -> Result<Option<(String, Vec<Group>)>, Wrong> {
    let Some(groups) = &settings.groups else { return Ok(None) };
    if groups.map.len() > GROUP_TEXTS_MAX {
        return Err(("groups.map", "64 texts at most"));
    }
    let mut by_name: BTreeMap<String, Group> = BTreeMap::new();
    for (said, name) in &groups.map {
        let wrong = |_| ("groups.map", "names of groups: 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`");
        let name: GroupName = name.parse().map_err(wrong)?;
        let (_, texts) = by_name.entry(name.folded()).or_insert((name, Vec::new()));
        texts.push(said.clone());
    }
    Ok(Some((groups.claim.clone(), by_name.into_values().collect())))
}
