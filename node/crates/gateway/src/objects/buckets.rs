//! Buckets and their secrets, unwrapped once and kept.

use std::collections::HashMap;
use std::sync::Arc;

use datamesh_catalog::{
    Bucket, BucketId, BucketKind, EmbeddedCatalog, Locking, NewBucket, ObjectKey, Target, WrappedSecret,
};
use datamesh_seal::{BucketMark, BucketSecret, ClusterSecret, WrappedBucketSecret};
use datamesh_shard::{BucketName, PoolName};
use parking_lot::RwLock;

use super::{Fields, refusals};
use crate::api::DEFAULT_BUCKET;
use crate::pipeline::Secrets;
use crate::pools::Pools;
use crate::problem::{Kind, Problem};
use crate::surroundings::Surroundings;

/// The first version of a bucket's secret.
const FIRST_SECRET: u32 = 1;

/// Bytes of one component of a name in a private bucket at most.
const SEALED_COMPONENT_BYTES_MAX: usize = 255;

/// A bucket that can be read and written.
pub(crate) struct BucketContext {
    pub(crate) id: BucketId,
    pub(crate) pool: PoolName,
    sealing: Sealing,
}

/// Who seals what is in a bucket.
enum Sealing {
    /// The gateway, with these.
    Gateway(Arc<Secrets>),
    /// Clients; nobody here has what opens it.
    Clients,
}

impl BucketContext {
    /// What seals and opens, of a managed bucket; for a private one the problem that says how it is used.
    pub(crate) fn secrets(&self) -> Result<&Arc<Secrets>, Problem> {
        match &self.sealing {
            Sealing::Gateway(secrets) => Ok(secrets),
            Sealing::Clients => Err(Problem::new(
                Kind::BucketState,
                "the bucket is private: its clients seal what they put and open what they read, by \
                 /api/v1/buckets/{bucket}/sealed/{key} and, for more than 4 KiB, /api/v1/uploads and their segments",
            )
            .untold()),
        }
    }

    /// The mark of a private bucket; for a managed one the problem that says how it is used.
    pub(crate) fn mark(&self) -> Result<BucketMark, Problem> {
        match self.sealing {
            Sealing::Clients => Ok(BucketMark::of(self.id.0)),
            Sealing::Gateway(_) => Err(Problem::new(
                Kind::BucketState,
                "the bucket is managed: the gateway seals what is put by /api/v1/buckets/{bucket}/files/{key}, or in parts by \
                 /api/v1/uploads; only of a private bucket clients put what they sealed",
            )),
        }
    }

    /// Refuses a key that its clients cannot have sealed, of a private bucket: such a name must get nowhere.
    pub(super) fn check_key(&self, key: &ObjectKey) -> Result<(), Problem> {
        match self.sealing {
            Sealing::Clients if !is_sealed(key.as_bytes()) => Err(Problem::parameter(
                "key",
                format!(
                    "names in a private bucket are sealed by its clients: components of 1 to {SEALED_COMPONENT_BYTES_MAX} of A-Z \
                     a-z 0-9 - _ with `/` between"
                ),
            )
            .untold()),
            Sealing::Clients | Sealing::Gateway(_) => Ok(()),
        }
    }

    /// What is kept with an object or upload besides its bytes: nothing in a private bucket.
    pub(super) fn fields(&self, target: &Target, kept: &[(String, String)]) -> Result<Fields, Problem> {
        match &self.sealing {
            Sealing::Gateway(secrets) => Fields::open(secrets, target, kept),
            Sealing::Clients => Ok(Fields::default()),
        }
    }
}

/// Whether a key may be of components that clients sealed, which nobody here reads.
pub(super) fn is_sealed(key: &[u8]) -> bool {
    key.split(|byte| *byte == b'/').all(|component| {
        (1..=SEALED_COMPONENT_BYTES_MAX).contains(&component.len())
            && component.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    })
}

/// Where buckets come from.
pub(crate) struct BucketsSource {
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) pools: Arc<Pools>,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
}

/// Buckets by name, as they were when they were asked for. Numbers are never given twice, so one that was deleted since shows:
/// it has no objects, and takes none. Whoever finds that asks anew ([`Buckets::recheck`]).
pub(super) struct Buckets {
    source: BucketsSource,
    by_name: RwLock<HashMap<BucketName, Arc<BucketContext>>>,
}

impl Buckets {
    pub(super) fn new(source: BucketsSource) -> Self {
        Self { source, by_name: RwLock::default() }
    }

    /// The bucket, if there is one. The default bucket may be missing as long as nothing was put.
    pub(super) async fn find(&self, name: &BucketName) -> Result<Option<Arc<BucketContext>>, Problem> {
        if let Some(known) = self.by_name.read().get(name) {
            return Ok(Some(Arc::clone(known)));
        }
        match self.source.catalog.bucket(name).await.map_err(refusals::catalog)? {
            Some(bucket) => self.keep(bucket).map(Some),
            None if name.as_str() == DEFAULT_BUCKET => Ok(None),
            None => Err(none_of(name)),
        }
    }

    /// Asks the catalog whether the bucket is still the one of this number. `Some`: it is another one by now.
    pub(super) async fn recheck(
        &self,
        name: &BucketName,
        known: BucketId,
    ) -> Result<Option<Arc<BucketContext>>, Problem> {
        match self.source.catalog.bucket(name).await.map_err(refusals::catalog)? {
            Some(bucket) if bucket.id == known => Ok(None),
            Some(bucket) => self.keep(bucket).map(Some),
            None => {
                self.forget(name);
                Err(none_of(name))
            }
        }
    }

