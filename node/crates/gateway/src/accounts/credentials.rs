//! What stands for a user. Its row is read for each request, so what was ended is refused at once, at every gateway.

use datamesh_catalog::catalog::{KeyFor, KnownCredential, Proven};
use datamesh_catalog::{
    Account, Credential, CredentialId, CredentialKind, PasswordHash, Role, Scope, Shown, User, UserId,
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::secrets::{Presented, prefix_of};
use super::{Accounts, DAY_MS, OPERATOR, no_account, not_kept};
use crate::auth::{Address, Principal, Via, Who};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// A use is noted when the last one noted is so long ago: a write for each request would cost more than the request.
const NOTED_EVERY_MS: u64 = 5 * 60 * 1000;
/// Days a token lasts at most.
pub(crate) const TOKEN_DAYS_MAX: u64 = 366;
/// How long a code to choose a password, and an invitation, count.
const RESET_MS: u64 = DAY_MS;
const INVITE_MS: u64 = 7 * DAY_MS;

/// What is wanted of a credential, and for how long.
pub(super) struct Lasting {
    pub(super) kind: CredentialKind,
    pub(super) for_ms: u64,
}

/// A credential that was just made: the one time its text is shown.
pub(crate) struct Made {
    pub(crate) id: CredentialId,
    pub(crate) text: Zeroizing<String>,
    pub(crate) credential: Credential,
}

/// A credential whose secret was shown.
pub(super) struct Known {
    pub(super) owner: UserId,
    pub(super) id: CredentialId,
    pub(super) credential: Credential,
    /// Whose it is; none: the operator's.
    pub(super) account: Option<Account>,
}

/// What somebody has just shown in their session for what outlives it. The commit that keeps that looks for it again.
pub(crate) struct Proof {
    pub(crate) user: User,
    session: CredentialId,
    password: PasswordHash,
    factor: Option<Shown>,
}

impl Proof {
    fn proven(&self) -> Proven<'_> {
        Proven { password: &self.password, factor: self.factor.as_ref() }
    }

    /// For a key pair of their own.
    pub(crate) fn for_key(&self) -> KeyFor<'_> {
        KeyFor::Themselves { user: self.user.id, proven: self.proven(), asks: self.session }
    }
}

/// What is wanted of a token.
pub(crate) struct NewToken {
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) days: u64,
}

impl Accounts {
    /// Makes a credential and keeps it.
    pub(super) async fn add(
        &self,
        user: UserId,
        Lasting { kind, for_ms }: Lasting,
        from: Option<Address>,
    ) -> Result<Made, Problem> {
        let made = self.fresh_credential(user, Lasting { kind, for_ms }, from);
        let added = self.catalog.add_credential(user, (made.id, &made.credential), self.now()).await;
        added.map_err(not_kept)?;
        Ok(made)
    }

    /// Makes a credential that is kept nowhere yet.
    pub(super) fn fresh_credential(
        &self,
        user: UserId,
        Lasting { kind, for_ms }: Lasting,
        from: Option<Address>,
    ) -> Made {
        let presented = Presented::fresh(prefix_of(&kind), user, &*self.surroundings);
        let now_unix_ms = self.now();
        let credential = Credential {
            hash: presented.hash(&self.secret),
            kind,
            created_unix_ms: now_unix_ms,
            used_unix_ms: now_unix_ms,
            until_unix_ms: now_unix_ms.saturating_add(for_ms),
            address: from.map(|Address(address)| address.to_string()).unwrap_or_default(),
        };
        Made { id: presented.id, text: presented.text(), credential }
    }

    /// What a text stands for, now; `None` when nothing.
    pub(super) async fn known(&self, text: &str) -> Result<Option<Known>, Problem> {
        let Some(presented) = Presented::read(text) else { return Ok(None) };
        let (owner, id) = (presented.user, presented.id);
        let Some((credential, account)) =
            self.catalog.credential(owner, id).await.map_err(refusals::catalog)?
        else {
            return Ok(None);
        };
        let right: bool = presented.hash(&self.secret).ct_eq(&credential.hash).into();
        let counts = right
            && presented.prefix == prefix_of(&credential.kind)
            && credential.until_unix_ms > self.now()
            && (account.is_some() || owner == OPERATOR);
        Ok(counts.then_some(Known { owner, id, credential, account }))
    }

