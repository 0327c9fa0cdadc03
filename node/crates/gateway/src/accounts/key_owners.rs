//! Whom key pairs of S3 act for.

use datamesh_catalog::UserName;
use datamesh_catalog::catalog::KeyFor;

use super::Accounts;
use crate::auth::{Principal, Who};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// Whom keys act for that are made by the administrator's token file. No user can have the name.
pub(crate) const FILE_OWNER: &str = "admin";

/// Whom a key will act for.
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) given: KeyFor<'static>,
}

fn no_such_owner() -> Problem {
    let detail = "the owner is no user: GET /api/v1/admin/users lists those that exist; left out, the key is of who asks";
    Problem::new(Kind::InvalidBody, detail).in_body("owner")
}

impl Accounts {
    /// Whom a key will act for that an administrator makes, for whoever they name or else for themselves.
    ///
    /// # Errors
    /// `invalid-body` for a name that is no user's.
    pub(crate) async fn owner_of_key(
        &self,
        principal: &Principal,
        named: Option<&str>,
    ) -> Result<Owner, Problem> {
        let of_user = |id, name: &UserName| Owner { name: name.to_string(), given: KeyFor::User(id) };
        let Some(named) = named else {
            return Ok(match &principal.who {
                Who::User { id, name } => of_user(*id, name),
                Who::Holder(_) => Owner { name: FILE_OWNER.to_owned(), given: KeyFor::Nobody },
            });
        };
        let name = named.parse().map_err(|_| no_such_owner())?;
        let found = self.catalog.user_of(&name).await.map_err(refusals::catalog)?;
        found.map(|user| of_user(user.id, &user.name)).ok_or_else(no_such_owner)
    }
}