    /// The bucket as it is now, not as it was.
    pub(super) async fn newest(&self, name: &BucketName) -> Result<Option<Arc<BucketContext>>, Problem> {
        let Some(known) = self.find(name).await? else { return Ok(None) };
        Ok(Some(self.recheck(name, known.id).await?.unwrap_or(known)))
    }

    /// The bucket of a number.
    pub(super) async fn of_id(&self, id: BucketId) -> Result<Option<Arc<BucketContext>>, Problem> {
        let known = self.by_name.read().values().find(|known| known.id == id).map(Arc::clone);
        if known.is_some() {
            return Ok(known);
        }
        let buckets = self.source.catalog.buckets().await.map_err(refusals::catalog)?;
        buckets.into_iter().find(|bucket| bucket.id == id).map(|bucket| self.keep(bucket)).transpose()
    }

    fn forget(&self, name: &BucketName) {
        self.by_name.write().remove(name);
    }

    /// Makes a bucket, in the first pool.
    pub(super) async fn create(
        &self,
        name: &BucketName,
        (kind, locking): (BucketKind, Option<Locking>),
    ) -> Result<Bucket, Problem> {
        let new = NewBucket { kind, locking, ..self.new_bucket(name)? };
        let made = self.source.catalog.create_bucket(new, |id| self.wrap(id)).await;
        made.map_err(refusals::make_bucket)?.ok_or_else(|| {
            Problem::new(Kind::BucketExists, format!("there is a bucket {name}")).in_parameter("bucket")
        })
    }

    /// Deletes a bucket without objects.
    pub(super) async fn delete(&self, name: &BucketName) -> Result<Bucket, Problem> {
        let deleted = self.source.catalog.delete_bucket(name).await.map_err(refusals::delete_bucket)?;
        self.forget(name);
        deleted.ok_or_else(|| none_of(name))
    }

    /// All buckets, by name.
    pub(super) async fn all(&self) -> Result<Vec<Bucket>, Problem> {
        self.source.catalog.buckets().await.map_err(refusals::catalog)
    }

    fn new_bucket(&self, name: &BucketName) -> Result<NewBucket, Problem> {
        let pools = self.source.pools.all();
        let Some((pool, _)) = pools.first() else {
            return Err(Problem::new(
                Kind::NotWritable,
                "the cluster has no pool yet: the administrator makes one",
            ));
        };
        Ok(NewBucket {
            name: name.clone(),
            kind: BucketKind::Managed,
            pool: pool.clone(),
            locking: None,
            created_unix_ms: self.source.surroundings.now_unix_ms(),
        })
    }

    /// The bucket; the default one is made by its first put.
    pub(super) async fn ensure(&self, name: &BucketName) -> Result<Arc<BucketContext>, Problem> {
        if let Some(known) = self.find(name).await? {
            return Ok(known);
        }
        let new = self.new_bucket(name)?;
        let bucket = self.source.catalog.ensure_bucket(new, |id| self.wrap(id)).await;
        self.keep(bucket.map_err(refusals::make_bucket)?)
    }

    fn wrap(&self, id: BucketId) -> WrappedSecret {
        let random = &*self.source.surroundings;
        let secret = BucketSecret::generate_from(FIRST_SECRET, random);
        let wrapped = self.source.secret.wrap_bucket_from(&secret, id.0, random);
        WrappedSecret { version: wrapped.version, bytes: wrapped.bytes }
    }

    fn keep(&self, bucket: Bucket) -> Result<Arc<BucketContext>, Problem> {
        let unwrap = |wrapped: WrappedSecret| {
            let wrapped = WrappedBucketSecret { version: wrapped.version, bytes: wrapped.bytes };
            self.source.secret.unwrap_bucket(&wrapped, bucket.id.0)
        };
        let secrets = bucket.secrets.into_iter().map(unwrap).collect::<Result<Vec<_>, _>>();
        let secrets =
            secrets.map_err(|error| Problem::internal("the bucket's secret does not unwrap", &error))?;
        let sealing = match bucket.kind {
            BucketKind::Managed => Sealing::Gateway(Arc::new(Secrets::new(bucket.id, secrets))),
            BucketKind::Private => Sealing::Clients,
        };
        let context = Arc::new(BucketContext { id: bucket.id, pool: bucket.pool, sealing });
        self.by_name.write().insert(bucket.name, Arc::clone(&context));
        Ok(context)
    }
}

pub(super) fn none_of(name: &BucketName) -> Problem {
    Problem::new(
        Kind::NoSuchBucket,
        format!("there is no bucket {name}; files without a bucket go to {DEFAULT_BUCKET}"),
    )
    .in_parameter("bucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_private_buckets_are_opaque() {
        let long = "k".repeat(SEALED_COMPONENT_BYTES_MAX);
        for fine in ["a", "A-z_09/b", long.as_str()] {
            assert!(is_sealed(fine.as_bytes()), "{fine}");
        }
        let longer = format!("{long}k");
        for wrong in ["", "/a", "a/", "a//b", "report.pdf", "a b", "ä", longer.as_str()] {
            assert!(!is_sealed(wrong.as_bytes()), "{wrong}");
        }
    }
}
