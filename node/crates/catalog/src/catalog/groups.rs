//! Groups of users. A group's row counts its members and changes with each, so a commit that expects it meets no other change of them.

use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, View};
use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX, GROUPS_OF_USER_MAX};
use crate::model::{Account, Group, GroupName, Role, User, UserId};
use crate::record::{self, KeyOnlyRecord};

/// Why a group is not as it was to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Another has the name, perhaps in other case.
    #[error("there is a group {0} already")]
    Taken(GroupName),
    /// There is none of that name.
    #[error("there is no group {0}")]
    NoGroup(GroupName),
    /// Who was to be a member is no user any more.
    #[error("there is no such user any more")]
    NoUser,
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The groups of a user in a view, by name.
async fn groups_in(view: &impl View, user: UserId) -> Result<Vec<Group>, CatalogError> {
    let mut groups = Vec::new();
    for row in whole(view, keys::groups_of(user)).await?.rows {
        let folded = keys::read_group_of(&row.key)?;
        groups.extend(find::<Group>(view, &keys::group(&folded)).await?.record);
    }
    Ok(groups)
}

/// A user with their groups, both of one moment.
pub(super) async fn account_in(view: &impl View, user: UserId) -> Result<Option<Account>, CatalogError> {
    let Some(user) = find::<User>(view, &keys::user(user)).await?.record else { return Ok(None) };
    Ok(Some(Account { groups: groups_in(view, user.id).await?, user }))
}

/// Has a batch take a user who is deleted out of all groups. Fails at its commit when they come into another one meanwhile.
pub(super) async fn leave_all(view: &impl View, user: UserId, batch: &mut Batch) -> Result<(), CatalogError> {
    let since = view.revision().await?;
    for row in whole(view, keys::groups_of(user)).await?.rows {
        let folded = keys::read_group_of(&row.key)?;
        change_members(view, &folded, batch, |members| members.saturating_sub(1)).await?;
        batch.delete(keys::group_member(&folded, user));
        batch.delete(row.key);
    }
    batch.expect_unchanged(keys::groups_of(user), since);
    Ok(())
}

/// Has a batch count a group's members anew; gives the group as it was.
pub(super) async fn change_members(
    view: &impl View,
    folded: &str,
    batch: &mut Batch,
    change: impl FnOnce(u32) -> u32,
) -> Result<Option<Group>, CatalogError> {
    let row = keys::group(folded);
    let found = find::<Group>(view, &row).await?;
    let Some(group) = found.record else { return Ok(None) };
    batch.expect(row.clone(), found.version);
    put(batch, row, &Group { members: change(group.members), ..group.clone() })?;
    Ok(Some(group))
}

impl<K: Keyspace> Catalog<K> {
    /// A user with their groups.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn account(&self, user: UserId) -> Result<Option<Account>, CatalogError> {
        account_in(&self.view().await?, user).await
    }

    /// Makes a group without members.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn create_group(&self, group: &Group) -> Result<(), GroupError> {
        let row = keys::group(&group.name.folded());
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            if find::<Group>(&view, &row).await?.record.is_some() {
                return Err(GroupError::Taken(group.name.clone()));
            }
            let mut batch = Batch::new();
            let (all, since) = (keys::all(Table::Group), view.revision().await.map_err(CatalogError::from)?);
            at_most("groups", whole(&view, all.clone()).await?.rows.len() + 1, GROUPS_MAX)?;
            drop(view);
            batch.expect_unchanged(all, since);
            put(&mut batch, row.clone(), &Group { members: 0, ..group.clone() })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// All groups, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn groups(&self) -> Result<Vec<Group>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::Group)).await?.rows;
        rows.iter().map(|row| Ok(record::decode(&row.value)?)).collect()
    }

    /// A group.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn group(&self, name: &GroupName) -> Result<Option<Group>, CatalogError> {
        self.read(&keys::group(&name.folded())).await
    }

    /// The members of a group, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn group_members(&self, name: &GroupName) -> Result<Vec<User>, CatalogError> {
        let view = self.view().await?;
        let mut users = Vec::new();
        for row in whole(&view, keys::group_members(&name.folded())).await?.rows {
            users.extend(find::<User>(&view, &keys::user(keys::read_group_member(&row.key)?)).await?.record);
        }
        users.sort_by_key(|user| user.name.folded());
        Ok(users)
    }

    /// Gives a group another role, or none, which its members have from their next request on. Gives the group as it then is.
    ///
    /// # Errors
    /// [`GroupError::NoGroup`], and the engine's faults.
    pub async fn set_group_role(&self, name: &GroupName, role: Option<Role>) -> Result<Group, GroupError> {
        let row = keys::group(&name.folded());
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<Group>(&self.view().await?, &row).await?;
            let group = Group { role, ..found.record.ok_or_else(|| GroupError::NoGroup(name.clone()))? };
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &group)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(group);
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Deletes a group; its members stay users.
    ///
    /// # Errors
    /// [`GroupError::NoGroup`], and the engine's faults.
    pub async fn delete_group(&self, name: &GroupName) -> Result<(), GroupError> {
        let folded = name.folded();
        let row = keys::group(&folded);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<Group>(&view, &row).await?;
            if found.record.is_none() {
                return Err(GroupError::NoGroup(name.clone()));
            }
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            batch.delete(row.clone());
            for member in whole(&view, keys::group_members(&folded)).await?.rows {
                let user = keys::read_group_member(&member.key).map_err(CatalogError::from)?;
                batch.delete(keys::group_of(user, &folded));
                batch.delete(member.key);
            }
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Makes a user a member of a group, if they are none.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn add_to_group(&self, name: &GroupName, user: UserId) -> Result<(), GroupError> {
        let folded = name.folded();
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut batch = Batch::new();
            let who = find::<User>(&view, &keys::user(user)).await?;
            // Whoever is deleted meanwhile is no member.
            batch.expect(keys::user(user), Some(who.version.ok_or(GroupError::NoUser)?));
            let since = view.revision().await.map_err(CatalogError::from)?;
            let group = change_members(&view, &folded, &mut batch, |members| members + 1).await?;
            let group = group.ok_or_else(|| GroupError::NoGroup(name.clone()))?;
            if is_member(&view, &folded, user).await? {
                return Ok(());
            }
            at_most("members of a group", group.members as usize + 1, GROUP_MEMBERS_MAX)?;
            let of_user = whole(&view, keys::groups_of(user)).await?.rows.len();
            at_most("groups of a user", of_user + 1, GROUPS_OF_USER_MAX)?;
            drop(view);
            batch.expect_unchanged(keys::groups_of(user), since);
            put(&mut batch, keys::group_member(&folded, user), &KeyOnlyRecord)?;
            put(&mut batch, keys::group_of(user, &folded), &KeyOnlyRecord)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Takes a user out of a group, if they are in it.
    ///
    /// # Errors
    /// [`GroupError::NoGroup`], and the engine's faults.
    pub async fn take_from_group(&self, name: &GroupName, user: UserId) -> Result<(), GroupError> {
        let folded = name.folded();
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut batch = Batch::new();
            let group = change_members(&view, &folded, &mut batch, |members| members.saturating_sub(1));
            if group.await?.is_none() {
                return Err(GroupError::NoGroup(name.clone()));
            }
            if !is_member(&view, &folded, user).await? {
                return Ok(());
            }
            drop(view);
            batch.delete(keys::group_member(&folded, user));
            batch.delete(keys::group_of(user, &folded));
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }
}

async fn is_member(view: &impl View, folded: &str, user: UserId) -> Result<bool, CatalogError> {
    Ok(view.get(&keys::group_member(folded, user)).await?.is_some())
}
