//! Signing in at a provider of OpenID Connect. Who somebody is, issuer and subject say together and nothing else: an address of mail may
//! change hands, and a name is the provider's to give.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::catalog::{CredentialError, UserError};
use datamesh_catalog::limits::CREDENTIAL_NAME_BYTES_MAX;
use datamesh_catalog::{CredentialId, CredentialKind, Identity, Registration, Role, User, UserId, UserName};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use super::credentials::Lasting;
use super::passwords::too_many;
use super::sign_in::{SESSION_MS, address_of, refused};
use super::{Accounts, NewUser, SignedIn, cut, not_kept, not_made};
use crate::audit::{Actor, Note};
use crate::auth::Address;
use crate::objects::refusals;
use crate::oidc::{Claims, PENDING_MS, Pending, Provider, ProviderError, Sealed as _};
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// Seconds after which to ask again where too much is asked of a provider.
const BUSY_SECONDS: u64 = 5;

/// A browser that is sent to a provider.
pub(crate) struct SentAway {
    pub(crate) url: String,
    /// What its cookie keeps until it comes back.
    pub(crate) sealed: String,
}

/// A browser that came back.
pub(crate) struct CameBack<'a> {
    /// What its cookie kept.
    pub(crate) sealed: &'a str,
    pub(crate) state: &'a str,
    pub(crate) code: &'a str,
    /// Whom the answer says it is of (RFC 9207).
    pub(crate) issuer: Option<&'a str>,
}

/// What coming back came to.
pub(crate) enum CameIn {
    /// A session began.
    SignedIn(Box<SignedIn>),
    /// The user who asked for it is bound to whom the provider named.
    Bound,
}

/// From what, and where, somebody signs in.
#[derive(Clone, Copy)]
pub(crate) struct Where<'a> {
    pub(crate) device: &'a str,
    pub(crate) from: Option<Address>,
}

pub(super) fn no_such_provider() -> Problem {
    Problem::parameter("provider", "there is no such provider: GET /api/v1/auth/oidc lists them")
}

/// A sign-in that is none of this cluster's, or of this browser's, or is over.
pub(super) fn not_ours() -> Problem {
    Problem::new(Kind::Forbidden, "this sign-in did not begin here, was used, or took too long: begin again")
}

/// What a provider did wrong is the log's; who signs in learns that it did.
pub(super) fn failed(provider: &Provider, error: &ProviderError) -> Problem {
    tracing::warn!(
        provider = provider.name(),
        error = error as &dyn std::error::Error,
        "no sign-in at a provider"
    );
    match error {
        ProviderError::Refused(_) | ProviderError::Token(_) => {
            Problem::new(Kind::Forbidden, error.to_string())
        }
        ProviderError::Busy => too_many("too many sign in at the provider at this moment", BUSY_SECONDS),
        error => Problem::new(Kind::ProviderFailed, error.to_string()),
    }
}

/// Who somebody at a provider is, wherever they come from.
pub(super) fn identity_of(provider: &Provider, claims: &Claims) -> Identity {
    Identity { issuer: provider.issuer().into(), subject: claims.sub.clone() }
}

