//! Roles that a provider of OpenID Connect gives.

use super::faults::{ATTEMPTS_MAX, find, put};
use super::identities::stays_bound;
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::model::{Identity, Role, User, UserId};
use crate::record;

/// Users looked through at once for an administrator.
const USERS_AT_ONCE: usize = 256;

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

impl<K: Keyspace> Catalog<K> {
    /// Gives a user the role that a provider says they have. The last administrator who may sign in stays one. Gives the user as they
    /// then are, `None` when whoever the provider vouched for is them no more, or they are disabled.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn take_role(
        &self,
        (id, identity): (UserId, &Identity),
        role: Role,
    ) -> Result<Option<User>, CatalogError> {
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let mut batch = Batch::new();
            let bound = stays_bound(&view, (id, identity), &mut batch).await?;
            let Some(mut user) = found.record.filter(|user| bound && !user.disabled) else { return Ok(None) };
            if user.role == role {
                return Ok(Some(user));
            }
            if user.role == Role::Admin {
                // Two who are the last two must not both go: each commit needs the other as it was.
                let Some(other) = another_admin(&view, id).await? else { return Ok(Some(user)) };
                batch.expect(other.key, Some(other.version));
            }
            drop(view);
            user.role = role;
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &user)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(user));
            }
        }
        Err(CatalogError::Contended)
    }
}
