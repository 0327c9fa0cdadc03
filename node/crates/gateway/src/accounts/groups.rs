//! Groups of users, as administrators see them. Who is in one has its role with their next request, and from the request on that ends it
//! no more, as with roles: rows decide.

use datamesh_catalog::catalog::GroupError;
use datamesh_catalog::{Group, GroupName, Role, User, UserName};

use super::{Accounts, no_such_user};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

fn no_such_group() -> Problem {
    Problem::new(Kind::NoSuchGroup, "GET /api/v1/admin/groups lists those that exist").in_parameter("name")
}

fn named(name: &str) -> Result<GroupName, Problem> {
    name.parse().map_err(|_| no_such_group())
}

fn refused(error: GroupError) -> Problem {
    match error {
        error @ GroupError::Taken(_) => Problem::new(Kind::GroupExists, error.to_string()).in_body("name"),
        GroupError::NoGroup(_) => no_such_group(),
        GroupError::NoUser => no_such_user(),
        GroupError::Invalid(invalid) => Problem::new(Kind::Conflict, invalid.to_string()),
        GroupError::Catalog(error) => refusals::catalog(error),
    }
}

impl Accounts {
    /// All groups, by name.
    pub(crate) async fn groups(&self) -> Result<Vec<Group>, Problem> {
        self.catalog.groups().await.map_err(refusals::catalog)
    }

    /// A group and its members.
    ///
    /// # Errors
    /// `no-such-group`.
    pub(crate) async fn group(&self, name: &str) -> Result<(Group, Vec<User>), Problem> {
        let name = named(name)?;
        let group = self.catalog.group(&name).await.map_err(refusals::catalog)?.ok_or_else(no_such_group)?;
        Ok((group, self.catalog.group_members(&name).await.map_err(refusals::catalog)?))
    }

    /// Makes a group without members.
    ///
    /// # Errors
    /// `group-exists`; `conflict` where there are as many as there may be.
    pub(crate) async fn create_group(&self, name: GroupName, role: Option<Role>) -> Result<Group, Problem> {
        let group = Group { name, role, members: 0, created_unix_ms: self.now() };
        self.catalog.create_group(&group).await.map_err(refused)?;
        Ok(group)
    }

    /// Gives a group another role, or none.
    ///
    /// # Errors
    /// `no-such-group`.
    pub(crate) async fn set_group_role(&self, name: &str, role: Option<Role>) -> Result<Group, Problem> {
        self.catalog.set_group_role(&named(name)?, role).await.map_err(refused)
    }

    /// Deletes a group; its members stay users.
    ///
    /// # Errors
    /// `no-such-group`.
    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), Problem> {
        self.catalog.delete_group(&named(name)?).await.map_err(refused)
    }

    /// Makes a user a member of a group, if they are none.
    ///
    /// # Errors
    /// `no-such-group`, `no-such-user`; `conflict` where the group or the user has as many as there may be.
    pub(crate) async fn add_to_group(&self, name: &str, user: &str) -> Result<(), Problem> {
        let user = self.user(user).await?;
        self.catalog.add_to_group(&named(name)?, user.id).await.map_err(refused)
    }

    /// Takes a user out of a group, if they are in it.
    ///
    /// # Errors
    /// `no-such-group`, `no-such-user`.
    pub(crate) async fn take_from_group(&self, name: &str, user: &str) -> Result<(), Problem> {
        let user = self.user(user).await?;
        self.catalog.take_from_group(&named(name)?, user.id).await.map_err(refused)
    }

    /// The names of a user's groups.
    pub(crate) async fn groups_of(&self, user: &User) -> Result<Vec<GroupName>, Problem> {
        let account = self.catalog.account(user.id).await.map_err(refusals::catalog)?;
        Ok(account.into_iter().flat_map(|account| account.groups).map(|group| group.name).collect())
    }

    /// The names of the groups of whom keys of S3 act for, now; none where that is no user's name.
    pub(crate) async fn groups_of_owner(&self, owner: &str) -> Result<Vec<GroupName>, Problem> {
        let Ok(name) = owner.parse::<UserName>() else { return Ok(Vec::new()) };
        match self.catalog.user_of(&name).await.map_err(refusals::catalog)? {
            Some(user) => self.groups_of(&user).await,
            None => Ok(Vec::new()),
        }
    }
}
