//! Reads both sides, and writes or finds differences.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::MoveError;
use super::differences::{Compared, Difference, compare};
use super::own::{self, is_own};
use crate::backup::Changed;
use crate::engine::AnyKeyspace;
use crate::keys::{self, Table};
use crate::keyspace::{
    Batch, CommitError, KeyRange, Keyspace, RangeLimits, ReadError, Revision, Versioned, View,
};

/// Keys that changed, in memory: beyond, what they hold is written before the reading goes on. Few beside what engines remember.
const CHANGED_MAX: usize = 8192;
/// Answers about changes that are taken in between two steps, beside what a step asks for.
const CAUGHT_UP_MAX: usize = 4;
/// Rows asked for one by one at the same time: a database answers them in one journey.
const GETS_AT_ONCE: usize = 64;
/// Writes of one batch, and bytes; a single row may have as many again.
const WRITES_MAX: usize = 1000;
const BYTES_MAX: usize = 2 << 20;
/// For an engine to tell of what readers see already.
const TOLD_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
const TOLD_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The two sides.
pub(super) struct Sides {
    pub(super) source: AnyKeyspace,
    pub(super) target: AnyKeyspace,
    /// The commit that closed the target: another mover's would be later, and nothing is written then.
    pub(super) closing: Revision,
}

/// Takes in what has changed, at least up to this revision: readers may see a commit a moment before the engine tells of it.
pub(super) async fn follow(
    source: &AnyKeyspace,
    changed: &mut Changed,
    at_least: Revision,
) -> Result<(), MoveError> {
    let telling = async {
        // No further: who commits all the time has always something newer.
        while changed.through() < at_least {
            if !changed.follow(source).await? {
                tokio::time::sleep(TOLD_PAUSE).await;
            }
        }
        Ok(())
    };
    let silent = || ReadError::Engine(format!("it does not tell of its changes up to {at_least}"));
    tokio::time::timeout(TOLD_WAIT, telling).await.map_err(|_| silent())?
}

/// Takes in some of what is newer, so that the engine need not remember it.
pub(super) async fn catch_up(source: &AnyKeyspace, changed: &mut Changed) -> Result<(), MoveError> {
    for _ in 0..CAUGHT_UP_MAX {
        if !changed.follow(source).await? {
            break;
        }
    }
    Ok(())
}

impl Sides {
    /// A page of both. What changed is known up to what was read of the source.
    pub(super) async fn page(&self, range: &KeyRange, changed: &mut Changed) -> Result<Compared, MoveError> {
        let view = self.source.view().await?;
        let at = view.revision().await?;
        let page = view.range(range, RangeLimits::default()).await?;
        drop(view);
        follow(&self.source, changed, at).await?;
        let there = self.target.view().await?.range(range, RangeLimits::default()).await?;
        // Engines read where they are called: others have their turn between two pages.
        tokio::task::yield_now().await;
        Ok(compare(page, there))
    }

    /// Writes what differs.
    pub(super) async fn write(&self, differences: Vec<Difference>) -> Result<(), MoveError> {
        let (mut batch, mut bytes) = (self.batch(), 0);
        for difference in differences {
            let more = match &difference {
                Difference::Put { key, value } => key.len() + value.len(),
                Difference::Delete { key } => key.len(),
            };
            if batch.writes.len() == WRITES_MAX || bytes + more > BYTES_MAX && bytes > 0 {
                self.commit(std::mem::replace(&mut batch, self.batch())).await?;
                bytes = 0;
            }
            bytes += more;
            match difference {
                Difference::Put { key, value } => batch.put(key, value),
                Difference::Delete { key } => batch.delete(key),
            }
        }
        if batch.writes.is_empty() { Ok(()) } else { self.commit(batch).await }
    }

    fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        batch.expect(keys::only(Table::Fence), Some(self.closing));
        batch
    }

    async fn commit(&self, batch: Batch) -> Result<(), MoveError> {
        match self.target.commit(batch).await {
            Err(CommitError::Conflict { .. }) => Err(MoveError::Overtaken),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// Writes what the changed keys hold, and reads it back. Afterwards what is known of changes is what came later than the commit it gives.
    pub(super) async fn write_changes(&self, changed: &mut Changed) -> Result<Revision, MoveError> {
        let view = self.source.view().await?;
        let at = view.revision().await?;
        follow(&self.source, changed, at).await?;
        let keys: Vec<Vec<u8>> = changed.keys().filter(|key| !is_own(key)).map(<[u8]>::to_vec).collect();
        for some in keys.chunks(WRITES_MAX) {
            catch_up(&self.source, changed).await?;
            let values = values(&view, some).await?;
            let differences = some.iter().zip(&values).map(|(key, value)| match value {
                Some(value) => Difference::Put { key: key.clone(), value: value.clone() },
                None => Difference::Delete { key: key.clone() },
            });
            self.write(differences.collect()).await?;
            let there = self::values(&self.target.view().await?, some).await?;
            let mut pairs = some.iter().zip(values.iter().zip(&there));
            if let Some((key, _)) = pairs.find(|(_, (one, other))| one != other) {
                return Err(MoveError::Differs { key: hex::encode(key) });
            }
        }
        drop(view);
        changed.forget_through(at);
        Ok(at)
    }
}

/// What these keys hold.
async fn values(view: &impl View, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
    let getting: Vec<_> = keys.iter().map(|key| view.get(key).boxed()).collect();
    let found: Vec<_> = stream::iter(getting).buffered(GETS_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().map(|row: Option<Versioned>| row.map(|row| row.value)).collect())
}

/// One reading of everything.
#[derive(Debug)]
pub(super) struct Reading {
    left: KeyRange,
    /// Rows of the source so far.
    pub(super) rows: u64,
}

/// What is done about differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Copy,
    Compare,
}

impl Reading {
    pub(super) fn begin() -> Self {
        Self { left: own::all(), rows: 0 }
    }

    /// A page of it. Gives whether it was the last.
    pub(super) async fn go_on(
        &mut self,
        sides: &Sides,
        changed: &mut Changed,
        aim: Aim,
    ) -> Result<bool, MoveError> {
        let Compared { differences, rows, through } = sides.page(&self.left, changed).await?;
        match aim {
            Aim::Copy => sides.write(differences).await?,
            Aim::Compare => {
                let unexplained = differences.iter().map(Difference::key).find(|key| !changed.contains(key));
                if let Some(key) = unexplained {
                    return Err(MoveError::Differs { key: hex::encode(key) });
                }
            }
        }
        if changed.len() > CHANGED_MAX {
            sides.write_changes(changed).await?;
        }
        self.rows += rows;
        if let Some(last) = &through {
            self.left = self.left.after(last);
        }
        Ok(through.is_none())
    }
}