fn hash_of(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

impl Accounts {
    /// Names of all providers.
    pub(crate) fn providers(&self) -> Vec<String> {
        self.providers.names().map(str::to_owned).collect()
    }

    /// Sends a browser to a provider.
    ///
    /// # Errors
    /// `invalid-parameter` for a provider that is none, `provider-failed` when it cannot be asked where.
    pub(crate) async fn send_away(&self, provider: &str) -> Result<SentAway, Problem> {
        self.send_away_for(provider, None).await
    }

    /// The same; `binds`: who asks to be bound to whom the provider names, and in which session.
    pub(super) async fn send_away_for(
        &self,
        provider: &str,
        binds: Option<(UserId, CredentialId)>,
    ) -> Result<SentAway, Problem> {
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        let text = || URL_SAFE_NO_PAD.encode(random::<32>(&*self.surroundings));
        let pending = Pending {
            provider: provider.name().into(),
            state: text(),
            nonce: text(),
            verifier: text(),
            until_unix_ms: self.now().saturating_add(PENDING_MS),
            binds,
        };
        let challenge = URL_SAFE_NO_PAD.encode(hash_of(&pending.verifier));
        let asked = (pending.state.as_str(), pending.nonce.as_str(), challenge.as_str());
        let url = provider.authorization_url(asked, self.now()).await;
        let url = url.map_err(|error| failed(&provider, &error))?;
        let sealed = pending.seal(&self.secret, &random(&*self.surroundings)).ok_or_else(not_ours)?;
        Ok(SentAway { url, sealed })
    }

    /// Takes the browser in that a provider sent back: the one that was sent away, once.
    ///
    /// # Errors
    /// `forbidden` for another browser's or an old sign-in, and for who may not become a user.
    pub(crate) async fn come_back(
        &self,
        provider: &str,
        CameBack { sealed, state, code, issuer }: CameBack<'_>,
        place: Where<'_>,
        note: &Note,
    ) -> Result<CameIn, Problem> {
        let pending = Pending::open(sealed, &self.secret, self.now()).ok_or_else(not_ours)?;
        let same = bool::from(pending.state.as_bytes().ct_eq(state.as_bytes()));
        if !same || pending.provider != provider {
            return Err(not_ours());
        }
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        if issuer.is_some_and(|issuer| issuer != provider.issuer()) {
            return Err(not_ours());
        }
        // Each has a name of its own, so an address's attempts alone are counted.
        let begun = self.attempt(&pending.state, place.from)?;
        let claims = provider.exchange((code, &pending.verifier, &pending.nonce), self.now()).await;
        let claims = claims.map_err(|error| failed(&provider, &error))?;
        // Only who was signed in there comes here, so that strangers fill no table.
        let fresh =
            self.catalog.use_state((pending.until_unix_ms, hash_of(&pending.state)), self.now()).await;
        if !fresh.map_err(refusals::catalog)? {
            return Err(not_ours());
        }
        self.throttle.succeeded((&pending.state, address_of(place.from)), begun);
        match pending.binds {
            Some(asks) => self.bind((&provider, &claims), asks, note).await.map(|()| CameIn::Bound),
            None => {
                let signed_in = self.sign_in_as((&provider, &claims), place, note).await?;
                Ok(CameIn::SignedIn(Box::new(signed_in)))
            }
        }
    }

    /// Begins the session of whom a provider vouches for.
    pub(super) async fn sign_in_as(
        &self,
        (provider, claims): (&Provider, &Claims),
        Where { device, from }: Where<'_>,
        note: &Note,
    ) -> Result<SignedIn, Problem> {
        note.count();
        note.detail(format!("provider={}", provider.name()));
        let identity = identity_of(provider, claims);
        let known = self.catalog.user_of_identity(&identity).await.map_err(refusals::catalog)?;
        let user = match known {
            Some(user) => user,
            None => self.newcomer((provider, claims), &identity).await?,
        };
        note.actor(Actor::not(Some(&user)));
        if user.disabled {
            return Err(refused());
        }
        let user = self.with_role_of((provider, claims), user, note).await?;
        let device = cut(device, CREDENTIAL_NAME_BYTES_MAX).to_owned();
        let lasting = Lasting { kind: CredentialKind::Session { device }, for_ms: SESSION_MS };
        let session = self.fresh_credential(user.id, lasting, from);
        note.actor(Actor::user(&user, session.id.to_string()));
        let new = (session.id, &session.credential);
        match self.catalog.add_session_of((user.id, &identity), new, self.now()).await {
            Ok(()) => Ok(SignedIn { user, session }),
            Err(CredentialError::Superseded) => Err(refused()),
            Err(error) => Err(not_kept(error)),
        }
    }

    /// The user with the role that the claims give, where the settings have it of them.
    async fn with_role_of(
        &self,
        (provider, claims): (&Provider, &Claims),
        user: User,
        note: &Note,
    ) -> Result<User, Problem> {
        let Some(role) = provider.role_of(claims).filter(|role| *role != user.role) else { return Ok(user) };
        let taken = self.catalog.take_role(user.id, role).await.map_err(refusals::catalog)?;
        let user = taken.ok_or_else(refused)?;
        let stays = if user.role == role { "" } else { " (stays: no other administrator is left)" };
        note.detail(format!("provider={} role={}{stays}", provider.name(), user.role.as_str()));
        Ok(user)
    }

    /// Makes whoever comes for the first time a user, if the cluster lets them.
    async fn newcomer(
        &self,
        (provider, claims): (&Provider, &Claims),
        identity: &Identity,
    ) -> Result<User, Problem> {
        let registration = self.catalog.registration().await.map_err(refusals::catalog)?;
        if !provider.registers() && registration != Registration::Open {
            let detail = "you are bound to no user of this cluster: sign in with your password and bind yourself \
                          (POST /api/v1/auth/identities/PROVIDER), or ask an administrator";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        let role = provider.role_of(claims).unwrap_or(Role::Member);
        for name in names_for(provider.name(), claims, identity) {
            let Ok(user) = self.fresh(NewUser { name, email: None, role }) else { continue };
            match self.catalog.create_user_of(&user, identity).await {
                Ok(()) => return Ok(user),
                Err(UserError::Taken(_)) => {
                    // Perhaps by the same person, at another gateway at this moment.
                    let known = self.catalog.user_of_identity(identity).await.map_err(refusals::catalog)?;
                    if let Some(user) = known {
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
    let said = claims.more.get("preferred_username").and_then(|said| said.as_str());
    let [a, b, c, d, e, f, ..] = hash_of(&format!("{}\n{}", identity.issuer, identity.subject));
    let made = format!("{provider}-{}", hex::encode([a, b, c, d, e, f]));
    said.into_iter().chain([made.as_str()]).filter_map(|name| name.parse().ok()).collect()
}
