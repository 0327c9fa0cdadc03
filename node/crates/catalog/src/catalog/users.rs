//! Who may sign in. Their names are rows of their own, so that two gateways cannot give one name twice.

use super::access_keys::{Fate, befalls_all_of};
use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, View};
use crate::limits::EMAIL_BYTES_MAX;
use crate::model::{CredentialId, CredentialKind, PasswordHash, Registration, Role, User, UserId, UserName};
use crate::record::{self, RegistrationRecord, UserNameRecord};

/// Why somebody did not become a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Another has the name, perhaps in other case.
    #[error("the name {0} is taken")]
    Taken(UserName),
    /// S3 key pairs act for the name, which is no user's: whoever had it would have them speak for them.
    #[error(
        "S3 keys act for the name {0}, which was no user's: choose another, or have an administrator delete them"
    )]
    KeysOf(UserName),
    /// The invitation was used, revoked or never made.
    #[error("there is no such invitation any more")]
    NotInvited,
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Which of a user's credentials end with what they stood on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Sessions, codes and identities at providers, but for this session: the owner chose another password.
    SessionsBut(CredentialId),
    /// Everything but this session: what was made before a second factor counted was made without one.
    AllBut(CredentialId),
    /// Codes to choose a password, which were mailed where mail goes no more, and those of other addresses that are claimed.
    Codes,
    /// None.
    Nothing,
    /// Everything, and the user's shares; S3 keys are disabled: whoever asks for this trusts none of them.
    All,
    /// Everything, with the user.
    Deleted,
}

impl Ends {
    fn spares(self, id: CredentialId, kind: &CredentialKind) -> bool {
        match self {
            Self::SessionsBut(kept) => {
                id == kept || matches!(kind, CredentialKind::Token { .. } | CredentialKind::Invite { .. })
            }
            Self::AllBut(kept) => id == kept,
            Self::Codes => *kind != CredentialKind::Reset,
            Self::Nothing => true,
            Self::All | Self::Deleted => false,
        }
    }

    /// Whether who the user is at providers ends too: it was bound by the password that was, or without the second factor.
    fn unbinds(self) -> bool {
        matches!(self, Self::SessionsBut(_) | Self::AllBut(_) | Self::All)
    }

    /// The session that is spared, which must count still.
    fn kept(self) -> Option<CredentialId> {
        match self {
            Self::SessionsBut(kept) | Self::AllBut(kept) => Some(kept),
            Self::Codes | Self::Nothing | Self::All | Self::Deleted => None,
        }
    }
}

/// By what somebody may give a user another password. It is looked for in the commit that does it: a hash takes long enough for an
/// administrator to have taken the password, the code or the session meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// An administrator may.
    Administrator,
    /// A code, which is used up, of a user who is not disabled.
    Code(CredentialId),
    /// The password that was proven, by a user who is not disabled.
    Password(PasswordHash),
}

impl By {
    fn counts(&self, user: &User, known: &[CredentialId]) -> bool {
        match self {
            Self::Administrator => true,
            Self::Code(code) => !user.disabled && known.contains(code),
            Self::Password(proven) => user.proves(proven),
        }
    }
}

/// Has a batch make a user known, under a name that nobody has; it fails when somebody takes it meanwhile.
pub(super) async fn name_user(view: &impl View, user: &User, batch: &mut Batch) -> Result<(), UserError> {
    at_most("bytes of an e-mail address", user.email.as_ref().map_or(0, String::len), EMAIL_BYTES_MAX)?;
    let (row, name) = (keys::user(user.id), keys::user_name(&user.name.folded()));
    if find::<UserNameRecord>(view, &name).await?.record.is_some() {
        return Err(UserError::Taken(user.name.clone()));
    }
    if super::access_keys::act_for(view, &user.name).await? {
        return Err(UserError::KeysOf(user.name.clone()));
    }
    batch.expect(name.clone(), None);
    batch.expect(row.clone(), None);
    put(batch, name, &UserNameRecord { user: user.id })?;
    Ok(put(batch, row, user)?)
}

