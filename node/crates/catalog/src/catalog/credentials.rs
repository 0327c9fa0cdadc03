//! What stands for a user: sessions, tokens, one-use codes.

use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::groups::account_in;
use super::identities::stays_bound;
use super::{Catalog, CatalogError, Invalid};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, Row, View};
use crate::limits::{
    ADDRESS_BYTES_MAX, CODES_MAX, CREDENTIAL_NAME_BYTES_MAX, MAILED_CODES_MAX, SESSIONS_MAX, TOKENS_MAX,
};
use crate::model::{
    Account, Credential, CredentialId, CredentialKind, Identity, PasswordHash, SecondFactor, Shown, User,
    UserId,
};
use crate::record;

/// Why a credential was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no such user any more.
    #[error("there is no such user any more")]
    NoUser,
    /// What it was asked for by holds no more: the password, the session or the address is another by now, or the user is disabled.
    #[error("the password, the session or the address is another by now, or the user is disabled")]
    Superseded,
    /// A second factor is asked for, and what was shown of it was shown before, or is of another one.
    #[error("the code of the second factor was used, or the second factor is another by now")]
    SecondFactor,
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What somebody who signs in has shown: it is looked at again in the commit that begins the session.
#[derive(Clone, Copy, Debug)]
pub struct Proven<'a> {
    /// The hash of the password that was right.
    pub password: &'a PasswordHash,
    /// What was right of the second factor, where they have one.
    pub factor: Option<&'a Shown>,
}

/// What must hold in the commit that keeps a credential.
#[derive(Clone, Copy)]
enum Given<'a> {
    Nothing,
    /// The user's proof, which is used up, and the session that asks, where one does.
    Proven(Proven<'a>, Option<CredentialId>),
    /// Mail reaches the user here, and they have a password to replace and room for another code.
    Mail(&'a str),
    /// The user is not disabled, and is still whom a provider has just vouched for.
    Identity(&'a Identity),
}

impl Given<'_> {
    fn holds(self, owner: Option<&User>, known: &[KnownCredential]) -> bool {
        match self {
            Self::Nothing => true,
            Self::Proven(proven, asks) => {
                owner.is_some_and(|user| user.proves(proven.password))
                    && asks.is_none_or(|asks| known.iter().any(|known| known.id == asks))
            }
            Self::Mail(to) => owner.is_some_and(|user| {
                !user.disabled && user.password.is_some() && user.email.as_deref() == Some(to)
            }),
            Self::Identity(_) => owner.is_some_and(|user| !user.disabled),
        }
    }
}

/// A credential and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCredential {
    /// Its id.
    pub id: CredentialId,
    /// What is known of it.
    pub credential: Credential,
}

impl KnownCredential {
    pub(super) fn is_session(&self) -> bool {
        is_session(&self.credential)
    }
}

fn is_session(credential: &Credential) -> bool {
    matches!(credential.kind, CredentialKind::Session { .. })
}

fn is_token(credential: &Credential) -> bool {
    matches!(credential.kind, CredentialKind::Token { .. })
}

/// Holds one more against the limits: each kind has room of its own, so that a session always fits.
fn fits(credential: &Credential, live: &[KnownCredential]) -> Result<(), Invalid> {
    if is_session(credential) {
        return Ok(());
    }
    let count = |of: fn(&Credential) -> bool| live.iter().filter(|known| of(&known.credential)).count() + 1;
    if is_token(credential) {
        return at_most("tokens of a user", count(is_token), TOKENS_MAX);
    }
    at_most("codes of a user", count(|other| !is_session(other) && !is_token(other)), CODES_MAX)
}

/// A user's credentials, by id.
pub(super) async fn read_all(view: &impl View, user: UserId) -> Result<Vec<KnownCredential>, CatalogError> {
    let known = |row: &Row| {
        let id = keys::read_credential(&row.key)?;
        Ok(KnownCredential { id, credential: record::decode(&row.value)? })
    };
    whole(view, keys::credentials(user)).await?.rows.iter().map(known).collect()
}

/// Has a batch use up what was shown of a user's second factor, if they have one; the batch fails when it changes meanwhile.
pub(super) async fn spend_factor(
    view: &impl View,
    (user, shown): (UserId, Option<&Shown>),
    batch: &mut Batch,
) -> Result<(), CredentialError> {
    let row = keys::second_factor(user);
    let found = find::<SecondFactor>(view, &row).await?;
    batch.expect(row.clone(), found.version);
    if let Some(factor) = found.record.filter(SecondFactor::counts) {
        let spent = shown.and_then(|shown| factor.spent(shown)).ok_or(CredentialError::SecondFactor)?;
        put(batch, row, &spent)?;
    }
    Ok(())
}

