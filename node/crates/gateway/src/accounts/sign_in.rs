//! Signing in, and choosing another password.

use std::net::{IpAddr, Ipv4Addr};

use datamesh_catalog::catalog::{By, CredentialError, Ends, Proven};
use datamesh_catalog::limits::CREDENTIAL_NAME_BYTES_MAX;
use datamesh_catalog::{CredentialKind, User, UserName};
use zeroize::Zeroizing;

use super::credentials::Lasting;
use super::passwords::too_many;
use super::throttle::Begun;
use super::{Accounts, DAY_MS, Made, OPERATOR, cut, no_account, not_kept, superseded};
use crate::audit::{Actor, Note};
use crate::auth::{Address, Principal, Via, Who};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// How long a session lasts.
pub(super) const SESSION_MS: u64 = 30 * DAY_MS;

/// Somebody who says who they are.
pub(crate) struct SignIn<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: Zeroizing<String>,
    /// A code of their second factor, if they sent one.
    pub(crate) code: Option<&'a str>,
    /// What their program calls itself.
    pub(crate) device: &'a str,
    pub(crate) from: Option<Address>,
}

/// Somebody who has proven it.
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) session: Made,
}

pub(super) fn refused() -> Problem {
    Problem::new(Kind::Unauthorized, "the name or the password is wrong, or the account is disabled")
}

impl Accounts {
    /// Signs somebody in. That there is no such user is not to be seen, nor to be measured.
    ///
    /// # Errors
    /// `unauthorized`, `second-factor-required`, or `too-many-requests` with the time to wait.
    pub(crate) async fn sign_in(&self, asked: SignIn<'_>, note: &Note) -> Result<SignedIn, Problem> {
        let SignIn { name, password, code, device, from } = asked;
        let address = address_of(from);
        let name = name.parse::<UserName>().map_err(|_| refused())?;
        let attempt = self.attempt(&name.folded(), from)?;
        let known = self.find(&name).await?;
        let hash = known.as_ref().and_then(|user| user.password.clone());
        let whose = known.as_ref().map_or(OPERATOR, |user| user.id);
        let right = self.passwords.verify(whose, password, hash.clone()).await?;
        note.actor(Actor::not(known.as_ref()));
        note.count();
        let (Some(user), Some(proven)) = (known, hash) else { return Err(refused()) };
        if !right {
            self.count_failure(&user);
            return Err(refused());
        }
        if user.disabled {
            self.throttle.succeeded((&name.folded(), address), attempt);
            return Err(refused());
        }
        let factor = match self.shown(&user, code).await {
            // Half a sign-in: wrong ones of the name are not forgotten for it, but it was none.
            Err(problem) if code.is_none() => {
                note.detail("the second factor is missing".into());
                self.throttle.went_halfway(address, attempt);
                return Err(problem);
            }
            Err(problem) => {
                note.detail("the second factor is wrong".into());
                if problem.kind() == Kind::SecondFactorRequired {
                    self.count_failure(&user);
                }
                return Err(problem);
            }
            Ok(shown) => shown,
        };
        self.throttle.succeeded((&name.folded(), address), attempt);
        let proven = Proven { password: &proven, factor: factor.as_ref() };
        let session = self.begin_session((&user, proven), device, from, note).await?;
        Ok(SignedIn { user, session })
    }

