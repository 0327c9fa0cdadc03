//! Links: what a user lets everybody have who has one. The row of a link and its owner's are read for each request, so it ends with
//! either at once.

mod proven;
mod room;

use std::net::IpAddr;

use datamesh_catalog::catalog::{CatalogError, KnownShare, ShareError};
use datamesh_catalog::{
    AskedDownload, BucketId, CredentialId, PasswordHash, Share, Shared, UploadId, User, UserId,
};
use datamesh_shard::BucketName;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::secrets::{Presented, SHARE_PREFIX};
use super::sign_in::address_of;
use super::{Accounts, DAY_MS, no_account, superseded};
use crate::auth::{Address, Need, Principal, Via, Who};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

pub(super) use proven::ProvenLately;
pub(crate) use room::Room;

/// Days a link lasts at most.
pub(crate) const SHARE_DAYS_MAX: u64 = 366;
/// Separates who downloads what from every other BLAKE3 use.
const DOWNLOAD: &str = "datamesh.io 2026 who downloads what by a link";

/// What is wanted of a link.
pub(crate) struct NewShare {
    pub(crate) bucket: BucketId,
    pub(crate) bucket_name: BucketName,
    pub(crate) what: Shared,
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) days: u64,
}

/// A link that was just made: the one time its secret is shown.
pub(crate) struct MadeShare {
    pub(crate) known: KnownShare,
    pub(crate) text: Zeroizing<String>,
}

/// A link that counts, for who has it.
pub(crate) struct OpenShare {
    pub(crate) id: CredentialId,
    pub(crate) share: Share,
    pub(crate) owner: User,
}

impl OpenShare {
    fn which(&self) -> (UserId, CredentialId) {
        (self.owner.id, self.id)
    }
}

/// There is no such link, whatever is wrong with it.
pub(crate) fn no_share() -> Problem {
    Problem::new(Kind::NoSuchShare, "ask whoever gave you the link for another")
}

fn used_up(detail: &str) -> Problem {
    Problem::new(Kind::ShareUsedUp, format!("{detail}: ask whoever gave you the link for another"))
}

fn not_shared(error: ShareError) -> Problem {
    match error {
        ShareError::Superseded => superseded(),
        ShareError::Invalid(invalid) => {
            Problem::new(Kind::Conflict, format!("{invalid}: end some that are not needed any more"))
        }
        ShareError::Catalog(error) => refusals::catalog(error),
    }
}

impl Accounts {
    /// Makes a link of the user who asks.
    ///
    /// # Errors
    /// `conflict` for who has a token file: a link ends with its owner's account.
    pub(crate) async fn make_share(
        &self,
        principal: &Principal,
        new: NewShare,
    ) -> Result<MadeShare, Problem> {
        let (Who::User { id: user, .. }, Via::Session(session)) = (&principal.who, &principal.via) else {
            return Err(no_account());
        };
        let NewShare { bucket, bucket_name, what, password, days } = new;
        if !(1..=SHARE_DAYS_MAX).contains(&days) {
            let detail = format!("a link lasts 1 to {SHARE_DAYS_MAX} days, not {days}");
            return Err(Problem::new(Kind::InvalidBody, detail).in_body("days"));
        }
        let password = match password {
            Some(password) => Some(self.passwords.hash(*user, password).await?),
            None => None,
        };
        let presented = Presented::fresh(SHARE_PREFIX, *user, &*self.surroundings);
        let created_unix_ms = self.now();
        let share = Share {
            hash: presented.hash(&self.secret),
            bucket,
            bucket_name,
            what,
            password,
            created_unix_ms,
            until_unix_ms: created_unix_ms.saturating_add(days * DAY_MS),
        };
        let new = (presented.id, &share);
        self.catalog.add_share((*user, *session), new, created_unix_ms).await.map_err(not_shared)?;
        let known = KnownShare { id: presented.id, share, used: Default::default() };
        Ok(MadeShare { known, text: presented.text() })
    }

    /// The links of the user who asks that count.
    pub(crate) async fn shares(&self, principal: &Principal) -> Result<Vec<KnownShare>, Problem> {
        let Who::User { id, .. } = principal.who else { return Err(no_account()) };
        self.shares_of_id(id).await
    }

    /// The links of a user that count, as an administrator.
    pub(crate) async fn shares_of(&self, name: &str) -> Result<Vec<KnownShare>, Problem> {
        self.shares_of_id(self.user(name).await?.id).await
    }

    async fn shares_of_id(&self, user: UserId) -> Result<Vec<KnownShare>, Problem> {
        let mut known = self.catalog.shares(user).await.map_err(refusals::catalog)?;
        known.retain(|known| known.share.until_unix_ms > self.now());
        Ok(known)
    }

    /// Ends a link of the user who asks.
    pub(crate) async fn end_share(&self, principal: &Principal, id: &str) -> Result<(), Problem> {
        let Who::User { id: user, .. } = principal.who else { return Err(no_account()) };
        self.end_share_of_id(user, id).await
    }

    /// Ends a link of a user, as an administrator.
    pub(crate) async fn end_share_of(&self, name: &str, id: &str) -> Result<(), Problem> {
        self.end_share_of_id(self.user(name).await?.id, id).await
    }

