//! Who a user is at providers of OpenID Connect: bound by the user alone, in a session, by password and second factor.

use datamesh_catalog::catalog::{IdentityError, Unbinder};
use datamesh_catalog::record::IdentityRecord;
use datamesh_catalog::{Identity, PasswordHash, SecondFactor, User};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::federated::{SentAway, described, hash_of, identity_of, no_such_provider};
use super::{Accounts, no_account, superseded};
use crate::audit::{Actor, Note};
use crate::auth::{Address, Principal, Via};
use crate::objects::refusals;
use crate::oidc::{Binds, Claims, Provider};
use crate::problem::{Kind, Problem};

/// Who a user is somewhere.
pub(crate) struct Bound {
    /// What the provider is called here; none: it is in the settings no more.
    pub(crate) provider: Option<String>,
    pub(crate) identity: Identity,
    /// They are not any more, until they bind themselves anew.
    pub(crate) ended: bool,
}

/// Whom a user was just bound to, for them to see that it is who they think.
pub(crate) struct Met {
    pub(crate) provider: String,
    /// What they call themselves there.
    pub(crate) name: Option<String>,
    pub(crate) subject: String,
}

/// What must be as it was when somebody comes back to be bound.
fn proof_of(password: &PasswordHash, factor: Option<&SecondFactor>) -> [u8; 32] {
    let factor = factor.map(|factor| hex::encode(&factor.sealed)).unwrap_or_default();
    hash_of(&format!("{}\n{factor}", password.0))
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
        let (user, proven) = self.proven_again(principal, password, from).await?;
        // Before the code is looked at: one that comes to count after this was not shown.
        let known = self.catalog.second_factor(user.id).await.map_err(refusals::catalog)?;
        let proof = proof_of(&proven, known.filter(SecondFactor::counts).as_ref());
        let factor = self.shown(&user, code).await?;
        self.spend(user.id, factor).await?;
        self.send_away_for(provider, Some(Binds { user: user.id, session, proof })).await
    }

    /// Binds the user who asked for it to whom the provider named, if their session has not ended meanwhile and what they proved for it
    /// holds.
    pub(super) async fn bind(
        &self,
        (provider, claims): (&Provider, &Claims),
        Binds { user, session, proof }: Binds,
        note: &Note,
    ) -> Result<Met, Problem> {
        let identity = identity_of(provider, claims);
        note.count();
        note.detail(format!("{} binds", described(provider, &identity)));
        let known = self.catalog.user(user).await.map_err(refusals::catalog)?.ok_or_else(superseded)?;
        note.actor(Actor::user(&known, session.to_string()));
        let proved = |user: &User, factor: Option<&SecondFactor>| {
            let password = user.password.as_ref();
            password.is_some_and(|password| proof_of(password, factor).ct_eq(&proof).into())
        };
        self.catalog.bind_identity((user, session), &identity, proved).await.map_err(not_bound)?;
        let name = Provider::name_in(claims).map(str::to_owned);
        Ok(Met { provider: provider.name().into(), name, subject: identity.subject })
    }

    /// Who the user who asks is at providers.
    pub(crate) async fn identities(&self, principal: &Principal) -> Result<Vec<Bound>, Problem> {
        let user = self.myself(principal).await?;
        self.identities_of(&user).await
    }

    /// Who a user is at providers.
    pub(crate) async fn identities_of(&self, user: &User) -> Result<Vec<Bound>, Problem> {
        let all = self.catalog.identities(user.id).await.map_err(refusals::catalog)?;
        let bound = |IdentityRecord { identity, ended, .. }| Bound {
            provider: self.providers.name_of(&identity.issuer).map(str::to_owned),
            identity,
            ended,
        };
        Ok(all.into_iter().map(bound).collect())
    }

    /// Unbinds the user who asks from who they are at a provider; their other sessions end.
    ///
    /// # Errors
    /// `no-such-credential` where they are nobody there, `conflict` where they could not sign in any more.
    pub(crate) async fn unbind(&self, principal: &Principal, provider: &str) -> Result<(), Problem> {
        let Via::Session(session) = principal.via else { return Err(no_account()) };
        let user = self.myself(principal).await?;
        let issuers = self.providers.issuers();
        self.unbind_from(&user, provider, Unbinder::Themselves(session, &issuers)).await
    }

    /// Unbinds a user of this name from who they are, or were, at a provider; all their sessions end. They may become a user anew.
    ///
    /// # Errors
    /// `no-such-credential` where they are nobody there.
    pub(crate) async fn unbind_user(&self, name: &str, provider: &str) -> Result<(), Problem> {
        let user = self.user(name).await?;
        self.unbind_from(&user, provider, Unbinder::Administrator).await
    }

    async fn unbind_from(&self, user: &User, provider: &str, by: Unbinder<'_>) -> Result<(), Problem> {
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        match self.catalog.unbind_identity(user.id, provider.issuer(), by).await.map_err(not_bound)? {
            true => Ok(()),
            false => {
                let detail = "the user is nobody there";
                Err(Problem::new(Kind::NoSuchCredential, detail).in_parameter("provider"))
            }
        }
    }
}
