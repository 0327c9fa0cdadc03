//! Users who sign in at a provider of OpenID Connect, by issuer and subject.

use super::credentials::KnownCredential;
use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::given_groups::{GroupChange, take_groups};
use super::users::name_user;
use super::{Catalog, CatalogError, Invalid, UserError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::limits::{ISSUER_BYTES_MAX, SUBJECT_BYTES_MAX};
use crate::model::{CredentialId, GroupName, Identity, SecondFactor, User, UserId};
use crate::record::{self, IdentityRecord, KeyOnlyRecord};

/// Used sign-ins that are over and go with each new one.
const SWEPT_AT_ONCE: usize = 16;
/// For how long they are over then.
const SWEPT_AFTER_MS: u64 = 3_600_000;

/// Why somebody at a provider was not bound to a user, or not set free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// They are another user already, or were until it ended.
    #[error("they are or were another user: an administrator unbinds them there")]
    Taken,
    /// The user is somebody else at that provider.
    #[error("the user is somebody else at that provider: unbind them first")]
    Another,
    /// The session that asked has ended, the password or the second factor is another, or the user is disabled.
    #[error(
        "the session that asked has ended, the password or second factor is another, or the user is disabled"
    )]
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

/// Who somebody at a provider is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody: they may become a user.
    Nobody,
    /// This user.
    Bound(User),
    /// Nobody any more: they were a user until that ended, and only the same user binds them anew.
    Ended,
}

/// Who takes a user's identity at a provider away.
#[derive(Clone, Copy, Debug)]
pub enum Unbinder<'a> {
    /// The user, in this session, which goes on; they need another of these issuers, or a password, to sign in.
    Themselves(CredentialId, &'a [&'a str]),
    /// An administrator, also what has ended: whoever it is may become a user again.
    Administrator,
}

fn validate(identity: &Identity) -> Result<(), Invalid> {
    at_most("bytes of an issuer", identity.issuer.len(), ISSUER_BYTES_MAX)?;
    at_most("bytes of a subject", identity.subject.len(), SUBJECT_BYTES_MAX)
}

/// Both rows are written together, so who expects one as it was expects both.
fn write(batch: &mut Batch, record: &IdentityRecord) -> Result<(), CatalogError> {
    put(batch, keys::identity(&record.identity), record)?;
    put(batch, keys::identity_of(record.user, &record.identity.issuer), record)
}

fn erase(batch: &mut Batch, record: &IdentityRecord) {
    batch.delete(keys::identity(&record.identity));
    batch.delete(keys::identity_of(record.user, &record.identity.issuer));
}

async fn read_all(view: &impl View, user: UserId) -> Result<Vec<IdentityRecord>, CatalogError> {
    let rows = whole(view, keys::identities(user)).await?.rows;
    rows.iter().map(|row| Ok(record::decode(&row.value)?)).collect()
}

/// Has a batch end who a user is at all providers. What remains says so: without it, they would be somebody new at their next sign-in.
/// The batch fails when they are bound to another meanwhile.
pub(super) async fn end_all(view: &impl View, user: UserId, batch: &mut Batch) -> Result<(), CatalogError> {
    let since = view.revision().await?;
    for record in read_all(view, user).await? {
        write(batch, &IdentityRecord { ended: true, ..record })?;
    }
    batch.expect_unchanged(keys::identities(user), since);
    Ok(())
}

/// Has a batch forget who a user was at all providers.
pub(super) async fn forget_all(
    view: &impl View,
    user: UserId,
    batch: &mut Batch,
) -> Result<(), CatalogError> {
    let since = view.revision().await?;
    read_all(view, user).await?.iter().for_each(|record| erase(batch, record));
    batch.expect_unchanged(keys::identities(user), since);
    Ok(())
}

/// Looks whether somebody at a provider is this user; the batch fails when they are not any more.
pub(super) async fn stays_bound(
    view: &impl View,
    (user, identity): (UserId, &Identity),
    batch: &mut Batch,
) -> Result<bool, CatalogError> {
    let row = keys::identity(identity);
    let found = find::<IdentityRecord>(view, &row).await?;
    batch.expect(row, found.version);
    Ok(found.record.is_some_and(|record| record.user == user && !record.ended))
}

/// Looks whether somebody at a provider is or was a user; if not, the batch fails when they are meanwhile. Gateways of versions that do
/// not know this table delete users without their rows here: those are taken over.
async fn is_free(view: &impl View, identity: &Identity, batch: &mut Batch) -> Result<bool, CatalogError> {
    let row = keys::identity(identity);
    let found = find::<IdentityRecord>(view, &row).await?;
    batch.expect(row, found.version);
    let Some(record) = found.record else { return Ok(true) };
    let owner = keys::user(record.user);
    if view.get(&owner).await?.is_some() {
        return Ok(false);
    }
    batch.expect(owner, None);
    batch.delete(keys::identity_of(record.user, &identity.issuer));
    Ok(true)
}

