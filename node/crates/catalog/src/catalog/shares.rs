//! What users let everybody have who has a link. How much of it was used is a row of its own, so that those who use links hold up
//! nobody who makes or ends them.

use super::faults::{ATTEMPTS_MAX, at_most, each, find, put, whole};
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, Row, View};
use crate::limits::SHARES_MAX;
use crate::model::{AskedDownload, CredentialId, Share, ShareUse, User, UserId};
use crate::record;

/// Why a share was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The user or the session that asks is gone, or the user is disabled.
    #[error("the user or the session is gone, or the user is disabled")]
    Superseded,
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A share, its id, and how much of it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownShare {
    /// Its id.
    pub id: CredentialId,
    /// What it is.
    pub share: Share,
    /// How much of it was used.
    pub used: ShareUse,
}

/// A row of a share whose user is not there, or of the use of one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrayShare {
    /// The user.
    pub user: UserId,
    /// The share.
    pub id: CredentialId,
    /// Whether it is taken away.
    pub mended: bool,
}

fn delete(batch: &mut Batch, user: UserId, id: CredentialId) {
    batch.delete(keys::share(user, id));
    batch.delete(keys::share_use(user, id));
}

async fn read_all(view: &impl View, user: UserId) -> Result<Vec<(CredentialId, Share)>, CatalogError> {
    let share = |row: &Row| Ok((keys::read_share(&row.key, Table::Share)?.1, record::decode(&row.value)?));
    whole(view, keys::shares(user)).await?.rows.iter().map(share).collect()
}

/// Has a batch end all of a user's shares. It fails at its commit when there is a new one.
pub(super) async fn end_all(view: &impl View, user: UserId, batch: &mut Batch) -> Result<(), CatalogError> {
    batch.expect_unchanged(keys::shares(user), view.revision().await?);
    for row in whole(view, keys::shares(user)).await?.rows {
        delete(batch, user, keys::read_share(&row.key, Table::Share)?.1);
    }
    Ok(())
}

