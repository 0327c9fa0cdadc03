//! Users as administrators see them, and how one becomes a user.

use datamesh_catalog::catalog::{By, Claimant, Ends};
use datamesh_catalog::{Account, CredentialId, CredentialKind, Registration, Role, User, UserId, UserName};
use zeroize::Zeroizing;

use super::addresses::{address, place_at};
use super::key_owners::FILE_OWNER;
use super::{Accounts, Claimed, Made, no_such_user, not_invited, not_made};
use crate::audit::{Actor, Note};
use crate::auth::Address;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// Names that the audit has for others, and whom keys act for that are no user's.
const RESERVED: [&str; 5] = ["operator", "user", FILE_OWNER, "unknown", "anonymous"];

/// Somebody whom an administrator makes a user.
pub(crate) struct NewUser {
    pub(crate) name: UserName,
    pub(crate) email: Option<String>,
    pub(crate) role: Role,
}

/// Somebody who becomes a user by themselves.
pub(crate) struct Registering<'a> {
    pub(crate) name: UserName,
    /// Theirs once they have read what is mailed there.
    pub(crate) email: Option<String>,
    pub(crate) password: Zeroizing<String>,
    pub(crate) invite: Option<&'a str>,
    pub(crate) from: Option<Address>,
}

/// What an administrator changes of a user.
pub(crate) struct Change {
    pub(crate) role: Option<Role>,
    /// Empty: mail reaches them nowhere.
    pub(crate) email: Option<String>,
    pub(crate) disabled: Option<bool>,
}

/// They are a user all the same, and may claim an address anew.
fn not_mailed(problem: Problem) {
    tracing::warn!(problem = problem.detail(), "no code was made for the address of who registered");
}

/// What came before is done: whoever sends it again as it is must not be told that nothing was.
fn half_done(problem: &Problem) -> Problem {
    tracing::error!(detail = problem.detail(), "a user has no code yet");
    let detail =
        format!("the user is as asked for, but has no code yet ({}): reset their password", problem.detail());
    Problem::new(Kind::Internal, detail)
}

impl Accounts {
    pub(super) fn fresh(&self, NewUser { name, email, role }: NewUser) -> Result<User, Problem> {
        if RESERVED.contains(&name.folded().as_str()) {
            return Err(
                Problem::new(Kind::UserExists, format!("the name {name} is reserved")).in_body("name")
            );
        }
        let id = UserId(random(&*self.surroundings));
        let (created_unix_ms, password) = (self.now(), None);
        let (disabled, failed_sign_ins, last_failed_unix_ms) = (false, 0, 0);
        Ok(User {
            id,
            name,
            email,
            role,
            disabled,
            created_unix_ms,
            password,
            failed_sign_ins,
            last_failed_unix_ms,
        })
    }

    /// Makes a user, and the code by which they choose their password.
    pub(crate) async fn create(&self, new: NewUser, from: Option<Address>) -> Result<(User, Made), Problem> {
        let user = self.fresh(NewUser { email: address(new.email)?, ..new })?;
        self.catalog.create_user(&user, None).await.map_err(not_made)?;
        let code = self.make_reset(user.id, from).await.map_err(|problem| half_done(&problem))?;
        Ok((user, code))
    }

    /// Makes whoever asks a user, if the cluster lets them.
    ///
    /// # Errors
    /// `forbidden` without an invitation where one is needed.
    pub(crate) async fn register(
        &self,
        asked: Registering<'_>,
        note: &Note,
    ) -> Result<(User, Option<Claimed>), Problem> {
        let Registering { name, email, password, invite, from } = asked;
        let (role, _) = self.admitted(invite).await?;
        let claimed = self.claimable(email)?;
        // Each costs a hash and rows: an address gets few at once, whether they come to something or not.
        self.attempt("", from)?;
        let mut user = self.fresh(NewUser { name, email: None, role })?;
        if let Some((_, post)) = &claimed {
            self.may_mail(post, &user, from)?;
        }
        user.password = Some(self.passwords.hash(user.id, password).await?);
        // A hash takes its time: whoever invited them may administrate no more.
        let (role, by) = self.admitted(invite).await?;
        user.role = role;
        let invitation = by.map(|(_, id)| id.to_string()).unwrap_or_default();
        note.actor(Actor::coming(&user.name, invitation.clone()));
        note.detail(format!("role={}", role.as_str()));
        note.count();
        let place = claimed.as_ref().map(|(_, post)| place_at(post)).transpose()?;
        self.catalog.create_user(&user, by).await.map_err(not_made)?;
        note.actor(Actor::user(&user, invitation));
        let claimant = |password| Claimant { user: user.id, password, asks: None };
        let claimed = match (claimed.zip(place), &user.password) {
            (Some(((email, _), place)), Some(password)) => {
                self.claim((&user, claimant(password)), email, place).await.map_err(not_mailed).ok()
            }
            _ => None,
        };
        Ok((user, claimed))
    }

