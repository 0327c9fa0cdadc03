//! A keyspace that moves from one engine to another while it is used
//! ([ADR 54](../../../../../docs/adr/0054-the-catalog-moves-while-it-is-served.md)): the source until the target is open, then the target.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{AnyKeyspace, AnyView};
use crate::keys::{self, Table};
use crate::keyspace::{
    Batch, Changes, ChangesError, CommitError, Keyspace, ReadError, Revision, Versioned, View,
};
use crate::record::{CameRecord, Fence, MoveId, Written};

/// How long a commit waits for the target to be open.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// One catalog, two engines. Clones are one.
#[derive(Clone)]
pub struct MovingKeyspace {
    shared: Arc<Shared>,
}

struct Shared {
    source: AnyKeyspace,
    target: OnceLock<AnyKeyspace>,
    /// Nothing is read here once the target may be open: it never is here.
    is_elsewhere: bool,
    arrived: watch::Sender<bool>,
}

impl fmt::Debug for MovingKeyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingKeyspace").field("arrived", &self.has_arrived()).finish_non_exhaustive()
    }
}

impl MovingKeyspace {
    /// On the source, whose target is not open here yet.
    #[must_use]
    pub fn new(source: AnyKeyspace) -> Self {
        Self::with(source, false)
    }

    /// On the source, until the target may be open, which is elsewhere: then there is nothing to read here.
    #[must_use]
    pub fn to_elsewhere(source: AnyKeyspace) -> Self {
        Self::with(source, true)
    }

    fn with(source: AnyKeyspace, is_elsewhere: bool) -> Self {
        let arrived = watch::Sender::new(false);
        Self { shared: Arc::new(Shared { source, target: OnceLock::new(), is_elsewhere, arrived }) }
    }

    /// Where it moves from.
    #[must_use]
    pub fn source(&self) -> &AnyKeyspace {
        &self.shared.source
    }

    /// Where it moves to, once that is open here.
    #[must_use]
    pub fn target(&self) -> Option<&AnyKeyspace> {
        self.shared.target.get()
    }

    /// Says where it moves to; the first word counts.
    pub fn moves_to(&self, target: AnyKeyspace) {
        let _ = self.shared.target.set(target);
    }

    /// The one it is on now.
    #[must_use]
    pub fn current(&self) -> &AnyKeyspace {
        self.arrived_at().unwrap_or(&self.shared.source)
    }

    /// Whether it is on the target, as it will be from then on.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        *self.shared.arrived.borrow()
    }

    /// The same, to wait for.
    #[must_use]
    pub fn arrival(&self) -> watch::Receiver<bool> {
        self.shared.arrived.subscribe()
    }

    fn arrived_at(&self) -> Option<&AnyKeyspace> {
        self.target().filter(|_| self.has_arrived())
    }

    /// Looks whether the target is open, where the source is fenced. Gives whether it is on the target.
    ///
    /// # Errors
    /// The engines' faults.
    pub fn look(&self) -> BoxFuture<'_, Result<bool, ReadError>> {
        async {
            if self.has_arrived() {
                return Ok(true);
            }
            match self.fence().await? {
                Some(fence) => self.is_open(fence.id()).await,
                None => Ok(false),
            }
        }
        .boxed()
    }

    async fn fence(&self) -> Result<Option<Fence>, ReadError> {
        let row = self.source().get(&keys::only(Table::Fence)).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Whether the catalog that left the source by this move is open in the target.
    async fn is_open(&self, id: MoveId) -> Result<bool, ReadError> {
        let Some(target) = self.target() else { return Ok(false) };
        let came = target.get(&keys::only(Table::Came)).await?;
        let came = came.map(|row| read::<CameRecord>(&row)).transpose()?;
        let is_open = came.is_some_and(|came| came.id == id);
        if is_open && !self.shared.arrived.send_replace(true) {
            tracing::info!(%id, "the catalog has moved");
        }
        Ok(is_open)
    }

    /// Of the source: nobody writes to it any more once the target is open, so nothing can be acknowledged that this does not show.
    pub(super) fn view(&self) -> BoxFuture<'_, Result<AnyView<'_>, ReadError>> {
        async {
            if let Some(target) = self.arrived_at() {
                return target.view().await;
            }
            let view = self.source().view().await?;
            let fence = view.get(&keys::only(Table::Fence)).await?;
            let fence = fence.map(|row| read::<Fence>(&row)).transpose()?;
            match fence {
                Some(Fence::Closed(_)) if self.shared.is_elsewhere => {
                    Err(ReadError::NoLeader("it has moved to another gateway".into()))
                }
                Some(fence) if self.is_open(fence.id()).await? => self.current().view().await,
                // Not open after the view was taken: whatever was acknowledged before is in it.
                _ => Ok(view),
            }
        }
        .boxed()
    }

    pub(super) fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        async {
            match self.arrived_at() {
                Some(target) => target.get(key).await,
                None => self.view().await?.get(key).await,
            }
        }
        .boxed()
    }

    pub(super) fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.current().commit(batch).boxed()
    }

    pub(super) fn changes_since(
        &self,
        since: Revision,
        limit: usize,
    ) -> BoxFuture<'_, Result<Changes, ChangesError>> {
        self.current().changes_since(since, limit).boxed()
    }

    pub(super) async fn past_fence(&self) -> bool {
        let opening = async {
            loop {
                match self.passed().await {
                    Ok(Some(passed)) => return passed,
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "whether the catalog has moved is not known"),
                }
                sleep(PAUSE).await;
            }
        };
        timeout(OPEN_WAIT, opening).await.unwrap_or(false)
    }

    /// Whether what met the fence is to be planned anew: where it has gone, or here, where the fence was taken back. Absent while that is open.
    async fn passed(&self) -> Result<Option<bool>, ReadError> {
        if self.look().await? {
            return Ok(Some(true));
        }
        Ok(match self.fence().await? {
            None => Some(true),
            Some(Fence::Closed(_)) if self.shared.is_elsewhere => Some(false),
            Some(_) => None,
        })
    }

    /// Of either: the source is needed until it has moved, and closed as long as it was.
    pub(super) fn write_failed(&self) -> BoxFuture<'_, ()> {
        async {
            let mut arrival = self.arrival();
            tokio::select! {
                () = self.source().write_failed() => return,
                // The sender lives as long as this keyspace.
                () = arrival.wait_for(|arrived| *arrived).map(drop) => {}
            }
            self.current().write_failed().await;
        }
        .boxed()
    }
}

fn read<R: Written>(row: &Versioned) -> Result<R, ReadError> {
    R::decode(&row.value).map_err(|error| ReadError::Engine(error.to_string()))
}