impl<K: Keyspace> Catalog<K> {
    /// Keeps a new share of a user who asks by a session that has not ended. What has run out goes with it.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn add_share(
        &self,
        (user, asks): (UserId, CredentialId),
        (id, share): (CredentialId, &Share),
        now_unix_ms: u64,
    ) -> Result<(), ShareError> {
        let (owner_row, session_row) = (keys::user(user), keys::credential(user, asks));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let owner = find::<User>(&view, &owner_row).await?;
            let session = view.get(&session_row).await.map_err(CatalogError::from)?;
            if session.is_none() || owner.record.is_none_or(|user| user.disabled) {
                return Err(ShareError::Superseded);
            }
            let mut batch = Batch::new();
            batch.expect(owner_row.clone(), owner.version);
            batch.expect(session_row.clone(), session.map(|row| row.version));
            batch.expect_unchanged(keys::shares(user), view.revision().await.map_err(CatalogError::from)?);
            let known = read_all(&view, user).await?;
            drop(view);
            let (live, over): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|(_, share)| share.until_unix_ms > now_unix_ms);
            over.iter().for_each(|(id, _)| delete(&mut batch, user, *id));
            at_most("links of a user", live.len() + 1, SHARES_MAX)?;
            put(&mut batch, keys::share(user, id), share)?;
            put(&mut batch, keys::share_use(user, id), &ShareUse::default())?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// A share and whose it is, as they are now.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn share(&self, user: UserId, id: CredentialId) -> Result<Option<(Share, User)>, CatalogError> {
        let view = self.view().await?;
        let Some(share) = find::<Share>(&view, &keys::share(user, id)).await?.record else { return Ok(None) };
        Ok(find::<User>(&view, &keys::user(user)).await?.record.map(|user| (share, user)))
    }

    /// All of a user's, by id.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn shares(&self, user: UserId) -> Result<Vec<KnownShare>, CatalogError> {
        let view = self.view().await?;
        let mut all = Vec::new();
        for (id, share) in read_all(&view, user).await? {
            let used = find::<ShareUse>(&view, &keys::share_use(user, id)).await?.record.unwrap_or_default();
            all.push(KnownShare { id, share, used });
        }
        Ok(all)
    }

    /// Ends a share. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn end_share(&self, user: UserId, id: CredentialId) -> Result<bool, CatalogError> {
        let row = keys::share(user, id);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<Share>(&self.view().await?, &row).await?;
            if found.record.is_none() {
                return Ok(false);
            }
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            delete(&mut batch, user, id);
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Whether a download would be counted now: nothing is, and another may come first.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn has_download(
        &self,
        (user, id): (UserId, CredentialId),
        (asked, max): (AskedDownload, u32),
        now_unix_ms: u64,
    ) -> Result<bool, CatalogError> {
        let view = self.view().await?;
        let used = find::<ShareUse>(&view, &keys::share_use(user, id)).await?.record;
        Ok(used.is_some_and(|used| used.with_download(asked, max, now_unix_ms).is_some()))
    }

    /// Counts a download of a share that has a maximum. Gives whether it may be: the share is there still, and it is not one too many.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn count_download(
        &self,
        (user, id): (UserId, CredentialId),
        (asked, max): (AskedDownload, u32),
        now_unix_ms: u64,
    ) -> Result<bool, CatalogError> {
        self.change_use((user, id), |used| used.with_download(asked, max, now_unix_ms)).await
    }

    /// Takes the room of a file that is coming. Gives whether there is some, and the share.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn take_room(
        &self,
        (user, id): (UserId, CredentialId),
        (bytes, bounds): (u64, (u32, u64)),
    ) -> Result<bool, CatalogError> {
        self.change_use((user, id), |used| used.with_file(bytes, bounds)).await
    }

    /// Gives the room back of a file that did not come.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn give_room_back(
        &self,
        (user, id): (UserId, CredentialId),
        bytes: u64,
    ) -> Result<(), CatalogError> {
        self.change_use((user, id), |used| Some(used.without_file(bytes))).await.map(drop)
    }

    async fn change_use(
        &self,
        (user, id): (UserId, CredentialId),
        change: impl Fn(ShareUse) -> Option<ShareUse> + Send,
    ) -> Result<bool, CatalogError> {
        let (row, use_row) = (keys::share(user, id), keys::share_use(user, id));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let share = find::<Share>(&view, &row).await?;
            let used = find::<ShareUse>(&view, &use_row).await?;
            drop(view);
            let Some(next) = share.record.and_then(|_| change(used.record.unwrap_or_default())) else {
                return Ok(false);
            };
            let mut batch = Batch::new();
            batch.expect(row.clone(), share.version);
            batch.expect(use_row.clone(), used.version);
            put(&mut batch, use_row.clone(), &next)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Shares of users that are not there, and uses of shares that are not. With `mend`, they are taken away.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn stray_shares(&self, mend: bool) -> Result<Vec<StrayShare>, CatalogError> {
        let view = self.view().await?;
        let mut found = Vec::new();
        for table in [Table::Share, Table::ShareUse] {
            each(&view, keys::all(table), |row| {
                found.push((keys::read_share(&row.key, table)?, table, row.key, row.version));
                Ok(())
            })
            .await?;
        }
        let mut strays = Vec::new();
        for ((user, id), table, key, version) in found {
            let rests_on = if table == Table::Share { keys::user(user) } else { keys::share(user, id) };
            if view.get(&rests_on).await?.is_some() {
                continue;
            }
            let mut stray = StrayShare { user, id, mended: false };
            if mend {
                let mut batch = Batch::new();
                batch.expect(key.clone(), Some(version));
                batch.expect(rests_on, None);
                batch.delete(key);
                batch.delete(keys::share_use(user, id));
                stray.mended = self.try_commit(batch).await?.is_some();
            }
            strays.push(stray);
        }
        Ok(strays)
    }
}
