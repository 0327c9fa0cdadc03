//! Who a user is at providers of OpenID Connect: bound by the user alone, in a session, by password and second factor.

use datamesh_catalog::catalog::IdentityError;
use datamesh_catalog::{CredentialId, Identity, UserId};
use zeroize::Zeroizing;

use super::federated::{SentAway, identity_of, no_such_provider};
use super::{Accounts, no_account, superseded};
use crate::audit::{Actor, Note};
use crate::auth::{Address, Principal, Via};
use crate::objects::refusals;
use crate::oidc::{Claims, Provider};
use crate::problem::{Kind, Problem};

/// Who a user is somewhere.
pub(crate) struct Bound {
    /// What the provider is called here; none: it is in the settings no more.
    pub(crate) provider: Option<String>,
    pub(crate) identity: Identity,
}

fn not_bound(error: IdentityError) -> Problem {
    match error {
        IdentityError::Superseded => superseded(),
        IdentityError::Taken | IdentityError::Another | IdentityError::LastWay => {
            Problem::new(Kind::Conflict, error.to_string())
        }
        IdentityError::Invalid(invalid) => Problem::new(Kind::Forbidden, invalid.to_string()),
        IdentityError::Catalog(error) => refusals::catalog(error),
    }
}

impl Accounts {
    /// Sends the browser of the user who asks to a provider, to be bound to whom it names. It is a way around the password and the second
    /// factor from then on, so it takes both.
    ///
    /// # Errors
    /// `forbidden` for a wrong password, `second-factor-required` where no code came or a wrong one.
    pub(crate) async fn ask_to_bind(
        &self,
        principal: &Principal,
        provider: &str,
        (password, code): (Zeroizing<String>, Option<&str>),
        from: Option<Address>,
    ) -> Result<SentAway, Problem> {
        let Via::Session(session) = principal.via else { return Err(no_account()) };
        self.providers.named(provider).ok_or_else(no_such_provider)?;
        let (user, _) = self.proven_again(principal, password, from).await?;
        let factor = self.shown(&user, code).await?;
        self.spend(user.id, factor).await?;
        self.send_away_for(provider, Some((user.id, session))).await
    }

    /// Binds the user who asked for it to whom the provider named, if their session has not ended meanwhile.
    pub(super) async fn bind(
        &self,
        (provider, claims): (&Provider, &Claims),
        (user, session): (UserId, CredentialId),
        note: &Note,
    ) -> Result<(), Problem> {
        note.count();
        note.detail(format!("provider={} binds", provider.name()));
        let known = self.catalog.user(user).await.map_err(refusals::catalog)?.ok_or_else(superseded)?;
        note.actor(Actor::user(&known, session.to_string()));
        let bound = self.catalog.bind_identity((user, session), &identity_of(provider, claims)).await;
        bound.map_err(not_bound)
    }

    /// Who the user who asks is at providers.
    pub(crate) async fn identities(&self, principal: &Principal) -> Result<Vec<Bound>, Problem> {
        let user = self.myself(principal).await?;
        let all = self.catalog.identities(user.id).await.map_err(refusals::catalog)?;
        let bound = |identity: Identity| Bound {
            provider: self.providers.name_of(&identity.issuer).map(str::to_owned),
            identity,
        };
        Ok(all.into_iter().map(bound).collect())
    }

    /// Unbinds the user who asks from who they are at a provider.
    ///
    /// # Errors
    /// `no-such-credential` where they are nobody there, `conflict` where they could not sign in any more.
    pub(crate) async fn unbind(&self, principal: &Principal, provider: &str) -> Result<(), Problem> {
        let user = self.myself(principal).await?;
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        match self.catalog.unbind_identity(user.id, provider.issuer()).await.map_err(not_bound)? {
            true => Ok(()),
            false => {
                Err(Problem::new(Kind::NoSuchCredential, "you are nobody there").in_parameter("provider"))
            }
        }
    }
}