    /// As what somebody may become a user now, and by which invitation.
    async fn admitted(
        &self,
        invite: Option<&str>,
    ) -> Result<(Role, Option<(UserId, CredentialId)>), Problem> {
        match (self.catalog.registration().await.map_err(refusals::catalog)?, invite) {
            (Registration::Closed, _) => {
                Err(Problem::new(Kind::Forbidden, "an administrator makes users here: ask one"))
            }
            (_, Some(invite)) => self.invitation(invite).await,
            (Registration::Open, None) => Ok((Role::Member, None)),
            (Registration::Invite, None) => Err(not_invited()),
        }
    }

    async fn invitation(&self, text: &str) -> Result<(Role, Option<(UserId, CredentialId)>), Problem> {
        let known = self.known(text).await?.ok_or_else(not_invited)?;
        // Whoever is disabled, or administrates no more, invites nobody.
        let may = known.account.as_ref().is_none_or(Account::may_invite);
        match known.credential.kind {
            CredentialKind::Invite { role } if may => Ok((role, Some((known.owner, known.id)))),
            _ => Err(not_invited()),
        }
    }

    /// Users by name, after one if it is given; and whether there are more.
    pub(crate) async fn list(
        &self,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<(Vec<User>, bool), Problem> {
        self.catalog.users(after, limit).await.map_err(refusals::catalog)
    }

    /// The user of a name.
    pub(crate) async fn user(&self, name: &str) -> Result<User, Problem> {
        let name = name.parse().map_err(|_| no_such_user())?;
        self.catalog.user_of(&name).await.map_err(refusals::catalog)?.ok_or_else(no_such_user)
    }

    /// Changes what a user may do, from their next request on, and where mail reaches them.
    pub(crate) async fn change(&self, name: &str, change: Change) -> Result<User, Problem> {
        let user = self.user(name).await?;
        let Change { role, email, disabled } = change;
        if let Some(email) = email {
            let email = address(Some(email))?;
            self.catalog.set_email(user.id, email, None).await.map_err(not_made)?.ok_or_else(no_such_user)?;
        }
        let changed = self.catalog.set_standing(user.id, (role, disabled)).await;
        changed.map_err(refusals::catalog)?.ok_or_else(no_such_user)
    }

    /// Takes a user's password and all that stands for them, and gives the code by which they choose another.
    pub(crate) async fn reset(&self, name: &str, from: Option<Address>) -> Result<Made, Problem> {
        let user = self.user(name).await?;
        self.catalog
            .set_password(user.id, None, (Ends::All, By::Administrator))
            .await
            .map_err(refusals::catalog)?;
        self.make_reset(user.id, from).await.map_err(|problem| half_done(&problem))
    }

    /// Ends all sessions of a user; gives how many.
    pub(crate) async fn end_sessions(&self, name: &str) -> Result<usize, Problem> {
        let user = self.user(name).await?;
        self.catalog.end_sessions(user.id, None).await.map_err(refusals::catalog)
    }

    /// Deletes a user and all that stands for them.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Problem> {
        let user = self.user(name).await?;
        match self.catalog.delete_user(user.id).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(no_such_user()),
        }
    }

    /// Who may become a user by themselves.
    pub(crate) async fn registration(&self) -> Result<Registration, Problem> {
        self.catalog.registration().await.map_err(refusals::catalog)
    }

    /// Says who may.
    pub(crate) async fn set_registration(&self, registration: Registration) -> Result<(), Problem> {
        self.catalog.set_registration(registration).await.map_err(refusals::catalog)
    }
}
