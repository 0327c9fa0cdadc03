//! Codes by which users prove that they read the mail of an address. They are no credentials: nothing is signed in by one, and versions
//! that do not know them must read all that is.

use super::credentials::CredentialError;
use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::users::Ends;
use super::{Catalog, CatalogError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, View};
use crate::limits::{EMAIL_BYTES_MAX, MAILED_CODES_MAX};
use crate::model::{AddressCode, CredentialId, PasswordHash, User, UserId};
use crate::record;

/// Has a batch delete all codes of a user; it fails when there is a new one meanwhile.
pub(super) async fn end_all(view: &impl View, user: UserId, batch: &mut Batch) -> Result<(), CatalogError> {
    let since = view.revision().await?;
    whole(view, keys::address_codes(user)).await?.rows.into_iter().for_each(|row| batch.delete(row.key));
    batch.expect_unchanged(keys::address_codes(user), since);
    Ok(())
}

/// What somebody who claims an address has proven: it is looked at again in the commit that keeps the code.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// Who it is.
    pub user: UserId,
    /// The hash of the password that was right, or that they have just chosen.
    pub password: &'a PasswordHash,
    /// The session that asks; none: they have just registered.
    pub asks: Option<CredentialId>,
}

impl<K: Keyspace> Catalog<K> {
    /// Keeps a code that is mailed to an address a user claims: to who reads it there it is theirs. What has run out goes with it.
    ///
    /// # Errors
    /// See [`CredentialError`]; a limit where they have [`MAILED_CODES_MAX`] such codes.
    pub async fn add_address_code(
        &self,
        Claimant { user, password, asks }: Claimant<'_>,
        (id, code): (CredentialId, &AddressCode),
        now_unix_ms: u64,
    ) -> Result<(), CredentialError> {
        at_most("bytes of an e-mail address", code.email.len(), EMAIL_BYTES_MAX)?;
        let row = keys::user(user);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut batch = Batch::new();
            let owner = find::<User>(&view, &row).await?;
            let Some(known) = owner.record else { return Err(CredentialError::NoUser) };
            if let Some(asks) = asks {
                let session = keys::credential(user, asks);
                let found = view.get(&session).await.map_err(CatalogError::from)?;
                let version = found.ok_or(CredentialError::Superseded)?.version;
                batch.expect(session, Some(version));
            }
            if !known.proves(password) {
                return Err(CredentialError::Superseded);
            }
            let since = view.revision().await.map_err(CatalogError::from)?;
            let mut live = 0;
            for row in whole(&view, keys::address_codes(user)).await?.rows {
                if record::decode::<AddressCode>(&row.value).map_err(CatalogError::from)?.until_unix_ms
                    > now_unix_ms
                {
                    live += 1;
                } else {
                    batch.delete(row.key);
                }
            }
            drop(view);
            at_most("codes that are mailed to a user", live + 1, MAILED_CODES_MAX)?;
            batch.expect(row.clone(), owner.version);
            batch.expect_unchanged(keys::address_codes(user), since);
            put(&mut batch, keys::address_code(user, id), code)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// A code and whose it is, as they are now.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn address_code(
        &self,
        user: UserId,
        id: CredentialId,
    ) -> Result<Option<(AddressCode, User)>, CatalogError> {
        let view = self.view().await?;
        let code = find::<AddressCode>(&view, &keys::address_code(user, id)).await?.record;
        Ok(code.zip(find::<User>(&view, &keys::user(user)).await?.record))
    }

    /// Has a code count no more. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn end_address_code(&self, user: UserId, id: CredentialId) -> Result<bool, CatalogError> {
        self.delete_row::<AddressCode>(keys::address_code(user, id)).await
    }

    /// Has mail reach a user where a code of this id was mailed and read, and uses the code up. Codes to choose a password that went to
    /// another address end in the same commit. Gives the user as they then are, `None` when there is no such code any more or they are
    /// disabled.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn confirm_email(&self, id: UserId, code: CredentialId) -> Result<Option<User>, CatalogError> {
        let (row, code_row) = (keys::user(id), keys::address_code(id, code));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<User>(&view, &row).await?;
            let known = find::<AddressCode>(&view, &code_row).await?.record;
            let (Some(mut user), Some(AddressCode { email, .. })) = (found.record, known) else {
                return Ok(None);
            };
            if user.disabled {
                return Ok(None);
            }
            let mut batch = Batch::new();
            self.end_credentials(&view, (id, Ends::Codes), &mut batch).await?;
            drop(view);
            user.email = Some(email);
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &user)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(user));
            }
        }
        Err(CatalogError::Contended)
    }
}
