//! Deletes that leave nothing on the disks, and how far they are.

use std::sync::Arc;

use datamesh_catalog::catalog::{Shred, ShredError};
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::moving::look;
use datamesh_catalog::{Cause, Condition, Marker, ObjectKey, UploadId};
use datamesh_shard::BucketName;

use super::{Objects, refusals};
use crate::problem::{Kind, Problem};
use crate::work::shred::Progress;

impl Objects {
    /// Deletes an object without the retention and has it shredded; `None` when there was none.
    pub(crate) async fn shred(
        &self,
        (bucket, key): (&BucketName, ObjectKey),
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Option<(Shred, Progress)>, Problem> {
        let Some(bucket) = self.buckets.find(bucket).await? else { return Ok(None) };
        bucket.check_key(&key)?;
        match self.context.catalog.keyspace() {
            // A copy of it may be there already.
            AnyKeyspace::Postgres(_) | AnyKeyspace::Moving(_) => return Err(elsewhere()),
            AnyKeyspace::Raft(_) => return Err(in_copies()),
            AnyKeyspace::Rocks(_) | AnyKeyspace::Memory(_) => {}
        }
        if let Some(left) = left_by_a_move(self.context.catalog.keyspace()).await? {
            return Err(left);
        }
        let whose = (bucket.id, &bucket.pool);
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let deleted = catalog.shred_object(whose, &key, &condition, self.now_unix_ms()).await;
        let Some(object) = deleted.map_err(refused)? else {
            // Nothing is shown; there may be bytes all the same.
            let marker = catalog.marker(bucket.id, &key).await.map_err(refusals::catalog)?;
            return marker.map_or(Ok(None), |marker| Err(hidden(&marker)));
        };
        self.abandoned.wake();
        self.shreds.wake.notify_one();
        self.one(object.upload).await.map(Some)
    }

    /// All shreddings, and how far each is.
    pub(crate) async fn shreddings(&self) -> Result<Vec<(Shred, Progress)>, Problem> {
        let all = self.context.catalog.shreds().await.map_err(refusals::catalog)?;
        Ok(all.into_iter().map(|shred| (shred.clone(), self.shreds.progress(shred.id))).collect())
    }

    /// One of them.
    pub(crate) async fn one(&self, id: UploadId) -> Result<(Shred, Progress), Problem> {
        let shred = self.context.catalog.shred(id).await.map_err(refusals::catalog)?;
        let shred = shred.ok_or_else(no_shred)?;
        Ok((shred, self.shreds.progress(id)))
    }

    /// Calls it off, or forgets it once it is over.
    pub(crate) async fn forget_shred(&self, id: UploadId) -> Result<(), Problem> {
        let known = self.context.catalog.forget_shred(id).await.map_err(refusals::catalog)?;
        if known { Ok(()) } else { Err(no_shred()) }
    }
}

/// Versions behind a delete are not shredded yet.
fn hidden(marker: &Marker) -> Problem {
    let detail = format!(
        "the object was deleted, and the bucket keeps versions of it, of which only the newest can be shredded: \
         delete the delete marker {} by S3 first, so that what it hides is the newest",
        marker.version
    );
    Problem::new(Kind::Conflict, detail).in_parameter("shred")
}

/// Its keys would stay in the other gateways' files, and in all logs.
fn in_copies() -> Problem {
    Problem::new(
        Kind::Conflict,
        "several gateways keep the catalog, and the logs and files of all of them keep what was deleted until they are written anew, \
         so nothing can be shredded: delete without `shred`",
    )
    .in_parameter("shred")
}

/// A catalog that moves, has moved, or was about to, has left a copy of itself.
async fn left_by_a_move(keyspace: &AnyKeyspace) -> Result<Option<Problem>, Problem> {
    let standing = look(keyspace).await;
    let standing = standing.map_err(|error| Problem::internal("the catalog failed", &error))?;
    let left = standing.begun().or(standing.open().flatten());
    Ok(left.map(|id| {
        let detail = format!(
            "the catalog moved here, or began to move elsewhere (move {id}), and what it has left there keeps what is deleted here, so nothing \
             can be shredded: delete without `shred`"
        );
        Problem::new(Kind::Conflict, detail).in_parameter("shred")
    }))
}

/// Its keys would stay in files that nobody here can clean.
fn elsewhere() -> Problem {
    Problem::new(
        Kind::Conflict,
        "the catalog is in PostgreSQL, whose files, log and backups keep what was deleted until its own administrator removes it, \
         so nothing can be shredded: delete without `shred`",
    )
    .in_parameter("shred")
}

fn no_shred() -> Problem {
    Problem::new(
        Kind::NoSuchUpload,
        "nothing is shredded under this id, or it was so long ago that it is forgotten",
    )
}

fn refused(error: ShredError) -> Problem {
    match error {
        ShredError::Delete(error) => refusals::delete(error),
        error @ ShredError::TooMany => Problem::new(Kind::Conflict, error.to_string()),
    }
}
