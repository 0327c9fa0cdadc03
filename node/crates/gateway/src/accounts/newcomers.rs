//! How somebody at a provider becomes a user.

use datamesh_catalog::catalog::{Standing, UserError};
use datamesh_catalog::{Identity, Registration, Role, User, UserName};

use super::federated::hash_of;
use super::given::groups_came;
use super::{Accounts, NewUser, not_made};
use crate::audit::Note;
use crate::objects::refusals;
use crate::oidc::{Claims, Provider};
use crate::problem::{Kind, Problem};

impl Accounts {
    /// Makes whoever comes for the first time a user, if the cluster lets them; `who` they are is in the audit from there on.
    pub(super) async fn newcomer(
        &self,
        (provider, claims): (&Provider, &Claims),
        identity: &Identity,
        (note, who): (&Note, &str),
    ) -> Result<User, Problem> {
        let registration = self.catalog.registration().await.map_err(refusals::catalog)?;
        if !provider.registers() && registration != Registration::Open {
            let detail = "you are bound to no user of this cluster: sign in with your password and bind yourself \
                          (POST /api/v1/auth/identities/PROVIDER), or ask an administrator";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        note.count();
        let given = provider.given(claims);
        let role = given.role.unwrap_or(Role::Member);
        for name in names_for(provider.name(), claims, identity) {
            let Ok(user) = self.fresh(NewUser { name, email: None, role }) else { continue };
            let made = format!("{who} created={} role={}", user.name, role.as_str());
            note.detail(made.clone());
            match self.catalog.create_user_of(&user, identity, given.groups.as_deref()).await {
                Ok(changes) => {
                    note.detail(made + &groups_came(provider, &given, &changes));
                    return Ok(user);
                }
                Err(UserError::Taken(_) | UserError::KeysOf(_)) => {
                    note.detail(who.to_owned());
                    // Perhaps by the same person, at another gateway at this moment.
                    let standing = self.catalog.standing_of(identity).await.map_err(refusals::catalog)?;
                    if let Standing::Bound(user) = standing {
                        return Ok(user);
                    }
                }
                Err(error) => return Err(not_made(error)),
            }
        }
        Err(Problem::new(Kind::UserExists, "neither your name at the provider nor one made of it is free"))
    }
}

/// What somebody may be called: as at the provider, or else by the provider and a hash of who they are.
fn names_for(provider: &str, claims: &Claims, identity: &Identity) -> Vec<UserName> {
    let [a, b, c, d, e, f, ..] = hash_of(&format!("{}\n{}", identity.issuer, identity.subject));
    let made = format!("{provider}-{}", hex::encode([a, b, c, d, e, f]));
    let said = Provider::name_in(claims);
    said.into_iter().chain([made.as_str()]).filter_map(|name| name.parse().ok()).collect()
}
