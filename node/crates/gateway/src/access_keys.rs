//! S3 key pairs: made, found, revoked.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::catalog::{AccessKeyError, KeyFor};
use datamesh_catalog::keyspace::Revision;
use datamesh_catalog::limits::ACCESS_KEYS_OF_USER_MAX;
use datamesh_catalog::{AccessKey, AccessKeyId, EmbeddedCatalog, Grant, Permission, UserName};
use datamesh_seal::ClusterSecret;
use datamesh_shard::BucketName;
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::accounts::not_kept;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};
use crate::surroundings::{Surroundings, random};

/// What every id begins with.
const ID_PREFIX: &str = "DMAK";
/// 32 characters of which an id's others are drawn.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Bytes of a secret: 40 characters.
const SECRET_BYTES: usize = 30;

/// What is wanted of a new key pair.
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) permission: Permission,
    pub(crate) buckets: Vec<BucketName>,
}

/// A key pair that was just made: the one time its secret is shown.
pub(crate) struct MadeKey {
    pub(crate) key: AccessKey,
    pub(crate) secret: Zeroizing<String>,
}

/// A key pair that signs requests.
pub(crate) struct KnownKey {
    pub(crate) grant: Grant,
    pub(crate) secret: Zeroizing<String>,
}

/// All key pairs. Each request reads the row of its key anew, so a revoked key is refused at once; what is kept here is the
/// opened secret of a row that is still the same.
pub(crate) struct AccessKeys {
    catalog: EmbeddedCatalog,
    secret: Arc<ClusterSecret>,
    surroundings: Arc<dyn Surroundings>,
    opened: RwLock<HashMap<AccessKeyId, (Revision, Arc<KnownKey>)>>,
}

impl AccessKeys {
    pub(crate) fn new(
        catalog: EmbeddedCatalog,
        secret: Arc<ClusterSecret>,
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        Self { catalog, secret, surroundings, opened: RwLock::default() }
    }

    /// Makes a key pair, for whom it may be made.
    pub(crate) async fn create(&self, new: NewKey, given: KeyFor<'_>) -> Result<MadeKey, Problem> {
        let NewKey { name, owner, permission, buckets } = new;
        let created_unix_ms = self.surroundings.now_unix_ms();
        let grant = Grant { name, owner, permission, buckets, created_unix_ms, disabled: false };
        let id = self.new_id()?;
        let bytes = Zeroizing::new(random::<SECRET_BYTES>(&*self.surroundings));
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..]));
        let sealed_secret = self.secret.seal_access_key(id.as_str(), &secret);
        let key = AccessKey { id, grant, sealed_secret };
        self.catalog.create_access_key(&key, given).await.map_err(refused)?;
        Ok(MadeKey { key, secret })
    }

    fn new_id(&self) -> Result<AccessKeyId, Problem> {
        let drawn = random::<16>(&*self.surroundings);
        let letters = drawn.iter().map(|byte| char::from(ID_ALPHABET[usize::from(byte % 32)]));
        let id: String = ID_PREFIX.chars().chain(letters).collect();
        id.parse().map_err(|error| Problem::internal("the drawn key id is none", &error))
    }

    /// The key pair of an id as it is now, with its secret; `None` when there is none or it is disabled.
    pub(crate) async fn find(&self, id: &AccessKeyId) -> Result<Option<Arc<KnownKey>>, Problem> {
        let Some((key, revision)) = self.catalog.access_key(id).await.map_err(refusals::catalog)? else {
            self.opened.write().remove(id);
            return Ok(None);
        };
        if key.grant.disabled {
            self.opened.write().remove(id);
            return Ok(None);
        }
        if let Some((_, known)) = self.opened.read().get(id).filter(|(opened, _)| *opened == revision) {
            return Ok(Some(Arc::clone(known)));
        }
        let known = Arc::new(self.open(key)?);
        self.opened.write().insert(id.clone(), (revision, Arc::clone(&known)));
        Ok(Some(known))
    }

    /// The key pair of an id as [`AccessKeys::find`] gave it a moment ago.
    pub(crate) fn opened(&self, id: &AccessKeyId) -> Option<Arc<KnownKey>> {
        self.opened.read().get(id).map(|(_, known)| Arc::clone(known))
    }

    fn open(&self, key: AccessKey) -> Result<KnownKey, Problem> {
        let opened = self.secret.open_access_key(key.id.as_str(), &key.sealed_secret);
        let opened = opened.map_err(|error| Problem::internal("an access key does not open", &error))?;
        let secret = std::str::from_utf8(&opened).map(|text| Zeroizing::new(text.to_owned()));
        let secret = secret.map_err(|error| Problem::internal("an access key is no text", &error))?;
        Ok(KnownKey { grant: key.grant, secret })
    }

    /// All of them, by id.
    pub(crate) async fn list(&self) -> Result<Vec<AccessKey>, Problem> {
        self.catalog.access_keys().await.map_err(refusals::catalog)
    }

    /// Those of an owner, by id.
    pub(crate) async fn list_of(&self, owner: &UserName) -> Result<Vec<AccessKey>, Problem> {
        self.catalog.access_keys_of(owner.as_str()).await.map_err(refusals::catalog)
    }

    /// Refuses a key pair from now on, or takes it again.
    pub(crate) async fn disable(&self, id: &AccessKeyId, disabled: bool) -> Result<(), Problem> {
        match self.catalog.disable_access_key(id, disabled).await.map_err(refused)? {
            true => Ok(()),
            false => Err(no_such_key()),
        }
    }

    /// Revokes a key pair for good, if it is of this owner.
    pub(crate) async fn delete_of(&self, owner: &UserName, id: &AccessKeyId) -> Result<(), Problem> {
        let found = self.catalog.access_key(id).await.map_err(refusals::catalog)?;
        let theirs = found.is_some_and(|(key, _)| key.grant.owner.eq_ignore_ascii_case(owner.as_str()));
        if theirs { self.delete(id).await } else { Err(no_such_key()) }
    }

    /// Revokes a key pair for good.
    pub(crate) async fn delete(&self, id: &AccessKeyId) -> Result<(), Problem> {
        self.opened.write().remove(id);
        match self.catalog.delete_access_key(id).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => Err(no_such_key()),
        }
    }
}

/// There is no such key pair.
pub(crate) fn no_such_key() -> Problem {
    let detail = "GET /api/v1/auth/keys lists one's own, GET /api/v1/admin/keys all that exist";
    Problem::new(Kind::NoSuchAccessKey, detail).in_parameter("id")
}

fn refused(error: AccessKeyError) -> Problem {
    match error {
        AccessKeyError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        AccessKeyError::Catalog(error) => refusals::catalog(error),
        AccessKeyError::Owner(error) => not_kept(error),
        AccessKeyError::Disabled => {
            Problem::new(Kind::Conflict, "the owner of the key is disabled: enable them first")
        }
        AccessKeyError::Full => {
            let most = ACCESS_KEYS_OF_USER_MAX;
            Problem::new(
                Kind::Conflict,
                format!("you have {most} S3 keys, which is the most: delete one first"),
            )
        }
        error => Problem::internal("cannot keep the access key", &error),
    }
}