fn validate(credential: &Credential) -> Result<(), Invalid> {
    at_most("bytes of an address", credential.address.len(), ADDRESS_BYTES_MAX)?;
    match &credential.kind {
        CredentialKind::Session { device: name } | CredentialKind::Token { name, .. } => {
            at_most("bytes of a name", name.len(), CREDENTIAL_NAME_BYTES_MAX)
        }
        CredentialKind::Reset | CredentialKind::Invite { .. } => Ok(()),
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Keeps the session of a user who has just proven this, if it still is theirs and they are not disabled. What was shown of a
    /// second factor is used up with it.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn add_session(
        &self,
        (user, proven): (UserId, Proven<'_>),
        new: (CredentialId, &Credential),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        self.keep_credential((user, Given::Proven(proven, None)), new, now_unix_ms).await
    }

    /// Keeps the token of a user who has just proven this in a session that has not ended. What was shown of a second factor is used up
    /// with it.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn add_token(
        &self,
        (user, proven, asks): (UserId, Proven<'_>, CredentialId),
        new: (CredentialId, &Credential),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        self.keep_credential((user, Given::Proven(proven, Some(asks))), new, now_unix_ms).await
    }

    /// Keeps a code that will be mailed to this address, if that is the user's still, they have a password and are not disabled.
    ///
    /// # Errors
    /// See [`CredentialError`]; a limit where they have [`MAILED_CODES_MAX`] codes.
    pub async fn add_mailed_code(
        &self,
        (user, to): (UserId, &str),
        new: (CredentialId, &Credential),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        self.keep_credential((user, Given::Mail(to)), new, now_unix_ms).await
    }

    /// Keeps the session of a user whom a provider has just vouched for, if they are bound to whom it means still and not disabled. A
    /// second factor is the provider's affair.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn add_session_of(
        &self,
        (user, identity): (UserId, &Identity),
        new: (CredentialId, &Credential),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        self.keep_credential((user, Given::Identity(identity)), new, now_unix_ms).await
    }

    /// Keeps a new credential. What has run out goes with it; of too many sessions the one used longest ago goes too, of anything
    /// else there cannot be too many. Credentials of `UserId([0; 16])`, the operator, need no user.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn add_credential(
        &self,
        user: UserId,
        new: (CredentialId, &Credential),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        self.keep_credential((user, Given::Nothing), new, now_unix_ms).await
    }

    async fn keep_credential(
        &self,
        (user, given): (UserId, Given<'_>),
        (id, credential): (CredentialId, &Credential),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        validate(credential)?;
        let row = keys::user(user);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let owner = find::<User>(&view, &row).await?;
            if owner.record.is_none() && user != UserId([0; 16]) {
                return Err(CredentialError::NoUser);
            }
            let mut batch = Batch::new();
            let since = view.revision().await.map_err(CatalogError::from)?;
            let known = read_all(&view, user).await?;
            if !given.holds(owner.record.as_ref(), &known) {
                return Err(CredentialError::Superseded);
            }
            match given {
                Given::Proven(proven, _) => spend_factor(&view, (user, proven.factor), &mut batch).await?,
                Given::Identity(identity) => {
                    if !stays_bound(&view, (user, identity), &mut batch).await? {
                        return Err(CredentialError::Superseded);
                    }
                }
                Given::Nothing | Given::Mail(_) => {}
            }
            drop(view);
            batch.expect(row.clone(), owner.version);
            batch.expect_unchanged(keys::credentials(user), since);
            let (mut live, over): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|known| known.credential.until_unix_ms > now_unix_ms);
            over.iter().for_each(|over| batch.delete(keys::credential(user, over.id)));
            live.sort_by_key(|known| known.credential.used_unix_ms);
            if is_session(credential)
                && live.iter().filter(|known| known.is_session()).count() >= SESSIONS_MAX
                && let Some(oldest) = live.iter().position(KnownCredential::is_session)
            {
                batch.delete(keys::credential(user, live.remove(oldest).id));
            }
            fits(credential, &live)?;
            if let Given::Mail(_) = given {
                let resets = live.iter().filter(|known| known.credential.kind == CredentialKind::Reset);
                at_most("codes that are mailed to a user", resets.count() + 1, MAILED_CODES_MAX)?;
            }
            put(&mut batch, keys::credential(user, id), credential)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// A credential and whose it is, as they are now. No user: it is the operator's.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn credential(
        &self,
        user: UserId,
        id: CredentialId,
    ) -> Result<Option<(Credential, Option<Account>)>, CatalogError> {
        let view = self.view().await?;
        let Some(credential) = find::<Credential>(&view, &keys::credential(user, id)).await?.record else {
            return Ok(None);
        };
        Ok(Some((credential, account_in(&view, user).await?)))
    }

    /// All of a user's, by id.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn credentials(&self, user: UserId) -> Result<Vec<KnownCredential>, CatalogError> {
        read_all(&self.view().await?, user).await
    }

    /// Notes when and where from a credential was used. One that is changed or ended meanwhile is left as it is.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn touch_credential(
        &self,
        user: UserId,
        id: CredentialId,
        (now_unix_ms, address): (u64, &str),
    ) -> Result<(), CatalogError> {
        let row = keys::credential(user, id);
        let found = find::<Credential>(&self.view().await?, &row).await?;
        let Some(mut credential) = found.record else { return Ok(()) };
        credential.used_unix_ms = now_unix_ms;
        credential.address = address.into();
        let mut batch = Batch::new();
        batch.expect(row.clone(), found.version);
        put(&mut batch, row, &credential)?;
        self.try_commit(batch).await.map(drop)
    }

    /// Ends a credential. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn end_credential(&self, user: UserId, id: CredentialId) -> Result<bool, CatalogError> {
        self.delete_row::<Credential>(keys::credential(user, id)).await
    }

    /// Ends all sessions of a user but one. Gives how many.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn end_sessions(&self, user: UserId, but: Option<CredentialId>) -> Result<usize, CatalogError> {
        let mut ended = 0;
        for known in self.credentials(user).await? {
            if known.is_session() && Some(known.id) != but && self.end_credential(user, known.id).await? {
                ended += 1;
            }
        }
        Ok(ended)
    }
}