impl<K: Keyspace> Catalog<K> {
    /// Who somebody at a provider is here.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn standing_of(&self, identity: &Identity) -> Result<Standing, CatalogError> {
        let view = self.view().await?;
        let Some(record) = find::<IdentityRecord>(&view, &keys::identity(identity)).await?.record else {
            return Ok(Standing::Nobody);
        };
        let user = find::<User>(&view, &keys::user(record.user)).await?.record;
        Ok(match user {
            None => Standing::Nobody,
            Some(_) if record.ended => Standing::Ended,
            Some(user) => Standing::Bound(user),
        })
    }

    /// All that a user is or was at providers, by issuer.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn identities(&self, user: UserId) -> Result<Vec<IdentityRecord>, CatalogError> {
        read_all(&self.view().await?, user).await
    }

    /// Makes somebody at a provider a user, in the groups that it says they are in. Gives what came of those.
    ///
    /// # Errors
    /// See [`UserError`]; `Taken` also where they are or were a user already.
    pub async fn create_user_of(
        &self,
        user: &User,
        identity: &Identity,
        groups: Option<&[(GroupName, bool)]>,
    ) -> Result<Vec<(GroupName, GroupChange)>, UserError> {
        validate(identity)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut batch = Batch::new();
            let view = self.view().await?;
            if !is_free(&view, identity, &mut batch).await? {
                return Err(UserError::Taken(user.name.clone()));
            }
            let record = IdentityRecord { user: user.id, identity: identity.clone(), ended: false };
            write(&mut batch, &record)?;
            name_user(&view, user, &mut batch).await?;
            let changes = take_groups(&view, user.id, groups, &mut batch).await?;
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(changes);
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Binds somebody at a provider to a user whose session asked for it and has not ended, if what they `proved` for it they prove
    /// still. Nobody's second factor: none that counts.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn bind_identity(
        &self,
        (user, asks): (UserId, CredentialId),
        identity: &Identity,
        proved: impl Fn(&User, Option<&SecondFactor>) -> bool + Send + Sync,
    ) -> Result<(), IdentityError> {
        validate(identity)?;
        let (owner_row, session) = (keys::user(user), keys::credential(user, asks));
        let (factor_row, here) = (keys::second_factor(user), keys::identity_of(user, &identity.issuer));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut batch = Batch::new();
            let owner = find::<User>(&view, &owner_row).await?;
            let factor = find::<SecondFactor>(&view, &factor_row).await?;
            let found = view.get(&session).await.map_err(CatalogError::from)?;
            let counts = factor.record.filter(SecondFactor::counts);
            let holds = |user: &User| !user.disabled && proved(user, counts.as_ref());
            let Some(found) = found.filter(|_| owner.record.as_ref().is_some_and(holds)) else {
                return Err(IdentityError::Superseded);
            };
            batch.expect(owner_row.clone(), owner.version);
            batch.expect(factor_row.clone(), factor.version);
            batch.expect(session.clone(), Some(found.version));
            let mine = find::<IdentityRecord>(&view, &here).await?;
            match mine.record {
                Some(record) if record.identity == *identity && !record.ended => return Ok(()),
                Some(record) if !record.ended => return Err(IdentityError::Another),
                // What ended is bound anew, by the user whose it was.
                Some(record) if record.identity == *identity => {}
                other => {
                    if !is_free(&view, identity, &mut batch).await? {
                        return Err(IdentityError::Taken);
                    }
                    other.iter().for_each(|record| batch.delete(keys::identity(&record.identity)));
                }
            }
            batch.expect(here.clone(), mine.version);
            drop(view);
            write(&mut batch, &IdentityRecord { user, identity: identity.clone(), ended: false })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Unbinds a user from who they are at a provider; the sessions that it may have begun end with it: all but the one that asks.
    /// Gives whether they were anybody there.
    ///
    /// # Errors
    /// [`IdentityError::LastWay`] where they could not sign in any more.
    pub async fn unbind_identity(
        &self,
        user: UserId,
        issuer: &str,
        by: Unbinder<'_>,
    ) -> Result<bool, IdentityError> {
        let owner_row = keys::user(user);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let owner = find::<User>(&view, &owner_row).await?;
            let since = view.revision().await.map_err(CatalogError::from)?;
            let all = read_all(&view, user).await?;
            let known = super::credentials::read_all(&view, user).await?;
            drop(view);
            let Some(bound) = all.iter().find(|record| record.identity.issuer == issuer) else {
                return Ok(false);
            };
            let mut spared = None;
            if let Unbinder::Themselves(asks, issuers) = by {
                if bound.ended {
                    return Ok(false);
                }
                let leads_in = |other: &IdentityRecord| {
                    let there = other.identity.issuer.as_str();
                    there != issuer && !other.ended && issuers.contains(&there)
                };
                let has_password = owner.record.as_ref().is_some_and(|user| user.password.is_some());
                if !has_password && !all.iter().any(leads_in) {
                    return Err(IdentityError::LastWay);
                }
                spared = Some(asks);
            }
            let mut batch = Batch::new();
            batch.expect(owner_row.clone(), owner.version);
            batch.expect_unchanged(keys::identities(user), since);
            batch.expect_unchanged(keys::credentials(user), since);
            erase(&mut batch, bound);
            let ends = |known: &&KnownCredential| known.is_session() && Some(known.id) != spared;
            known.iter().filter(ends).for_each(|known| batch.delete(keys::credential(user, known.id)));
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended.into())
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
            // A gateway whose clock is behind takes what has run out here already.
            let over = keys::used_states_before(now_unix_ms.saturating_sub(SWEPT_AFTER_MS));
            let over = view.range(&over, RangeLimits::rows(SWEPT_AT_ONCE)).await?;
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