    /// Who a session or token stands for, now; `None` when nobody.
    pub(crate) async fn authenticate(
        &self,
        text: &str,
        from: Option<Address>,
    ) -> Result<Option<Principal>, Problem> {
        let Some(Known { owner, id, credential, account: Some(account) }) = self.known(text).await? else {
            return Ok(None);
        };
        if account.user.disabled {
            return Ok(None);
        }
        let via = match credential.kind {
            CredentialKind::Session { .. } => Via::Session(id),
            CredentialKind::Token { scopes, .. } => Via::Token { id, scopes },
            CredentialKind::Reset | CredentialKind::Invite { .. } => return Ok(None),
        };
        let now_unix_ms = self.now();
        if now_unix_ms.saturating_sub(credential.used_unix_ms) >= NOTED_EVERY_MS {
            let address = from.map(|Address(address)| address.to_string()).unwrap_or_default();
            if let Err(error) = self.catalog.touch_credential(owner, id, (now_unix_ms, &address)).await {
                // The request may pass: what is lost is a time in a list.
                tracing::warn!(%error, "cannot note that a credential was used");
            }
        }
        let role = account.role();
        Ok(Some(Principal { who: Who::User { id: account.user.id, name: account.user.name }, via, role }))
    }

    /// Makes a token for the user who asks, if they prove their password, and a second factor that counts: it outlives their session.
    ///
    /// # Errors
    /// `forbidden` for a wrong password, `second-factor-required` where no code came or a wrong one.
    pub(crate) async fn make_token(
        &self,
        principal: &Principal,
        new: NewToken,
        (password, code): (Zeroizing<String>, Option<&str>),
        from: Option<Address>,
    ) -> Result<Made, Problem> {
        let Via::Session(_) = principal.via else { return Err(no_account()) };
        let NewToken { name, mut scopes, days } = new;
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            let detail = format!("a token lasts 1 to {TOKEN_DAYS_MAX} days, not {days}");
            return Err(Problem::new(Kind::InvalidBody, detail).in_body("days"));
        }
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            let detail = "name what the token is for: read, write, administer";
            return Err(Problem::new(Kind::InvalidBody, detail).in_body("scopes"));
        }
        if scopes.contains(&Scope::Administer) && principal.role == Role::Member {
            let detail = "a member has nothing to administer, so neither has a token of one";
            return Err(Problem::new(Kind::Forbidden, detail).in_body("scopes"));
        }
        let proof = self.proof(principal, (password, code), from).await?;
        let user = proof.user.id;
        let lasting = Lasting { kind: CredentialKind::Token { name, scopes }, for_ms: days * DAY_MS };
        let made = self.fresh_credential(user, lasting, from);
        let new = (made.id, &made.credential);
        let added = self.catalog.add_token((user, proof.proven(), proof.session), new, self.now()).await;
        added.map_err(not_kept)?;
        Ok(made)
    }

    /// Has the user who asks prove their password, and a second factor that counts.
    ///
    /// # Errors
    /// `forbidden` for a wrong password, `second-factor-required` where no code came or a wrong one, `conflict` for who has no session.
    pub(crate) async fn proof(
        &self,
        principal: &Principal,
        (password, code): (Zeroizing<String>, Option<&str>),
        from: Option<Address>,
    ) -> Result<Proof, Problem> {
        let Via::Session(session) = principal.via else { return Err(no_account()) };
        let (user, password) = self.proven_again(principal, password, from).await?;
        let factor = self.shown(&user, code).await?;
        Ok(Proof { user, session, password, factor })
    }

    /// Makes the code by which a user chooses a password, once.
    pub(super) async fn make_reset(&self, user: UserId, from: Option<Address>) -> Result<Made, Problem> {
        self.add(user, Lasting { kind: CredentialKind::Reset, for_ms: RESET_MS }, from).await
    }

    /// Makes the code by which somebody becomes a user of a role, once.
    pub(crate) async fn invite(
        &self,
        principal: &Principal,
        role: Role,
        from: Option<Address>,
    ) -> Result<Made, Problem> {
        let host = match principal.who {
            Who::User { id, .. } => id,
            Who::Holder(_) => OPERATOR,
        };
        self.add(host, Lasting { kind: CredentialKind::Invite { role }, for_ms: INVITE_MS }, from).await
    }

    /// What stands for the user who asks and still counts.
    pub(crate) async fn credentials(&self, principal: &Principal) -> Result<Vec<KnownCredential>, Problem> {
        let Who::User { id, .. } = principal.who else { return Err(no_account()) };
        let mut known = self.catalog.credentials(id).await.map_err(refusals::catalog)?;
        known.retain(|known| known.credential.until_unix_ms > self.now());
        Ok(known)
    }

    /// Ends a session or token of the user who asks.
    pub(crate) async fn end(&self, principal: &Principal, id: &str) -> Result<(), Problem> {
        let none =
            || Problem::new(Kind::NoSuchCredential, "it has ended, or is somebody else's").in_parameter("id");
        let Who::User { id: user, .. } = principal.who else { return Err(no_account()) };
        let id = id.parse().map_err(|_| none())?;
        match self.catalog.end_credential(user, id).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(none()),
        }
    }
}