    async fn end_share_of_id(&self, user: UserId, id: &str) -> Result<(), Problem> {
        let none =
            || Problem::new(Kind::NoSuchShare, "it has ended, or is somebody else's").in_parameter("id");
        let id = id.parse().map_err(|_| none())?;
        match self.catalog.end_share(user, id).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(none()),
        }
    }

    /// What a link stands for, now, for who shows its secret and its password.
    ///
    /// # Errors
    /// `no-such-share` for every link that does not count, `share-password-required` without the right password, `too-many-requests`
    /// with the time to wait after wrong ones.
    pub(crate) async fn open_share(
        &self,
        text: &str,
        password: Option<Zeroizing<String>>,
        from: Option<Address>,
    ) -> Result<OpenShare, Problem> {
        let open = self.counting_share(text).await?;
        if let Some(hash) = &open.share.password {
            self.prove(open.which(), (password, hash), from).await?;
        }
        Ok(open)
    }

    /// The same without its password: whoever asks showed it before.
    ///
    /// # Errors
    /// `no-such-share` for every link that does not count.
    pub(crate) async fn counting_share(&self, text: &str) -> Result<OpenShare, Problem> {
        let presented = Presented::read(text).filter(|presented| presented.prefix == SHARE_PREFIX);
        let presented = presented.ok_or_else(no_share)?;
        let (user, id) = (presented.user, presented.id);
        let found = self.catalog.share(user, id).await.map_err(refusals::catalog)?;
        let (share, owner) = found.ok_or_else(no_share)?;
        let right: bool = presented.hash(&self.secret).ct_eq(&share.hash).into();
        if !right || share.until_unix_ms <= self.now() || !may_share(&owner, &share) {
            return Err(no_share());
        }
        Ok(OpenShare { id, share, owner })
    }

    /// Whether it is the link's password. Wrong ones cost pauses as at sign-in, of the link and the address together.
    async fn prove(
        &self,
        (user, id): (UserId, CredentialId),
        (password, hash): (Option<Zeroizing<String>>, &PasswordHash),
        from: Option<Address>,
    ) -> Result<(), Problem> {
        let wrong = |detail| Problem::new(Kind::SharePasswordRequired, detail);
        let Some(password) = password else {
            return Err(wrong("send it by HTTP's Basic authentication, with any name"));
        };
        // No user has a name with a colon.
        let name = format!("link:{id}");
        // One after the other: who asks many times at once with the right password finds it proven, and does not wait for their own.
        let _one = self.proven.turn(id).await;
        let attempt = self.attempt(&name, from)?;
        let is_right = self.proven.knows((hash, &password), self.now())
            || self.passwords.verify(user, password.clone(), Some(hash.clone())).await?;
        if !is_right {
            tracing::info!(link = %id, "a password of a link was wrong");
            return Err(wrong("the password is wrong"));
        }
        self.proven.remember((hash, &password), self.now());
        self.throttle.succeeded((&name, address_of(from)), attempt);
        Ok(())
    }

    /// Counts a request for `bytes` of an object of so many bytes, where the link has a maximum. It is counted before a byte is sent.
    ///
    /// # Errors
    /// `share-used-up` where it is one too many.
    pub(crate) async fn count_download(
        &self,
        open: &OpenShare,
        asked: (UploadId, u64, u64),
        from: Option<Address>,
    ) -> Result<(), Problem> {
        let Some((asked, max)) = bounded(open, asked, from)? else { return Ok(()) };
        counted(self.catalog.count_download(open.which(), (asked, max), self.now()).await)
    }

    /// Whether one would be counted: what is used up already has nothing read for it.
    ///
    /// # Errors
    /// `share-used-up` where it would be one too many.
    pub(crate) async fn has_download(
        &self,
        open: &OpenShare,
        asked: (UploadId, u64, u64),
        from: Option<Address>,
    ) -> Result<(), Problem> {
        let Some((asked, max)) = bounded(open, asked, from)? else { return Ok(()) };
        counted(self.catalog.has_download(open.which(), (asked, max), self.now()).await)
    }

    /// Takes the room of a file of so many bytes. What does not come of it is given back.
    ///
    /// # Errors
    /// `share-used-up` where there is none.
    pub(crate) async fn take_room(&self, open: &OpenShare, bytes: u64) -> Result<Room, Problem> {
        let Shared::Drop { files_max, bytes_max, .. } = open.share.what else { return Err(no_share()) };
        match self.catalog.take_room(open.which(), (bytes, (files_max, bytes_max))).await {
            Ok(true) => Ok(Room::new(&self.context, open.which(), bytes)),
            Ok(false) => Err(used_up("there is no room for the file")),
            Err(error) => Err(refusals::catalog(error)),
        }
    }
}

/// Whether a link's owner may do themselves what it lets others do.
fn may_share(owner: &User, share: &Share) -> bool {
    let need = match share.what {
        Shared::Object { .. } | Shared::Prefix { .. } => Need::Read,
        Shared::Drop { .. } => Need::Write,
    };
    !owner.disabled && need.role().is_none_or(|least| owner.role >= least)
}

/// A download as it is counted, where the link has only so many.
fn bounded(
    open: &OpenShare,
    (object, bytes, of): (UploadId, u64, u64),
    from: Option<Address>,
) -> Result<Option<(AskedDownload, u32)>, Problem> {
    let (Shared::Object { downloads_max, .. } | Shared::Prefix { downloads_max, .. }) = &open.share.what
    else {
        return Err(no_share());
    };
    let asked = AskedDownload { whose: whose(address_of(from), object), bytes, of };
    Ok(downloads_max.map(|max| (asked, max)))
}

fn counted(counts: Result<bool, CatalogError>) -> Result<(), Problem> {
    match counts {
        Ok(true) => Ok(()),
        Ok(false) => Err(used_up("all its downloads were had")),
        Err(error) => Err(refusals::catalog(error)),
    }
}

fn whose(from: IpAddr, object: UploadId) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(DOWNLOAD);
    hasher.update(&object.0).update(from.to_canonical().to_string().as_bytes());
    let mut out = [0; 16];
    hasher.finalize_xof().fill(&mut out);
    out
}
