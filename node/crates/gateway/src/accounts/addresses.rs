//! Where mail reaches a user: what an administrator set, or what they claimed and then proved to read by a code that was mailed there.

use datamesh_catalog::{CredentialId, CredentialKind, PasswordHash, User};
use zeroize::Zeroizing;

use super::credentials::Lasting;
use super::mailed_reset::{MAILED_MS, Post, too_many_mails};
use super::passwords::too_many;
use super::sign_in::address_of;
use super::{Accounts, Made, no_account, not_kept, not_made, superseded};
use crate::audit::{Actor, Note};
use crate::auth::{Address, Principal, Via};
use crate::mail::is_address;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// An address that somebody claims, and the code that is mailed there.
pub(crate) struct Claimed {
    user: User,
    to: String,
    made: Made,
}

/// An address that mail can have, or none where none is given.
pub(super) fn address(email: Option<String>) -> Result<Option<String>, Problem> {
    match email.filter(|email| !email.is_empty()) {
        Some(email) if !is_address(&email) => {
            let detail = "write an address that mail can have, like alice@example.org";
            Err(Problem::new(Kind::InvalidBody, detail).in_body("email"))
        }
        email => Ok(email),
    }
}

impl Accounts {
    /// The address that somebody claims, if there may be one: it could not be proven where the cluster sends no mail.
    pub(super) fn claimable(&self, email: Option<String>) -> Result<Option<(String, &Post)>, Problem> {
        let Some(email) = address(email)? else { return Ok(None) };
        let none = || {
            let detail = "this cluster sends no mail, so an address cannot be proven: leave it out; an administrator may set it";
            Problem::new(Kind::Conflict, detail).in_body("email")
        };
        Ok(Some((email, self.post.as_ref().ok_or_else(none)?)))
    }

    /// Says where mail reaches the user who asks, if they prove their password: from now on that it does nowhere, or once they have read
    /// what is mailed there.
    pub(crate) async fn change_email(
        &self,
        principal: &Principal,
        (email, password): (Option<String>, Zeroizing<String>),
        from: Option<Address>,
    ) -> Result<(User, Option<Claimed>), Problem> {
        let claimed = self.claimable(email)?;
        let (user, proven) = self.proven_again(principal, password, from).await?;
        let Via::Session(session) = principal.via else { return Err(no_account()) };
        let by = Some((&proven, session));
        let Some((email, post)) = claimed else {
            let set = self.catalog.set_email(user.id, None, by).await;
            return Ok((set.map_err(not_made)?.ok_or_else(superseded)?, None));
        };
        if user.email.as_ref() == Some(&email) {
            return Ok((user, None));
        }
        self.may_mail(post, &user, from)?;
        let claimed = self.claim((&user, by), email, from).await?;
        Ok((user, Some(claimed)))
    }

    /// Nobody has the cluster fill mailboxes of others.
    pub(super) fn may_mail(&self, post: &Post, user: &User, from: Option<Address>) -> Result<(), Problem> {
        let begun = post.throttle.begin(&user.name.folded(), address_of(from), self.now());
        begun
            .map(drop)
            .map_err(|seconds| too_many("too many codes were asked for from your address", seconds))
    }

    /// Makes the code by which a user proves an address.
    pub(super) async fn claim(
        &self,
        (user, by): (&User, Option<(&PasswordHash, CredentialId)>),
        email: String,
        from: Option<Address>,
    ) -> Result<Claimed, Problem> {
        let kind = CredentialKind::Address { email: email.clone() };
        let made = self.fresh_credential(user.id, Lasting { kind, for_ms: MAILED_MS }, from);
        let new = (made.id, &made.credential);
        self.catalog.add_address_code((user.id, by), new, self.now()).await.map_err(not_kept)?;
        Ok(Claimed { user: user.clone(), to: email, made })
    }

    /// Mails the code, behind the answer.
    pub(crate) async fn mail_claim(&self, Claimed { user, to, made }: Claimed) {
        let Some(post) = &self.post else { return };
        let Ok(_place) = post.places.try_acquire() else {
            too_many_mails();
            return self.forget(&user, &made).await;
        };
        self.mail_code((post, &user, &made), &to, ("Is this your address?", letter(&user, &made))).await;
    }

    /// Has mail reach a user where a code was read, once.
    ///
    /// # Errors
    /// `forbidden` where the code was used, has run out or was never made.
    pub(crate) async fn confirm_email(&self, code: &str, note: &Note) -> Result<(), Problem> {
        let wrong = || {
            Problem::new(Kind::Forbidden, "the code was used, has run out or was never made").in_body("code")
        };
        let known = self.known(code).await?.ok_or_else(wrong)?;
        let (CredentialKind::Address { .. }, Some(user)) = (known.credential.kind, known.user) else {
            return Err(wrong());
        };
        note.actor(Actor { credential: known.id.to_string(), ..Actor::not(Some(&user)) });
        note.count();
        let confirmed = self.catalog.confirm_email(user.id, known.id).await.map_err(refusals::catalog)?;
        let user = confirmed.ok_or_else(wrong)?;
        note.actor(Actor::user(&user, known.id.to_string()));
        Ok(())
    }
}

fn letter(user: &User, made: &Made) -> Zeroizing<String> {
    let (name, code) = (&user.name, made.text.as_str());
    Zeroizing::new(format!(
        "Somebody, probably you, says that mail for {name} comes here.\n\n\
         This code says that it does, once, within an hour:\n\n{code}\n\n\
         Run: datamesh email --confirm\n\n\
         If it was not you, do nothing: no more mail comes.\n"
    ))
}
