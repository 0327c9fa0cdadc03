//! Where mail reaches a user: what an administrator set, or what they claimed and then proved to read by a code that was mailed there.

use std::sync::Arc;

use datamesh_catalog::catalog::Claimant;
use datamesh_catalog::{AddressCode, CredentialId, User};
use subtle::ConstantTimeEq as _;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use super::mailed_reset::{MAILED_MS, Post};
use super::passwords::too_many;
use super::secrets::{ADDRESS_PREFIX, Presented};
use super::sign_in::address_of;
use super::{Accounts, no_account, not_kept, not_made, superseded};
use crate::audit::{Actor, Note};
use crate::auth::{Address, Principal, Via};
use crate::mail::is_address;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// Seconds after which to ask again where too many mails are under way.
const BUSY_SECONDS: u64 = 5;

/// An address that somebody claims, the code that is mailed there, and room to mail it.
pub(crate) struct Claimed {
    user: User,
    to: String,
    id: CredentialId,
    text: Zeroizing<String>,
    place: OwnedSemaphorePermit,
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
        let place = place_at(post)?;
        let claimant = Claimant { user: user.id, password: &proven, asks: Some(session) };
        let claimed = self.claim((&user, claimant), email, place).await?;
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
        (user, claimant): (&User, Claimant<'_>),
        email: String,
        place: OwnedSemaphorePermit,
    ) -> Result<Claimed, Problem> {
        let presented = Presented::fresh(ADDRESS_PREFIX, user.id, &*self.surroundings);
        let hash = presented.hash(&self.secret);
        let code =
            AddressCode { hash, email: email.clone(), until_unix_ms: self.now().saturating_add(MAILED_MS) };
        let kept = self.catalog.add_address_code(claimant, (presented.id, &code), self.now()).await;
        kept.map_err(not_kept)?;
        let (id, text) = (presented.id, presented.text());
        Ok(Claimed { user: user.clone(), to: email, id, text, place })
    }

    /// Mails the code, behind the answer.
    pub(crate) async fn mail_claim(&self, Claimed { user, to, id, text, place }: Claimed) {
        let Some(post) = &self.post else { return };
        let mailed = self.mailed(post, &user, (&to, "Is this your address?", letter(&text))).await;
        drop(place);
        if mailed {
            return;
        }
        // Nobody can have read it: only so many may wait.
        if let Err(error) = self.catalog.end_address_code(user.id, id).await {
            tracing::warn!(user = %user.id, %error, "a code that was not mailed counts until it runs out");
        }
    }

    /// Has mail reach a user where a code was read, once.
    ///
    /// # Errors
    /// `forbidden` where the code was used, has run out or was never made.
    pub(crate) async fn confirm_email(&self, code: &str, note: &Note) -> Result<(), Problem> {
        let wrong = || {
            Problem::new(Kind::Forbidden, "the code was used, has run out or was never made").in_body("code")
        };
        let presented =
            Presented::read(code).filter(|code| code.prefix == ADDRESS_PREFIX).ok_or_else(wrong)?;
        let (owner, id) = (presented.user, presented.id);
        let found = self.catalog.address_code(owner, id).await.map_err(refusals::catalog)?;
        let (known, user) = found.ok_or_else(wrong)?;
        let right = bool::from(presented.hash(&self.secret).ct_eq(&known.hash));
        if !right || known.until_unix_ms <= self.now() {
            return Err(wrong());
        }
        note.actor(Actor { credential: id.to_string(), ..Actor::not(Some(&user)) });
        note.count();
        let confirmed = self.catalog.confirm_email(owner, id).await.map_err(refusals::catalog)?;
        let user = confirmed.ok_or_else(wrong)?;
        note.actor(Actor::user(&user, id.to_string()));
        Ok(())
    }
}

/// Room for one more mail: a code that could not be sent must not be promised.
pub(super) fn place_at(post: &Post) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = |_| too_many("as many mails as may be are under way", BUSY_SECONDS);
    Arc::clone(&post.places).try_acquire_owned().map_err(busy)
}

/// Has no word of whoever asked for it: it may go to anybody.
fn letter(code: &str) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "Somebody, probably you, says that mail for their account at a DataMesh cluster comes here.\n\n\
         This code says that it does, once, within an hour:\n\n{code}\n\n\
         Run: datamesh email --confirm\n\n\
         If it was not you, do nothing: no more mail comes.\n"
    ))
}
