//! A code to choose a password, by mail to the address of the account. Who asks learns nothing: the answer is there before anybody looks
//! whether there is such a user, and the same either way.

use std::sync::Arc;

use datamesh_catalog::catalog::CredentialError;
use datamesh_catalog::{CredentialKind, User, UserName};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::credentials::Lasting;
use super::passwords::too_many;
use super::sign_in::address_of;
use super::throttle::Throttle;
use super::{Accounts, Made, not_kept};
use crate::audit::{Audit, Deed};
use crate::auth::Address;
use crate::mail::Mailer;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// How long a code that was mailed counts: mailboxes are read by others sooner or later.
pub(super) const MAILED_MS: u64 = 3_600_000;
/// Mails under way at most.
const MAILS_AT_ONCE: usize = 16;

/// What sends codes, and how often it was asked to.
pub(super) struct Post {
    pub(super) mailer: Mailer,
    /// Not that of sign-in: who asks for a code goes on to use it.
    pub(super) throttle: Throttle,
    pub(super) places: Arc<Semaphore>,
}

impl Post {
    pub(super) fn new(mailer: Mailer) -> Self {
        Self { mailer, throttle: Throttle::default(), places: Arc::new(Semaphore::new(MAILS_AT_ONCE)) }
    }
}

/// A code that may be asked for.
pub(crate) struct AskedReset {
    name: UserName,
    from: Option<Address>,
}

impl Accounts {
    /// Begins to ask for a code for a name, unless too many were asked for.
    ///
    /// # Errors
    /// `conflict` where the cluster sends no mail, `too-many-requests` with the time to wait.
    pub(crate) fn ask_reset(&self, name: UserName, from: Option<Address>) -> Result<AskedReset, Problem> {
        let none =
            || Problem::new(Kind::Conflict, "this cluster sends no mail: ask an administrator for a code");
        let post = self.post.as_ref().ok_or_else(none)?;
        let begun = post.throttle.begin(&name.folded(), address_of(from), self.now());
        begun.map_err(|seconds| too_many("too many codes were asked for from your address", seconds))?;
        Ok(AskedReset { name, from })
    }

    /// Does it, if there is such a user who has an address: behind the answer. Failures are the log's, without a name or an address.
    /// Where too many are under way it is dropped here, and not before the answer, which would tell who holds the places: who exists.
    pub(crate) async fn mail_reset(&self, AskedReset { name, from }: AskedReset, audit: &Audit) {
        let Some(post) = &self.post else { return };
        let Ok(_place) = post.places.try_acquire() else { return too_many_mails() };
        match self.code_to_mail(&name, from).await {
            Ok(Some((user, to, made))) => {
                tell_of(audit, (&user, &made), from).await;
                let text = letter(&post.mailer, &user.name, &made);
                if !self.mailed(post, &user, (&to, "Choose a password", text)).await {
                    self.forget(&user, &made).await;
                }
            }
            Ok(None) => {}
            Err(problem) => {
                tracing::warn!(problem = problem.detail(), "no code to choose a password was made")
            }
        }
    }

    async fn code_to_mail(
        &self,
        name: &UserName,
        from: Option<Address>,
    ) -> Result<Option<(User, String, Made)>, Problem> {
        let user = self.catalog.user_of(name).await.map_err(refusals::catalog)?;
        let Some(user) = user else { return Ok(None) };
        let Some(to) = user.email.clone() else { return Ok(None) };
        let lasting = Lasting { kind: CredentialKind::Reset, for_ms: MAILED_MS };
        let made = self.fresh_credential(user.id, lasting, from);
        let new = (made.id, &made.credential);
        match self.catalog.add_mailed_code((user.id, &to), new, self.now()).await {
            Ok(()) => Ok(Some((user, to, made))),
            // Disabled, without a password or with codes enough: an administrator's code is theirs to use.
            Err(CredentialError::NoUser | CredentialError::Superseded | CredentialError::Invalid(_)) => {
                Ok(None)
            }
            Err(error) => Err(not_kept(error)),
        }
    }

    /// Mails a code; failures are the log's, without a name or an address. Whether it went.
    pub(super) async fn mailed(
        &self,
        post: &Post,
        user: &User,
        (to, subject, text): (&str, &str, Zeroizing<String>),
    ) -> bool {
        let sent = post.mailer.send(to, subject, text).await;
        match &sent {
            Ok(()) => tracing::info!(user = %user.id, "a code was mailed"),
            Err(error) => tracing::warn!(user = %user.id, %error, "a code could not be mailed"),
        }
        sent.is_ok()
    }

    /// Has a code that nobody can have read count no more: only so many may wait.
    async fn forget(&self, user: &User, made: &Made) {
        if let Err(error) = self.catalog.end_credential(user.id, made.id).await {
            tracing::warn!(user = %user.id, %error, "a code that was not mailed counts until it runs out");
        }
    }
}

/// Says that a mail was dropped.
fn too_many_mails() {
    tracing::warn!(mails = MAILS_AT_ONCE, "as many mails as may be are under way: a code was not sent");
}

/// Has the audit say that a code was made, and for whom: nobody waits for it who could measure it.
async fn tell_of(audit: &Audit, (user, made): (&User, &Made), from: Option<Address>) {
    let from = from.map(|Address(address)| format!(" from={address}")).unwrap_or_default();
    let deed = Deed {
        actor: "unknown:",
        action: "POST /api/v1/auth/reset/mail",
        target: format!("/api/v1/admin/users/{}", user.name),
        detail: format!("code={}{from}", made.id),
    };
    if let Err(error) = audit.write(deed).await {
        tracing::error!(%error, "the audit's entry of a code that is mailed is not written down yet");
    }
}

fn letter(mailer: &Mailer, name: &UserName, made: &Made) -> Zeroizing<String> {
    let code = made.text.as_str();
    let mut text = Zeroizing::new(format!(
        "Somebody, probably you, asked for a new password for {name}.\n\n\
         This code lets you choose one, once, within an hour:\n\n{code}\n\n"
    ));
    match mailer.link_base() {
        Some(page) => text.push_str(&format!(
            "Open this page:\n\n{page}#code={code}\n\nOr run: datamesh login {name} --code\n\n"
        )),
        None => text.push_str(&format!("Run: datamesh login {name} --code\n\n")),
    }
    text.push_str("If it was not you, do nothing: your password stays what it is.\n");
    text
}