impl<K: Keyspace> Catalog<K> {
    /// Makes a user known. `by`: the invitation that is used up with it.
    ///
    /// # Errors
    /// See [`UserError`].
    pub async fn create_user(
        &self,
        user: &User,
        by: Option<(UserId, CredentialId)>,
    ) -> Result<(), UserError> {
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut batch = Batch::new();
            name_user(&view, user, &mut batch).await?;
            if let Some((host, id)) = by {
                let invitation = keys::credential(host, id);
                let found = view.get(&invitation).await.map_err(CatalogError::from)?;
                let version = found.ok_or(UserError::NotInvited)?.version;
                batch.expect(invitation.clone(), Some(version));
                batch.delete(invitation);
            }
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// A user.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, CatalogError> {
        self.read(&keys::user(id)).await
    }

    /// The user of a name, in whatever case.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn user_of(&self, name: &UserName) -> Result<Option<User>, CatalogError> {
        match self.read::<UserNameRecord>(&keys::user_name(&name.folded())).await? {
            Some(record) => self.user(record.user).await,
            None => Ok(None),
        }
    }

    /// Users by name, at most `limit`, after a name if one is given; and whether there are more.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn users(
        &self,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<(Vec<User>, bool), CatalogError> {
        let all = keys::all(Table::UserName);
        let range = match after {
            Some(name) => all.after(&keys::user_name(&name.folded())),
            None => all,
        };
        let view = self.view().await?;
        let page = view.range(&range, RangeLimits::rows(limit)).await?;
        let mut users = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            let UserNameRecord { user } = record::decode(&row.value)?;
            users.extend(find::<User>(&view, &keys::user(user)).await?.record);
        }
        Ok((users, page.more))
    }

    /// Changes what is known of a user; gives them as they then are, or `None` when there is none. Name and id stay.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn change_user(
        &self,
        id: UserId,
        change: impl Fn(&mut User) + Send,
    ) -> Result<Option<User>, CatalogError> {
        self.change_with_keys(id, change, false).await
    }

    /// Says what a user may do, and whether they are refused: then their S3 keys are disabled in the same commit, but for the
    /// first of very many, which are before it. Gives them as they then
    /// are, or `None` when there is none.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn set_standing(
        &self,
        id: UserId,
        (role, disabled): (Option<Role>, Option<bool>),
    ) -> Result<Option<User>, CatalogError> {
        let change = |user: &mut User| {
            user.role = role.unwrap_or(user.role);
            user.disabled = disabled.unwrap_or(user.disabled);
        };
        self.change_with_keys(id, change, disabled == Some(true)).await
    }

    async fn change_with_keys(
        &self,
        id: UserId,
        change: impl Fn(&mut User) + Send,
        disable_keys: bool,
    ) -> Result<Option<User>, CatalogError> {
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let Some(mut user) = found.record else { return Ok(None) };
            change(&mut user);
            let mut batch = Batch::new();
            if disable_keys
                && let Some(first) = befalls_all_of(&view, (&user, Fate::Disabled), &mut batch).await?
            {
                self.try_commit(first).await?;
                continue;
            }
            drop(view);
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &user)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(user));
            }
        }
        Err(CatalogError::Contended)
    }

    /// Says where mail reaches a user, or that it does not. Codes to choose a password that went to another address end in the same
    /// commit. `by`: the password that they proved and the session that asks, looked for in that commit; none: an administrator says so.
    /// Gives the user as they then are, `None` when there is none or `by` counts no more.
    ///
    /// # Errors
    /// [`UserError::Invalid`] for an address that is too long, and the engine's faults.
    pub async fn set_email(
        &self,
        id: UserId,
        email: Option<String>,
        by: Option<(&PasswordHash, CredentialId)>,
    ) -> Result<Option<User>, UserError> {
        at_most("bytes of an e-mail address", email.as_ref().map_or(0, String::len), EMAIL_BYTES_MAX)?;
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let Some(mut user) = found.record else { return Ok(None) };
            let mut batch = Batch::new();
            // Nothing is mailed to who has no password: their code is an administrator's, and stays.
            let ends = if user.password.is_some() { Ends::Codes } else { Ends::Nothing };
            let known = self.end_credentials(&view, (id, ends), &mut batch).await?;
            drop(view);
            if by.is_some_and(|(proven, asks)| !user.proves(proven) || !known.contains(&asks)) {
                return Ok(None);
            }
            user.email = email.clone();
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &user)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(user));
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Gives a user another password, or none, and ends their credentials with it, and a second factor that was offered by the old one
    /// and does not count. Gives whether there is such a user, and `by` and the session that is spared count still.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn set_password(
        &self,
        id: UserId,
        password: Option<PasswordHash>,
        (ends, by): (Ends, By),
    ) -> Result<bool, CatalogError> {
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let Some(mut user) = found.record else { return Ok(false) };
            let mut batch = Batch::new();
            let known = self.end_credentials(&view, (id, ends), &mut batch).await?;
            let spared = ends.kept().is_none_or(|kept| known.contains(&kept));
            if !spared || !by.counts(&user, &known) {
                return Ok(false);
            }
            super::second_factors::delete_offer(&view, id, &mut batch).await?;
            // Who chooses their first password had none that somebody could have made keys by.
            let keys_too = ends == Ends::All && (by == By::Administrator || user.password.is_some());
            if keys_too
                && let Some(first) = befalls_all_of(&view, (&user, Fate::Disabled), &mut batch).await?
            {
                self.try_commit(first).await?;
                continue;
            }
            drop(view);
            user.password = password.clone();
            (user.failed_sign_ins, user.last_failed_unix_ms) = (0, 0);
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &user)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Deletes a user and everything that stands for them, their S3 keys too. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn delete_user(&self, id: UserId) -> Result<bool, CatalogError> {
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let Some(user) = found.record else { return Ok(false) };
            let mut batch = Batch::new();
            self.end_credentials(&view, (id, Ends::Deleted), &mut batch).await?;
            if let Some(first) = befalls_all_of(&view, (&user, Fate::Deleted), &mut batch).await? {
                self.try_commit(first).await?;
                continue;
            }
            drop(view);
            batch.expect(row.clone(), found.version);
            batch.delete(row.clone());
            batch.delete(keys::user_name(&user.name.folded()));
            batch.delete(keys::second_factor(id));
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Has a batch delete a user's credentials and codes for addresses, and end who they are at providers where that ends too; gives all
    /// credentials that there are. Fails at its commit when there is a new one.
    pub(super) async fn end_credentials(
        &self,
        view: &impl View,
        (user, ends): (UserId, Ends),
        batch: &mut Batch,
    ) -> Result<Vec<CredentialId>, CatalogError> {
        let range: KeyRange = keys::credentials(user);
        let since = view.revision().await?;
        let all = super::credentials::read_all(view, user).await?;
        for known in all.iter().filter(|known| !ends.spares(known.id, &known.credential.kind)) {
            batch.delete(keys::credential(user, known.id));
        }
        batch.expect_unchanged(range, since);
        if matches!(ends, Ends::All | Ends::Deleted) {
            super::shares::end_all(view, user, batch).await?;
        }
        if ends != Ends::Nothing {
            super::addresses::end_all(view, user, batch).await?;
        }
        if ends.unbinds() {
            super::identities::end_all(view, user, batch).await?;
        }
        if ends == Ends::Deleted {
            super::identities::forget_all(view, user, batch).await?;
            super::groups::leave_all(view, user, batch).await?;
        }
        Ok(all.into_iter().map(|known| known.id).collect())
    }

    /// Who may become a user by themselves.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn registration(&self) -> Result<Registration, CatalogError> {
        let record = self.read::<RegistrationRecord>(&keys::only(Table::Registration)).await?;
        Ok(record.map(|record| record.registration).unwrap_or_default())
    }

    /// Says who may, from now on.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn set_registration(&self, registration: Registration) -> Result<(), CatalogError> {
        let mut batch = Batch::new();
        put(&mut batch, keys::only(Table::Registration), &RegistrationRecord { registration })?;
        self.try_commit(batch).await?.map(drop).ok_or(CatalogError::Contended)
    }
}
