//! Invitations as administrators see them. Each is a credential of whoever made it, and ends with them.

use std::collections::HashSet;

use datamesh_catalog::catalog::KnownCredential;
use datamesh_catalog::{CredentialId, CredentialKind, Role, User, UserId, UserName};

use super::{Accounts, OPERATOR};
use crate::limits::LIST_MAX;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// An invitation that counts.
pub(crate) struct Invitation {
    pub(crate) id: CredentialId,
    pub(crate) role: Role,
    /// Who made it; none: the operator.
    pub(crate) by: Option<UserName>,
    pub(crate) created_unix_ms: u64,
    pub(crate) until_unix_ms: u64,
    host: UserId,
}

impl Accounts {
    /// All that count: the operator's, then those of administrators, by their names.
    pub(crate) async fn invitations(&self) -> Result<Vec<Invitation>, Problem> {
        let mut all = self.invitations_of(OPERATOR, None).await?;
        let by_group = self.administrators_by_group().await?;
        let mut after: Option<UserName> = None;
        loop {
            let (users, more) = self.list(after.as_ref(), LIST_MAX).await?;
            after = users.last().map(|user| user.name.clone());
            let may_invite =
                |user: &User| !user.disabled && (user.role == Role::Admin || by_group.contains(&user.id));
            for User { id, name, .. } in users.into_iter().filter(may_invite) {
                all.extend(self.invitations_of(id, Some(name)).await?);
            }
            if !more {
                return Ok(all);
            }
        }
    }

    /// Members of groups that make them administrators.
    async fn administrators_by_group(&self) -> Result<HashSet<UserId>, Problem> {
        let mut all = HashSet::new();
        for group in self.groups().await?.into_iter().filter(|group| group.role == Some(Role::Admin)) {
            let members = self.catalog.group_members(&group.name).await.map_err(refusals::catalog)?;
            all.extend(members.into_iter().map(|user| user.id));
        }
        Ok(all)
    }

    async fn invitations_of(&self, host: UserId, by: Option<UserName>) -> Result<Vec<Invitation>, Problem> {
        let now_unix_ms = self.now();
        let known = self.catalog.credentials(host).await.map_err(refusals::catalog)?;
        let invitation = |known: KnownCredential| {
            let credential = known.credential;
            let CredentialKind::Invite { role } = credential.kind else { return None };
            let (created_unix_ms, until_unix_ms) = (credential.created_unix_ms, credential.until_unix_ms);
            let counts = until_unix_ms > now_unix_ms;
            let by = by.clone();
            counts.then_some(Invitation { id: known.id, role, by, created_unix_ms, until_unix_ms, host })
        };
        Ok(known.into_iter().filter_map(invitation).collect())
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// `no-such-credential` where it was used, has run out or was never made.
    pub(crate) async fn withdraw(&self, id: &str) -> Result<(), Problem> {
        let none = || {
            Problem::new(Kind::NoSuchCredential, "GET /api/v1/admin/invites lists those that count")
                .in_parameter("id")
        };
        let id: CredentialId = id.parse().map_err(|_| none())?;
        let all = self.invitations().await?;
        let host = all.iter().find(|known| known.id == id).ok_or_else(none)?.host;
        match self.catalog.end_credential(host, id).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(none()),
        }
    }
}
