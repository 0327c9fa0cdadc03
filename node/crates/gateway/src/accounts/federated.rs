//! Signing in at a provider of OpenID Connect. Who somebody is, issuer and subject say together and nothing else: an address of mail may
//! change hands, and a name is the provider's to give.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::catalog::{CredentialError, Standing};
use datamesh_catalog::limits::CREDENTIAL_NAME_BYTES_MAX;
use datamesh_catalog::{CredentialKind, Identity};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use super::credentials::Lasting;
use super::identities::Met;
use super::passwords::too_many;
use super::sign_in::{SESSION_MS, address_of};
use super::throttle::Begun;
use super::{Accounts, SignedIn, cut, not_kept};
use crate::audit::{Actor, Note};
use crate::auth::Address;
use crate::objects::refusals;
use crate::oidc::{Binds, Claims, PENDING_MS, Pending, Provider, ProviderError, Sealed as _};
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
    Bound(Met),
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

/// Who it is, as entries of the audit have it: a subject is printable.
pub(super) fn described(provider: &Provider, identity: &Identity) -> String {
    format!("provider={} subject={}", provider.name(), identity.subject)
}

pub(super) fn unknown_or_disabled() -> Problem {
    Problem::new(Kind::Unauthorized, "the account is disabled, or was unbound at this moment")
}

/// Who was a user until their password was reset, or a second factor asked for: somebody new by that they must not be.
fn ended() -> Problem {
    let detail = "you are bound to your user no more, for the password or second factor is another: sign in by those and bind yourself \
                  anew (POST /api/v1/auth/identities/PROVIDER), or ask an administrator";
    Problem::new(Kind::Forbidden, detail)
}

pub(super) fn hash_of(text: &str) -> [u8; 32] {
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

    /// The same; `binds`: who asks to be bound to whom the provider names.
    pub(super) async fn send_away_for(
        &self,
        provider: &str,
        binds: Option<Binds>,
    ) -> Result<SentAway, Problem> {
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        let text = || URL_SAFE_NO_PAD.encode(random::<32>(&*self.surroundings));
        let pending = Pending {
            issuer: provider.issuer().into(),
            state: text(),
            nonce: text(),
            verifier: text(),
            until_unix_ms: self.now().saturating_add(PENDING_MS),
            binds,
        };
        let challenge = URL_SAFE_NO_PAD.encode(hash_of(&pending.verifier));
        let asked = (pending.state.as_str(), pending.nonce.as_str(), challenge.as_str());
        // Who is signed in there already may be whoever used the browser before: that is nobody to be bound to.
        let url = provider.authorization_url(asked, binds.is_some(), &*self.surroundings).await;
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
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        let theirs = pending.issuer == provider.issuer();
        if !same || !theirs || issuer.is_some_and(|issuer| issuer != provider.issuer()) {
            return Err(not_ours());
        }
        // Each has a name of its own, so an address's attempts alone are counted.
        let begun = self.attempt_elsewhere(&pending.state, place.from)?;
        let exchanged = (code, pending.verifier.as_str(), pending.nonce.as_str());
        let claims = provider.exchange(exchanged, &*self.surroundings).await.map_err(|error| {
            if !error.is_refusal() {
                self.elsewhere.went_halfway(address_of(place.from), begun);
            }
            failed(&provider, &error)
        })?;
        // Only who was signed in there comes here, and who comes to nothing is an attempt of their address: strangers fill no table.
        let fresh =
            self.catalog.use_state((pending.until_unix_ms, hash_of(&pending.state)), self.now()).await;
        if !fresh.map_err(refusals::catalog)? {
            return Err(not_ours());
        }
        let came = match pending.binds {
            Some(binds) => CameIn::Bound(self.bind((&provider, &claims), binds, note).await?),
            None => {
                let signed_in = self.sign_in_as((&provider, &claims), place, note).await?;
                CameIn::SignedIn(Box::new(signed_in))
            }
        };
        self.elsewhere.succeeded((&pending.state, address_of(place.from)), begun);
        Ok(came)
    }

    /// Begins an attempt at a provider, unless too many from there came to nothing.
    pub(super) fn attempt_elsewhere(&self, name: &str, from: Option<Address>) -> Result<Begun, Problem> {
        let begun = self.elsewhere.begin(name, address_of(from), self.now());
        begun.map_err(|seconds| too_many("too many attempts from your address", seconds))
    }

    /// Begins the session of whom a provider vouches for.
    pub(super) async fn sign_in_as(
        &self,
        (provider, claims): (&Provider, &Claims),
        Where { device, from }: Where<'_>,
        note: &Note,
    ) -> Result<SignedIn, Problem> {
        let identity = identity_of(provider, claims);
        let who = described(provider, &identity);
        note.detail(who.clone());
        let user = match self.catalog.standing_of(&identity).await.map_err(refusals::catalog)? {
            Standing::Bound(user) => {
                note.count();
                self.known_there((provider, claims), (user, &identity), (note, &who)).await?
            }
            Standing::Ended => {
                note.count();
                return Err(ended());
            }
            Standing::Nobody => self.newcomer((provider, claims), &identity, (note, &who)).await?,
        };
        note.actor(Actor::not(Some(&user)));
        let device = cut(device, CREDENTIAL_NAME_BYTES_MAX).to_owned();
        let lasting = Lasting { kind: CredentialKind::Session { device }, for_ms: SESSION_MS };
        let session = self.fresh_credential(user.id, lasting, from);
        note.actor(Actor::user(&user, session.id.to_string()));
        let new = (session.id, &session.credential);
        match self.catalog.add_session_of((user.id, &identity), new, self.now()).await {
            Ok(()) => Ok(SignedIn { user, session }),
            Err(CredentialError::Superseded) => Err(unknown_or_disabled()),
            Err(error) => Err(not_kept(error)),
        }
    }
}
