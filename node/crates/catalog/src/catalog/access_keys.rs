//! S3 key pairs. Whose one is, its row says by name. The name of a user is theirs alone and never changes, their keys go with them in one
//! commit (the first of very many before it), and nobody becomes a user by the name of a key's owner: so it means one person for as long as the key is there.

use super::credentials::spend_factor;
use super::faults::{ATTEMPTS_MAX, at_most, each, find, put, whole};
use super::{Catalog, CatalogError, CredentialError, Invalid, Proven};
use crate::keys::{self, KeyError, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, Revision, Row, View};
use crate::limits::{
    ACCESS_KEY_BUCKETS_MAX, ACCESS_KEY_NAME_BYTES_MAX, ACCESS_KEYS_MAX, ACCESS_KEYS_OF_USER_MAX,
    ACCESS_KEYS_RESERVED, WRAPPED_SECRET_BYTES_MAX,
};
use crate::model::{AccessKey, AccessKeyId, CredentialId, User, UserId, UserName};
use crate::record::{self, AccessKeyRecord, UserNameRecord};

/// Keys of one owner that one commit changes: with as many buckets as they may name, they fit a batch beside the rest.
const KEYS_AT_ONCE: usize = 256;

/// For whom a key pair is made. It is looked for in the commit that keeps the key.
#[derive(Clone, Copy, Debug)]
pub enum KeyFor<'a> {
    /// No user: the owner is a label, which must be no name that a user can have.
    Nobody,
    /// A user who is not disabled, by the will of an administrator.
    User(UserId),
    /// Whoever has just proven this in a session that has not ended, and has room for another.
    Themselves {
        /// Who.
        user: UserId,
        /// What they proved. What was shown of a second factor is used up.
        proven: Proven<'a>,
        /// The session that asks.
        asks: CredentialId,
    },
}

/// Why a key pair was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessKeyError {
    /// The id is in use.
    #[error("there is an access key {0} already")]
    Taken(AccessKeyId),
    /// Its owner is disabled.
    #[error("the owner of the key is disabled")]
    Disabled,
    /// Its owner has as many as one makes for oneself.
    #[error(
        "the owner of the key has {ACCESS_KEYS_OF_USER_MAX} of them, which is the most that one makes for oneself"
    )]
    Full,
    /// There is no such owner, or what they proved holds no more.
    #[error(transparent)]
    Owner(#[from] CredentialError),
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn key_of(id: AccessKeyId, record: AccessKeyRecord) -> AccessKey {
    let AccessKeyRecord { grant, sealed_secret } = record;
    AccessKey { id, grant, sealed_secret }
}

fn validate(key: &AccessKey) -> Result<(), Invalid> {
    at_most("bytes of a key's name", key.grant.name.len(), ACCESS_KEY_NAME_BYTES_MAX)?;
    at_most("bytes of a key's owner", key.grant.owner.len(), ACCESS_KEY_NAME_BYTES_MAX)?;
    at_most("buckets of a key", key.grant.buckets.len(), ACCESS_KEY_BUCKETS_MAX)?;
    at_most("bytes of a sealed secret", key.sealed_secret.len(), WRAPPED_SECRET_BYTES_MAX)
}

fn read_key(row: &Row) -> Result<AccessKey, CatalogError> {
    let mut key = KeyReader::new(&row.key, Table::AccessKey)?;
    let id = String::from_utf8(key.bytes()?).map_err(|_| KeyError::Name)?;
    key.end()?;
    Ok(key_of(id.parse().map_err(|_| KeyError::Name)?, record::decode(&row.value)?))
}

fn is_of(key: &AccessKey, owner: &str) -> bool {
    key.grant.owner.eq_ignore_ascii_case(owner)
}

/// The keys of an owner, in whatever case, by id. All others are read and let go.
async fn of_owner(view: &impl View, owner: &str) -> Result<Vec<AccessKey>, CatalogError> {
    let mut theirs = Vec::new();
    let keep = |row: Row| {
        let key = read_key(&row)?;
        if is_of(&key, owner) {
            theirs.push(key);
        }
        Ok(())
    };
    each(view, keys::all(Table::AccessKey), keep).await?;
    Ok(theirs)
}

/// Whether keys act for a name.
pub(super) async fn act_for(view: &impl View, name: &UserName) -> Result<bool, CatalogError> {
    Ok(!of_owner(view, name.as_str()).await?.is_empty())
}

/// What becomes of all keys of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are refused from now on.
    Disabled,
    /// They are gone.
    Deleted,
}

impl Fate {
    fn befall(self, mut key: AccessKey, batch: &mut Batch) -> Result<(), CatalogError> {
        match self {
            Self::Deleted => batch.delete(keys::access_key(&key.id)),
            Self::Disabled => {
                key.grant.disabled = true;
                let AccessKey { id, grant, sealed_secret } = key;
                put(batch, keys::access_key(&id), &AccessKeyRecord { grant, sealed_secret })?;
            }
        }
        Ok(())
    }
}

