//! Roles, and places in groups, that a provider of OpenID Connect gives.

use super::faults::{ATTEMPTS_MAX, find, put};
use super::given_groups::{GroupChange, take_groups};
use super::identities::stays_bound;
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::model::{GroupName, Identity, Role, User, UserId};
use crate::record;

/// Users looked through at once for an administrator.
const USERS_AT_ONCE: usize = 256;

/// What a provider says of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Their role; none: it says nothing of it.
    pub role: Option<Role>,
    /// Each group that is the provider's affair, once whatever its case, and whether they are in it; none: it says nothing of any.
    pub groups: Option<Vec<(GroupName, bool)>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The user as they then are.
    pub user: User,
    /// The groups in which something changed, or would have.
    pub groups: Vec<(GroupName, GroupChange)>,
}

/// An administrator besides this user who may sign in: the key and the version of their row.
async fn another_admin(view: &impl View, user: UserId) -> Result<Option<crate::keyspace::Row>, CatalogError> {
    let mut range = keys::all(Table::User);
    loop {
        let page = view.range(&range, RangeLimits::rows(USERS_AT_ONCE)).await?;
        let Some(last) = page.rows.last().map(|row| row.key.clone()) else { return Ok(None) };
        for row in page.rows {
            let other: User = record::decode(&row.value)?;
            if other.id != user && other.role == Role::Admin && !other.disabled {
                return Ok(Some(row));
            }
        }
        if !page.more {
            return Ok(None);
        }
        range = range.after(&last);
    }
}

/// Has a batch give a user another role, unless they are the last administrator who may sign in. Gives the user as they then are.
async fn take_role(
    view: &impl View,
    user: User,
    role: Option<Role>,
    batch: &mut Batch,
) -> Result<User, CatalogError> {
    let Some(role) = role.filter(|role| *role != user.role) else { return Ok(user) };
    if user.role == Role::Admin {
        // Two who are the last two must not both go: each commit needs the other as it was.
        let Some(other) = another_admin(view, user.id).await? else { return Ok(user) };
        batch.expect(other.key, Some(other.version));
    }
    let user = User { role, ..user };
    put(batch, keys::user(user.id), &user)?;
    Ok(user)
}

impl<K: Keyspace> Catalog<K> {
    /// Gives a user the role, and the places in groups, that a provider says they have, all in one commit. The last administrator who may
    /// sign in stays one; a group that is not there, or takes nobody more, is left out. Gives `None` when whoever the provider vouched
    /// for is them no more, or they are disabled.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn take_given(
        &self,
        (id, identity): (UserId, &Identity),
        given: &Given,
    ) -> Result<Option<Taken>, CatalogError> {
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let mut batch = Batch::new();
            let bound = stays_bound(&view, (id, identity), &mut batch).await?;
            let Some(user) = found.record.filter(|user| bound && !user.disabled) else { return Ok(None) };
            batch.expect(row.clone(), found.version);
            let user = take_role(&view, user, given.role, &mut batch).await?;
            let groups = take_groups(&view, id, given.groups.as_deref(), &mut batch).await?;
            drop(view);
            if batch.writes.is_empty() || self.try_commit(batch).await?.is_some() {
                return Ok(Some(Taken { user, groups }));
            }
        }
        Err(CatalogError::Contended)
    }
}
