//! Users who sign in at a provider of OpenID Connect, by issuer and subject.

use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::users::name_user;
use super::{Catalog, CatalogError, Invalid, UserError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::limits::{ISSUER_BYTES_MAX, SUBJECT_BYTES_MAX};
use crate::model::{CredentialId, Identity, Role, User, UserId};
use crate::record::{self, IdentityRecord, KeyOnlyRecord};

/// Used sign-ins that are over and go with each new one.
const SWEPT_AT_ONCE: usize = 16;
/// Users looked through at once for an administrator.
const USERS_AT_ONCE: usize = 256;

/// Why somebody at a provider was not bound to a user, or not set free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// They are another user already.
    #[error("they are bound to another user already")]
    Taken,
    /// The user is somebody else at that provider.
    #[error("the user is somebody else at that provider: unbind them first")]
    Another,
    /// The session that asked has ended, or the user is disabled.
    #[error("the session that asked has ended, or the user is disabled")]
    Superseded,
    /// The user could not sign in any more.
    #[error("the user has no password, and no other provider to sign in at")]
    LastWay,
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn validate(identity: &Identity) -> Result<(), Invalid> {
    at_most("bytes of an issuer", identity.issuer.len(), ISSUER_BYTES_MAX)?;
    at_most("bytes of a subject", identity.subject.len(), SUBJECT_BYTES_MAX)
}

fn bind(batch: &mut Batch, user: UserId, identity: &Identity) -> Result<(), CatalogError> {
    let record = IdentityRecord { user, identity: identity.clone() };
    put(batch, keys::identity(identity), &record)?;
    put(batch, keys::identity_of(user, &identity.issuer), &record)
}

fn unbind(batch: &mut Batch, user: UserId, identity: &Identity) {
    batch.delete(keys::identity(identity));
    batch.delete(keys::identity_of(user, &identity.issuer));
}

async fn read_all(view: &impl View, user: UserId) -> Result<Vec<Identity>, CatalogError> {
    let rows = whole(view, keys::identities(user)).await?.rows;
    let read = |row: &crate::keyspace::Row| Ok(record::decode::<IdentityRecord>(&row.value)?.identity);
    rows.iter().map(read).collect()
}

/// Has a batch unbind a user from all providers; it fails when they are bound to another meanwhile.
pub(super) async fn unbind_all(
    view: &impl View,
    user: UserId,
    batch: &mut Batch,
) -> Result<(), CatalogError> {
    let since = view.revision().await?;
    for identity in read_all(view, user).await? {
        unbind(batch, user, &identity);
    }
    batch.expect_unchanged(keys::identities(user), since);
    Ok(())
}

/// An administrator besides this user who may sign in: the key and the version of their row.
async fn another_admin(view: &impl View, user: UserId) -> Result<Option<crate::keyspace::Row>, CatalogError> {
    let mut range = keys::all(Table::User);
    loop {
        let page = view.range(&range, RangeLimits::rows(USERS_AT_ONCE)).await?;
        let Some(last) = page.rows.last().map(|row| row.key.clone()) else { return Ok(None) };
        for row in page.rows {
            let other: User = record::decode(&row.value)?;
            if other.id != user && other.role == Role::Admin && !other.disabled {
                return Ok(Some(row));
            }
        }
        if !page.more {
            return Ok(None);
        }
        range = range.after(&last);
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Who somebody at a provider is here, if they are a user.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn user_of_identity(&self, identity: &Identity) -> Result<Option<User>, CatalogError> {
        match self.read::<IdentityRecord>(&keys::identity(identity)).await? {
            Some(record) => self.user(record.user).await,
            None => Ok(None),
        }
    }

    /// All that a user is at providers, by issuer.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn identities(&self, user: UserId) -> Result<Vec<Identity>, CatalogError> {
        read_all(&self.view().await?, user).await
    }

    /// Makes somebody at a provider a user.
    ///
    /// # Errors
    /// See [`UserError`]; `Taken` also where they are a user already.
    pub async fn create_user_of(&self, user: &User, identity: &Identity) -> Result<(), UserError> {
        validate(identity)?;
        let row = keys::identity(identity);
        for _ in 0..ATTEMPTS_MAX {
            let mut batch = Batch::new();
            let view = self.view().await?;
            if find::<IdentityRecord>(&view, &row).await?.record.is_some() {
                return Err(UserError::Taken(user.name.clone()));
            }
            batch.expect(row.clone(), None);
            bind(&mut batch, user.id, identity)?;
            name_user(&view, user, &mut batch).await?;
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Binds somebody at a provider to a user whose session asked for it and has not ended.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn bind_identity(
        &self,
        (user, asks): (UserId, CredentialId),
        identity: &Identity,
    ) -> Result<(), IdentityError> {
        validate(identity)?;
        let rows = [keys::identity(identity), keys::identity_of(user, &identity.issuer)];
        let (owner_row, session) = (keys::user(user), keys::credential(user, asks));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let owner = find::<User>(&view, &owner_row).await?;
            let found = view.get(&session).await.map_err(CatalogError::from)?;
            let (Some(known), Some(found)) = (owner.record, found) else {
                return Err(IdentityError::Superseded);
            };
            if known.disabled {
                return Err(IdentityError::Superseded);
            }
            let [there, here] = &rows;
            match find::<IdentityRecord>(&view, there).await?.record {
                Some(record) if record.user == user => return Ok(()),
                Some(_) => return Err(IdentityError::Taken),
                None => {}
            }
            if find::<IdentityRecord>(&view, here).await?.record.is_some() {
                return Err(IdentityError::Another);
            }
            drop(view);
            let mut batch = Batch::new();
            batch.expect(owner_row.clone(), owner.version);
            batch.expect(session.clone(), Some(found.version));
            rows.iter().for_each(|row| batch.expect(row.clone(), None));
            bind(&mut batch, user, identity)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Unbinds a user from who they are at a provider. Gives whether they were anybody there.
    ///
    /// # Errors
    /// [`IdentityError::LastWay`] where they could not sign in any more.
    pub async fn unbind_identity(&self, user: UserId, issuer: &str) -> Result<bool, IdentityError> {
        let owner_row = keys::user(user);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let owner = find::<User>(&view, &owner_row).await?;
            let since = view.revision().await.map_err(CatalogError::from)?;
            let all = read_all(&view, user).await?;
            drop(view);
            let Some(bound) = all.iter().find(|identity| identity.issuer == issuer) else { return Ok(false) };
            if all.len() == 1 && owner.record.is_none_or(|user| user.password.is_none()) {
                return Err(IdentityError::LastWay);
            }
            let mut batch = Batch::new();
            batch.expect(owner_row.clone(), owner.version);
            batch.expect_unchanged(keys::identities(user), since);
            unbind(&mut batch, user, bound);
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Gives a user the role that a provider says they have. The last administrator who may sign in stays one. Gives the user as they
    /// then are, `None` when there is none.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn take_role(&self, id: UserId, role: Role) -> Result<Option<User>, CatalogError> {
        let row = keys::user(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let Some(mut user) = found.record else { return Ok(None) };
            if user.role == role {
                return Ok(Some(user));
            }
            let mut batch = Batch::new();
            if user.role == Role::Admin {
                // Two who are the last two must not both go: each commit needs the other as it was.
                let Some(other) = another_admin(&view, id).await? else { return Ok(Some(user)) };
                batch.expect(other.key, Some(other.version));
            }
            drop(view);
            user.role = role;
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &user)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(user));
            }
        }
        Err(CatalogError::Contended)
    }

    /// Notes that a sign-in came back, until it would have run out anyway. Gives false when it did before, at whichever gateway.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn use_state(
        &self,
        (until_unix_ms, hash): (u64, [u8; 32]),
        now_unix_ms: u64,
    ) -> Result<bool, CatalogError> {
        let row = keys::used_state(until_unix_ms, &hash);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            if view.get(&row).await?.is_some() {
                return Ok(false);
            }
            let mut batch = Batch::new();
            let over =
                view.range(&keys::used_states_before(now_unix_ms), RangeLimits::rows(SWEPT_AT_ONCE)).await?;
            over.rows.into_iter().for_each(|row| batch.delete(row.key));
            drop(view);
            batch.expect(row.clone(), None);
            put(&mut batch, row.clone(), &KeyOnlyRecord)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }
}
