//! What users show besides their passwords. Sessions use it up in their own commit ([`super::credentials`]), so that a code counts once
//! whichever gateways it is shown to.

use super::faults::{ATTEMPTS_MAX, find, put};
use super::{Catalog, CatalogError, Ends};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, View};
use crate::model::{CredentialId, PasswordHash, SecondFactor, Shown, User, UserId};

/// Has a batch that changes a user's password delete a second factor that was offered by the old one and does not count.
pub(super) async fn delete_offer(
    view: &impl View,
    user: UserId,
    batch: &mut Batch,
) -> Result<(), CatalogError> {
    let row = keys::second_factor(user);
    let found = find::<SecondFactor>(view, &row).await?;
    batch.expect(row.clone(), found.version);
    if found.record.is_some_and(|factor| !factor.counts()) {
        batch.delete(row);
    }
    Ok(())
}

/// A user's second factor, by who has shown the password of this hash, and a batch that requires both to be so still. `None`: the password
/// is another by now.
async fn proven_factor(
    view: &impl View,
    user: UserId,
    proven: &PasswordHash,
) -> Result<Option<(Option<SecondFactor>, Batch)>, CatalogError> {
    let (row, owner_row) = (keys::second_factor(user), keys::user(user));
    let owner = find::<User>(view, &owner_row).await?;
    if !owner.record.is_some_and(|user| user.proves(proven)) {
        return Ok(None);
    }
    let found = find::<SecondFactor>(view, &row).await?;
    let mut batch = Batch::new();
    batch.expect(owner_row, owner.version);
    batch.expect(row, found.version);
    Ok(Some((found.record, batch)))
}

impl<K: Keyspace> Catalog<K> {
    /// A user's second factor, also one that does not count yet.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn second_factor(&self, user: UserId) -> Result<Option<SecondFactor>, CatalogError> {
        self.read(&keys::second_factor(user)).await
    }

    /// Keeps a second factor that does not count yet, in the place of another such, for who has shown the password of this hash. Gives
    /// false where one counts already, or the password is another by now.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn offer_second_factor(
        &self,
        (user, proven): (UserId, &PasswordHash),
        offered: &SecondFactor,
    ) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = proven_factor(&self.view().await?, user, proven).await?;
            let Some((known, mut batch)) = found else { return Ok(false) };
            if known.is_some_and(|known| known.counts()) {
                return Ok(false);
            }
            put(&mut batch, keys::second_factor(user), offered)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Makes the second factor count that was offered with this secret. All that stood for the user ends with it, which was made without,
    /// but the session that asks. Gives false where it was not offered any more, or that session ended.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn confirm_second_factor(
        &self,
        user: UserId,
        confirmed: &SecondFactor,
        asks: CredentialId,
    ) -> Result<bool, CatalogError> {
        let row = keys::second_factor(user);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<SecondFactor>(&view, &row).await?;
            let offered =
                found.record.is_some_and(|known| !known.counts() && known.sealed == confirmed.sealed);
            let mut batch = Batch::new();
            let known = self.end_credentials(&view, (user, Ends::AllBut(asks)), &mut batch).await?;
            drop(view);
            if !offered || !known.contains(&asks) {
                return Ok(false);
            }
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), confirmed)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Changes a user's second factor; `change` says whether it may. Gives it as it then is, `None` where there is none or it may not.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn change_second_factor(
        &self,
        user: UserId,
        change: impl Fn(&mut SecondFactor) -> bool + Send,
    ) -> Result<Option<SecondFactor>, CatalogError> {
        let row = keys::second_factor(user);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<SecondFactor>(&self.view().await?, &row).await?;
            let Some(mut factor) = found.record else { return Ok(None) };
            if !change(&mut factor) {
                return Ok(None);
            }
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &factor)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(factor));
            }
        }
        Err(CatalogError::Contended)
    }

    /// Removes a user's second factor, by who has shown the password of this hash and a code that was not used. Gives whether both hold.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn remove_second_factor(
        &self,
        user: UserId,
        (proven, shown): (&PasswordHash, &Shown),
    ) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = proven_factor(&self.view().await?, user, proven).await?;
            let Some((known, mut batch)) = found else { return Ok(false) };
            if known.and_then(|factor| factor.spent(shown)).is_none() {
                return Ok(false);
            }
            batch.delete(keys::second_factor(user));
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Takes a user's second factor away, as an administrator. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn clear_second_factor(&self, user: UserId) -> Result<bool, CatalogError> {
        self.delete_row::<SecondFactor>(keys::second_factor(user)).await
    }
}
