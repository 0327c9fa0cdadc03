use crate::catalog::Catalog;
use crate::keys::{self, KeyError, Table};
use crate::keyspace::{
    Batch, CommitError, KeyRange, Keyspace, RangeLimits, RangePage, ReadError, Revision, Row, View,
};
use crate::record::{RecordError, Written};

/// How often an operation starts anew because others wrote what it had read. Each time another one got through.
pub(super) const ATTEMPTS_MAX: usize = 256;

/// What can go wrong in every operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The engine did not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine did not write.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A row holds no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A key is none of its table.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An object that was put as if its bucket kept no versions would overwrite one that is kept.
    #[error(
        "a gateway that knows of no versions put an object in a bucket that keeps them: update all gateways, \
         then delete the key's version `null` by S3"
    )]
    PlaceTaken,
    /// The catalog has gone to another engine, and is not open there yet as far as this gateway knows. Nothing was written.
    #[error("the catalog is moving to another engine; try again in some seconds")]
    Moving,
    /// Others kept writing the same rows; try again.
    #[error("others keep writing the same rows; try again")]
    Contended,
}

impl CatalogError {
    /// Whether nobody leads the group that keeps it, no majority answers, or it moves: nothing was done, and trying again helps once that is
    /// over.
    #[must_use]
    pub const fn is_leaderless(&self) -> bool {
        matches!(
            self,
            Self::Moving
                | Self::Read(ReadError::NoLeader(_))
                | Self::Commit(CommitError::NoLeader(_) | CommitError::Read(ReadError::NoLeader(_)))
        )
    }
}

/// A request that can never succeed: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Above a limit.
    #[error("{what}: {size} where {max} is the most")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// An inline body where pages belong, or the reverse.
    #[error("the object's body is not of the kind this call takes")]
    BodyKind,
    /// Part numbers that do not rise.
    #[error("part {part} is out of order or named twice")]
    PartOrder {
        /// The part.
        part: u32,
    },
    /// An inline body whose size is above the inline limit, or that names a size it cannot have.
    #[error("an object of {size_bytes} bytes is too large")]
    TooLarge {
        /// Plaintext bytes.
        size_bytes: u64,
    },
}

/// Refuses more than the limit.
pub(super) fn at_most(what: &'static str, size: usize, max: usize) -> Result<(), Invalid> {
    if size > max { Err(Invalid::TooMuch { what, size, max }) } else { Ok(()) }
}

/// A record as read, and the commit that wrote it; both absent when there is none.
pub(super) struct Found<R> {
    pub(super) record: Option<R>,
    pub(super) version: Option<Revision>,
}

/// Reads a record from a view.
pub(super) async fn find<R: Written>(view: &impl View, key: &[u8]) -> Result<Found<R>, CatalogError> {
    let Some(row) = view.get(key).await? else { return Ok(Found { record: None, version: None }) };
    Ok(Found { record: Some(R::decode(&row.value)?), version: Some(row.version) })
}

/// Writes a record's row.
pub(super) fn put<R: Written>(batch: &mut Batch, key: Vec<u8>, record: &R) -> Result<(), CatalogError> {
    batch.put(key, record.encode()?);
    Ok(())
}

impl<K: Keyspace> Catalog<K> {
    pub(super) async fn view(&self) -> Result<K::View<'_>, CatalogError> {
        Ok(self.keyspace.view().await?)
    }

    /// One record of the newest state.
    pub(super) async fn read<R: Written>(&self, key: &[u8]) -> Result<Option<R>, CatalogError> {
        let row = self.keyspace.get(key).await?;
        Ok(row.map(|row| R::decode(&row.value)).transpose()?)
    }

    /// Deletes a record's row. Gives whether there was one.
    pub(super) async fn delete_row<R: Written>(&self, row: Vec<u8>) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<R>(&self.view().await?, &row).await?;
            if found.record.is_none() {
                return Ok(false);
            }
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            batch.delete(row.clone());
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Commits; `None` when what the batch rests on has changed meanwhile: plan again. Nothing is committed behind the fence of a catalog
    /// that has moved: it is planned again where that has gone.
    pub(super) async fn try_commit(&self, mut batch: Batch) -> Result<Option<Revision>, CatalogError> {
        self.shared.meddling.happen().await;
        let tells = batch.writes.iter().any(|write| keys::is_event(write.key()));
        let fence = batch.checks.len();
        batch.expect(keys::only(Table::Fence), None);
        match self.keyspace.commit(batch).await {
            Ok(revision) => {
                if tells {
                    self.shared.event_wakes.read().iter().for_each(|wake| wake.notify_one());
                }
                Ok(Some(revision))
            }
            Err(CommitError::Conflict { check }) if check == fence => {
                if self.keyspace.past_fence().await {
                    Ok(None)
                } else {
                    Err(CatalogError::Moving)
                }
            }
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Commits what rests on nothing.
    pub(super) async fn commit_blindly(&self, batch: Batch) -> Result<Revision, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(revision) = self.try_commit(batch.clone()).await? {
                return Ok(revision);
            }
        }
        Err(CatalogError::Contended)
    }
}

/// Shows each row of a range, page by page.
pub(super) async fn each(
    view: &impl View,
    range: KeyRange,
    mut show: impl FnMut(Row) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    let mut rest = range;
    loop {
        let page = view.range(&rest, RangeLimits::default()).await?;
        if let Some(last) = page.rows.last() {
            rest = rest.after(&last.key);
        }
        page.rows.into_iter().try_for_each(&mut show)?;
        if !page.more {
            return Ok(());
        }
        // A long range is decoded on a thread that others wait for.
        tokio::task::yield_now().await;
    }
}

/// All rows of a range: for ranges that other limits keep small.
pub(super) async fn whole(view: &impl View, range: KeyRange) -> Result<RangePage, CatalogError> {
    let mut all = RangePage::default();
    let keep = |row| {
        all.rows.push(row);
        Ok(())
    };
    each(view, range, keep).await?;
    Ok(all)
}