/// Has a batch do this to all keys of a user; it fails at its commit when there is another key of anybody. A batch has bounds: of an owner
/// with more keys than fit, it gives one that comes before, after which the whole is to be begun anew.
pub(super) async fn befalls_all_of(
    view: &impl View,
    (user, fate): (&User, Fate),
    batch: &mut Batch,
) -> Result<Option<Batch>, CatalogError> {
    let since = view.revision().await?;
    let mut held = of_owner(view, user.name.as_str()).await?;
    held.retain(|key| fate == Fate::Deleted || !key.grant.disabled);
    let mut first = Batch::new();
    let (batch, comes_before) = match held.len() > KEYS_AT_ONCE {
        true => (&mut first, true),
        false => (batch, false),
    };
    batch.expect_unchanged(keys::all(Table::AccessKey), since);
    held.into_iter().take(KEYS_AT_ONCE).try_for_each(|key| fate.befall(key, batch))?;
    Ok(comes_before.then_some(first))
}

/// Has a batch rest on the user of a name being as they are now; gives them, if there is one.
async fn resting_on(view: &impl View, owner: &str, batch: &mut Batch) -> Result<Option<User>, CatalogError> {
    let Ok(name) = owner.parse::<UserName>() else { return Ok(None) };
    let by_name = find::<UserNameRecord>(view, &keys::user_name(&name.folded())).await?;
    let Some(UserNameRecord { user }) = by_name.record else { return Ok(None) };
    let row = keys::user(user);
    let found = find::<User>(view, &row).await?;
    batch.expect(row, found.version);
    Ok(found.record)
}

/// Has a batch rest on what a key is made by, given the rows of all keys.
async fn rest_on(
    view: &impl View,
    given: KeyFor<'_>,
    known: &[Row],
    batch: &mut Batch,
) -> Result<(), AccessKeyError> {
    let (KeyFor::User(user) | KeyFor::Themselves { user, .. }) = given else { return Ok(()) };
    let row = keys::user(user);
    let found = find::<User>(view, &row).await?;
    let owner = found.record.ok_or(CredentialError::NoUser)?;
    batch.expect(row, found.version);
    let KeyFor::Themselves { proven, asks, .. } = given else {
        return if owner.disabled { Err(AccessKeyError::Disabled) } else { Ok(()) };
    };
    let session = keys::credential(user, asks);
    let begun = view.get(&session).await.map_err(CatalogError::from)?;
    let Some(begun) = begun.filter(|_| owner.proves(proven.password)) else {
        return Err(CredentialError::Superseded.into());
    };
    batch.expect(session, Some(begun.version));
    let mut held = 0;
    for row in known {
        held += usize::from(is_of(&read_key(row)?, owner.name.as_str()));
    }
    if held >= ACCESS_KEYS_OF_USER_MAX {
        return Err(AccessKeyError::Full);
    }
    Ok(spend_factor(view, (user, proven.factor), batch).await?)
}

impl<K: Keyspace> Catalog<K> {
    /// Keeps a new key pair.
    ///
    /// # Errors
    /// See [`AccessKeyError`].
    pub async fn create_access_key(&self, key: &AccessKey, given: KeyFor<'_>) -> Result<(), AccessKeyError> {
        validate(key)?;
        let record = AccessKeyRecord { grant: key.grant.clone(), sealed_secret: key.sealed_secret.clone() };
        let row = keys::access_key(&key.id);
        let all = keys::all(Table::AccessKey);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let known = whole(&view, all.clone()).await?.rows;
            let since = view.revision().await.map_err(CatalogError::from)?;
            if known.iter().any(|known| known.key == row) {
                return Err(AccessKeyError::Taken(key.id.clone()));
            }
            let reserved = if matches!(given, KeyFor::Themselves { .. }) { ACCESS_KEYS_RESERVED } else { 0 };
            at_most("access keys", known.len() + 1, ACCESS_KEYS_MAX - reserved)?;
            let mut batch = Batch::new();
            rest_on(&view, given, &known, &mut batch).await?;
            drop(view);
            batch.expect_unchanged(all.clone(), since);
            put(&mut batch, row.clone(), &record)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// A key pair, and the commit that wrote it: one read.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn access_key(&self, id: &AccessKeyId) -> Result<Option<(AccessKey, Revision)>, CatalogError> {
        let Some(row) = self.keyspace.get(&keys::access_key(id)).await? else { return Ok(None) };
        Ok(Some((key_of(id.clone(), record::decode(&row.value)?), row.version)))
    }

    /// All key pairs, by id.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::AccessKey)).await?.rows;
        rows.iter().map(read_key).collect()
    }

    /// Those of an owner, in whatever case.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn access_keys_of(&self, owner: &str) -> Result<Vec<AccessKey>, CatalogError> {
        of_owner(&self.view().await?, owner).await
    }

    /// Refuses a key pair from now on, or takes it again. Gives whether there is one.
    ///
    /// # Errors
    /// [`AccessKeyError::Disabled`] where it shall be taken again and its owner is disabled; the engine's faults.
    pub async fn disable_access_key(&self, id: &AccessKeyId, disabled: bool) -> Result<bool, AccessKeyError> {
        let row = keys::access_key(id);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<AccessKeyRecord>(&view, &row).await?;
            let Some(mut record) = found.record else { return Ok(false) };
            let mut batch = Batch::new();
            if !disabled {
                let owner = resting_on(&view, &record.grant.owner, &mut batch).await?;
                if owner.is_some_and(|owner| owner.disabled) {
                    return Err(AccessKeyError::Disabled);
                }
            }
            drop(view);
            record.grant.disabled = disabled;
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &record)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Revokes a key pair for good. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn delete_access_key(&self, id: &AccessKeyId) -> Result<bool, CatalogError> {
        self.delete_row::<AccessKeyRecord>(keys::access_key(id)).await
    }
}