    /// Begins the session of a user who proved this, if it is theirs still.
    async fn begin_session(
        &self,
        (user, proven): (&User, Proven<'_>),
        device: &str,
        from: Option<Address>,
        note: &Note,
    ) -> Result<Made, Problem> {
        if user.failed_sign_ins > 0 {
            self.catalog
                .change_user(user.id, |user| user.failed_sign_ins = 0)
                .await
                .map_err(refusals::catalog)?;
        }
        let device = cut(device, CREDENTIAL_NAME_BYTES_MAX).to_owned();
        let lasting = Lasting { kind: CredentialKind::Session { device }, for_ms: SESSION_MS };
        let made = self.fresh_credential(user.id, lasting, from);
        note.actor(Actor::user(user, made.id.to_string()));
        let added =
            self.catalog.add_session((user.id, proven), (made.id, &made.credential), self.now()).await;
        match added {
            Ok(()) => Ok(made),
            Err(CredentialError::Superseded) => Err(refused()),
            Err(error) => Err(not_kept(error)),
        }
    }

    /// The user of a name, with as many reads whether there is one or not.
    async fn find(&self, name: &UserName) -> Result<Option<User>, Problem> {
        match self.catalog.user_of(name).await.map_err(refusals::catalog)? {
            Some(user) => Ok(Some(user)),
            None => self.catalog.user(OPERATOR).await.map_err(refusals::catalog),
        }
    }

    /// Notes a wrong password behind the answer, whose time would tell otherwise that there is such a user.
    fn count_failure(&self, user: &User) {
        let (catalog, id, now_unix_ms) = (self.catalog.clone(), user.id, self.now());
        drop(self.context.spawn_tail(async move {
            let count = move |user: &mut User| {
                user.failed_sign_ins = user.failed_sign_ins.saturating_add(1);
                user.last_failed_unix_ms = now_unix_ms;
            };
            if let Err(error) = catalog.change_user(id, count).await {
                tracing::warn!(%error, "cannot note that a password was wrong");
            }
        }));
    }

    /// Begins an attempt at a folded name, unless too many from there were wrong; nobody has the empty name.
    pub(super) fn attempt(&self, name: &str, from: Option<Address>) -> Result<Begun, Problem> {
        let begun = self.throttle.begin(name, address_of(from), self.now());
        begun.map_err(|seconds| too_many("too many attempts from your address", seconds))
    }

    /// Ends the session that asks.
    ///
    /// # Errors
    /// `conflict` for a token file: it is taken away by whoever runs the cluster.
    pub(crate) async fn sign_out(&self, principal: &Principal) -> Result<(), Problem> {
        let (Who::User { id, .. }, Via::Session(session)) = (&principal.who, &principal.via) else {
            return Err(no_account());
        };
        self.catalog.end_credential(*id, *session).await.map(drop).map_err(refusals::catalog)
    }

    /// Takes another password in the place of the old one; the user's other sessions end with it.
    ///
    /// # Errors
    /// `forbidden` where the old one is wrong.
    pub(crate) async fn change_password(
        &self,
        principal: &Principal,
        (old, new): (Zeroizing<String>, Zeroizing<String>),
        from: Option<Address>,
    ) -> Result<(), Problem> {
        let user = self.myself(principal).await?;
        let Via::Session(session) = principal.via else { return Err(no_account()) };
        // Whoever found an open session must not find the password out by it.
        let attempt = self.attempt(&user.name.folded(), from)?;
        let Some(proven) = user.password.clone() else { return Err(superseded()) };
        if !self.passwords.verify(user.id, old, user.password).await? {
            return Err(Problem::new(Kind::Forbidden, "the old password is wrong").in_body("old"));
        }
        self.throttle.succeeded((&user.name.folded(), address_of(from)), attempt);
        let hash = self.passwords.hash(user.id, new).await?;
        let ends = (Ends::SessionsBut(session), By::Password(proven));
        match self.catalog.set_password(user.id, Some(hash), ends).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(superseded()),
        }
    }

    /// Takes a password by a code that counts once; all that stood for the user ends with it.
    ///
    /// # Errors
    /// `forbidden` where the code was used, has run out or was never made.
    pub(crate) async fn reset_password(
        &self,
        code: &str,
        new: Zeroizing<String>,
        (from, note): (Option<Address>, &Note),
    ) -> Result<(), Problem> {
        let wrong = || {
            Problem::new(Kind::Forbidden, "the code was used, has run out or was never made").in_body("code")
        };
        let known = self.known(code).await?.ok_or_else(wrong)?;
        let (CredentialKind::Reset, Some(user)) =
            (known.credential.kind, known.account.map(|account| account.user))
        else {
            return Err(wrong());
        };
        // A hash is made for whoever has a code alone: strangers cost no more than a look.
        let attempt = self.attempt(&user.name.folded(), from)?;
        let hash = self.passwords.hash(user.id, new).await?;
        note.actor(Actor { credential: known.id.to_string(), ..Actor::not(Some(&user)) });
        note.count();
        let ends = (Ends::All, By::Code(known.id));
        if !self.catalog.set_password(user.id, Some(hash), ends).await.map_err(refusals::catalog)? {
            return Err(wrong());
        }
        note.actor(Actor::user(&user, known.id.to_string()));
        self.throttle.succeeded((&user.name.folded(), address_of(from)), attempt);
        Ok(())
    }
}

/// Requests that came over no connection count as one address.
pub(super) fn address_of(from: Option<Address>) -> IpAddr {
    from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Address(address)| address)
}
