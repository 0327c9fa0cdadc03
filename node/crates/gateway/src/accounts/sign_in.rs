//! Signing in, and choosing another password.

use std::net::{IpAddr, Ipv4Addr};

use datamesh_catalog::catalog::Ends;
use datamesh_catalog::limits::CREDENTIAL_NAME_BYTES_MAX;
use datamesh_catalog::{CredentialId, CredentialKind, User, UserName};
use zeroize::Zeroizing;

use super::credentials::Lasting;
use super::passwords::too_many;
use super::{Accounts, DAY_MS, Made, OPERATOR, cut, no_account, no_such_user};
use crate::auth::{Address, Principal, Via, Who};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// How long a session lasts.
const SESSION_MS: u64 = 30 * DAY_MS;

/// Somebody who says who they are.
pub(crate) struct SignIn<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: Zeroizing<String>,
    /// What their program calls itself.
    pub(crate) device: &'a str,
    pub(crate) from: Option<Address>,
}

/// Somebody who has proven it.
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) session: Made,
}

fn refused() -> Problem {
    Problem::new(Kind::Unauthorized, "the name or the password is wrong, or the account is disabled")
}

impl Accounts {
    /// Signs somebody in. That there is no such user is not to be seen, nor to be measured.
    ///
    /// # Errors
    /// `unauthorized`, or `too-many-requests` with the time to wait.
    pub(crate) async fn sign_in(&self, asked: SignIn<'_>) -> Result<SignedIn, Problem> {
        let SignIn { name, password, device, from } = asked;
        let address = address_of(from);
        let name = name.parse::<UserName>().map_err(|_| refused())?;
        self.attempt(&name.folded(), from)?;
        let known = self.find(&name).await?;
        let hash = known.as_ref().and_then(|user| user.password.clone());
        let right = self.passwords.verify(password, hash).await?;
        let Some(user) = known else { return Err(refused()) };
        if !right {
            self.count_failure(&user);
            return Err(refused());
        }
        self.throttle.succeeded(&name.folded(), address);
        if user.disabled {
            return Err(refused());
        }
        if user.failed_sign_ins > 0 {
            self.catalog
                .change_user(user.id, |user| user.failed_sign_ins = 0)
                .await
                .map_err(refusals::catalog)?;
        }
        let device = cut(device, CREDENTIAL_NAME_BYTES_MAX).to_owned();
        let lasting = Lasting { kind: CredentialKind::Session { device }, for_ms: SESSION_MS };
        let session = self.add(user.id, lasting, from).await?;
        Ok(SignedIn { user, session })
    }

    /// The user of a name, with as many reads whether there is one or not.
    async fn find(&self, name: &UserName) -> Result<Option<User>, Problem> {
        match self.catalog.user_of(name).await.map_err(refusals::catalog)? {
            Some(user) => Ok(Some(user)),
            None => self.catalog.user(OPERATOR).await.map_err(refusals::catalog),
        }
    }

    /// The name, if it is a user's: what else people type for one may be their password, and is written down nowhere.
    pub(crate) async fn known_name(&self, name: &str) -> Option<UserName> {
        let name = name.parse::<UserName>().ok()?;
        self.find(&name).await.ok().flatten().map(|user| user.name)
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
    pub(super) fn attempt(&self, name: &str, from: Option<Address>) -> Result<(), Problem> {
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
        self.attempt(&user.name.folded(), from)?;
        if !self.passwords.verify(old, user.password).await? {
            return Err(Problem::new(Kind::Forbidden, "the old password is wrong").field("old"));
        }
        self.throttle.succeeded(&user.name.folded(), address_of(from));
        let hash = self.passwords.hash(new).await?;
        let ends = (Ends::SessionsBut(session), None);
        match self.catalog.set_password(user.id, Some(hash), ends).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(no_such_user()),
        }
    }

    /// Takes a password by a code that counts once; all that stood for the user ends with it. Gives the user's name.
    ///
    /// # Errors
    /// `forbidden` where the code was used, has run out or was never made.
    pub(crate) async fn reset_password(
        &self,
        code: &str,
        new: Zeroizing<String>,
        from: Option<Address>,
    ) -> Result<UserName, Problem> {
        let wrong = || {
            Problem::new(Kind::Forbidden, "the code was used, has run out or was never made").field("code")
        };
        let known = self.known(code).await?.ok_or_else(wrong)?;
        let (CredentialKind::Reset, Some(user)) = (known.credential.kind, known.user) else {
            return Err(wrong());
        };
        // A hash is made for whoever has a code alone: strangers cost no more than a look.
        self.attempt(&user.name.folded(), from)?;
        let hash = self.passwords.hash(new).await?;
        let ends: (Ends, Option<CredentialId>) = (Ends::All, Some(known.id));
        if !self.catalog.set_password(user.id, Some(hash), ends).await.map_err(refusals::catalog)? {
            return Err(wrong());
        }
        self.throttle.succeeded(&user.name.folded(), address_of(from));
        Ok(user.name)
    }
}

/// Requests that came over no connection count as one address.
fn address_of(from: Option<Address>) -> IpAddr {
    from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Address(address)| address)
}
