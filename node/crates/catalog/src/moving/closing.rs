//! The rows that close a keyspace, and open it.

use datamesh_shard::NodeName;

use super::standing::{Standing, look, next_incarnation};
use super::{MoveError, Refusal};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, CommitError, Keyspace, Revision, View};
use crate::record::{
    self, CameRecord, Closure, ClusterRecord, Fence, FenceRecord, Keeper, LeavingRecord, MoveId, MoveRecord,
    ReadyRecord, Written,
};

/// Commits, where it matters that nobody else has written these rows since.
async fn claim(keyspace: &impl Keyspace, batch: Batch) -> Result<Revision, MoveError> {
    match keyspace.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Err(MoveError::Overtaken),
        outcome => Ok(outcome?),
    }
}

/// Notes in the source that the move goes on here. Gives the commit, which the next mover's replaces.
pub(super) async fn claim_source(
    source: &impl Keyspace,
    standing: &Standing,
    begun: &MoveRecord,
) -> Result<Revision, MoveError> {
    let key = keys::only(Table::Move);
    let mut batch = Batch::new();
    batch.expect(key.clone(), standing.begun.map(|(_, version)| version));
    batch.expect(keys::only(Table::Fence), None);
    batch.put(key, record::encode(begun)?);
    claim(source, batch).await
}

/// Closes the target, before anything is copied there. Gives the commit, which the next mover's replaces.
pub(super) async fn close_target(
    target: &impl Keyspace,
    (source, standing): (&Standing, &Standing),
    fence: &FenceRecord,
) -> Result<Revision, MoveError> {
    let (key, cluster) = (keys::only(Table::Fence), keys::only(Table::Cluster));
    let mut batch = Batch::new();
    batch.expect(key.clone(), standing.fence.map(|(_, version)| version));
    batch.expect(cluster.clone(), standing.cluster.as_ref().map(|(_, version)| *version));
    batch.put(key, record::encode(fence)?);
    let closed = source.closed_cluster().ok_or(Refusal::Nothing)?;
    batch.put(cluster, record::encode(&closed)?);
    claim(target, batch).await
}

/// Ends commits in the source, where this mover is still the one that goes on, and all are ready still. Gives whether it has: a
/// gateway that was opened meanwhile has written the cluster's row, and it is to be tried again.
pub(super) async fn fence(
    source: &impl Keyspace,
    (own, ready): (Revision, &[Ready]),
    fence: &LeavingRecord,
) -> Result<bool, MoveError> {
    let standing = look(source).await?;
    if standing.gone().is_some_and(|(gone, _)| gone == fence.id) {
        return Ok(true);
    }
    if standing.begun.map(|(_, version)| version) != Some(own) {
        return Err(MoveError::Overtaken);
    }
    let closed = standing.closed_cluster().ok_or(Refusal::Nothing)?;
    let (key, cluster) = (keys::only(Table::Fence), keys::only(Table::Cluster));
    let mut batch = Batch::new();
    batch.expect(keys::only(Table::Move), Some(own));
    for Ready { gateway, said } in ready {
        batch.expect(keys::ready(gateway), Some(*said));
    }
    batch.expect(key.clone(), None);
    batch.expect(cluster.clone(), standing.cluster.as_ref().map(|(_, version)| *version));
    batch.put(key, record::encode(fence)?);
    batch.put(cluster, record::encode(&closed)?);
    match source.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Ok(false),
        outcome => Ok(outcome.map(|_| true)?),
    }
}

/// Says in the source, before the target is opened, that it may be: from here on the fence is not taken back.
pub(super) async fn let_go(source: &impl Keyspace, own: MoveId) -> Result<(), MoveError> {
    let standing = look(source).await?;
    match standing.fence {
        Some((Fence::Closed(fence), _)) if fence.id == own => Ok(()),
        Some((Fence::Leaving(LeavingRecord { id, to, at_unix_ms, .. }), version)) if id == own => {
            let fence = Fence::Closed(gone(id, to, at_unix_ms));
            rewrite_fence(source, version, &fence).await
        }
        _ => Err(MoveError::Overtaken),
    }
}

/// Takes back how far the copy is: it was set back, or its source has forgotten what came after.
pub(super) async fn forget_copied(source: &impl Keyspace, standing: &Standing) -> Result<(), MoveError> {
    let Some((Fence::Leaving(leaving), version)) = standing.fence else { return Ok(()) };
    rewrite_fence(source, version, &Fence::Leaving(LeavingRecord { copied: None, ..leaving })).await
}

async fn rewrite_fence(source: &impl Keyspace, before: Revision, fence: &Fence) -> Result<(), MoveError> {
    let key = keys::only(Table::Fence);
    let mut batch = Batch::new();
    batch.expect(key.clone(), Some(before));
    batch.put(key, fence.encode()?);
    claim(source, batch).await.map(drop)
}

/// A gateway that was part of a move and is not told of it any more takes the fence back: the move was called off. Gives whether the catalog
/// is served on here. It is not where the target may be open, which is said before it is opened: what was acknowledged there is not here.
///
/// # Errors
/// The engine's.
pub async fn take_back(source: &impl Keyspace, gateway: &NodeName) -> Result<bool, MoveError> {
    loop {
        let standing = look(source).await?;
        let (Some((Fence::Leaving(leaving), version)), Some((cluster, of))) =
            (standing.fence, &standing.cluster)
        else {
            return Ok(standing.fence.is_none());
        };
        let (fence, cluster_key, ready) =
            (keys::only(Table::Fence), keys::only(Table::Cluster), keys::ready(gateway));
        let Some(word) = source.get(&ready).await? else { return Ok(false) };
        if record::decode::<ReadyRecord>(&word.value)? != (ReadyRecord { id: leaving.id }) {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.expect(fence.clone(), Some(version));
        batch.expect(cluster_key.clone(), Some(*of));
        batch.expect(ready.clone(), Some(word.version));
        batch.delete(fence);
        batch.put(cluster_key, record::encode(cluster)?);
        batch.delete(ready);
        match source.commit(batch).await {
            // Another has taken it back, or the target is being opened.
            Err(CommitError::Conflict { .. }) => {}
            outcome => {
                outcome?;
                tracing::warn!(id = %leaving.id, "the catalog's move was called off, and its fence is taken back");
                return Ok(true);
            }
        }
    }
}

/// Makes the target the catalog, in one commit. Whoever calls it has let go of the source.
pub(super) async fn open(
    target: &impl Keyspace,
    closing: Revision,
    (of, came): (&ClusterRecord, &CameRecord),
) -> Result<(), MoveError> {
    let key = keys::only(Table::Fence);
    let mut batch = Batch::new();
    batch.expect(key.clone(), Some(closing));
    batch.delete(key);
    // Of a move that once began here.
    batch.delete(keys::only(Table::Move));
    let opened = ClusterRecord { incarnation: next_incarnation(of), ..of.clone() };
    batch.put(keys::only(Table::Cluster), record::encode(&opened)?);
    batch.put(keys::only(Table::Came), record::encode(came)?);
    claim(target, batch).await.map(drop)
}

/// The fence of a source whose catalog has gone there, or is about to.
const fn gone(id: MoveId, to: Keeper, at_unix_ms: u64) -> FenceRecord {
    FenceRecord { id, closure: Closure::Gone { to }, at_unix_ms }
}

/// And of a target until it has come.
pub(super) const fn coming(id: MoveId, from: Keeper, at_unix_ms: u64) -> FenceRecord {
    FenceRecord { id, closure: Closure::Coming { from }, at_unix_ms }
}

/// A gateway says in the source that it has the target of its present move open. Nothing happens where no move has begun, or none that
/// leads there. Gives whether it is said.
///
/// # Errors
/// The engines'.
pub async fn say_ready(
    source: &impl Keyspace,
    target: &impl Keyspace,
    gateway: &NodeName,
) -> Result<bool, MoveError> {
    let Some(id) = look(source).await?.begun() else { return Ok(false) };
    if !matches!(look(target).await?.store(), super::standing::Store::Coming { id: there } if there == id) {
        return Ok(false);
    }
    say(source, gateway, id).await
}

/// The same of a gateway that is not where the target is: it stops reading the source once the target may be open.
///
/// # Errors
/// The engine's.
pub async fn say_ready_elsewhere(source: &impl Keyspace, gateway: &NodeName) -> Result<bool, MoveError> {
    match look(source).await?.begun() {
        Some(id) => say(source, gateway, id).await,
        None => Ok(false),
    }
}

async fn say(source: &impl Keyspace, gateway: &NodeName, id: MoveId) -> Result<bool, MoveError> {
    let (key, value) = (keys::ready(gateway), record::encode(&ReadyRecord { id })?);
    if source.get(&key).await?.is_some_and(|row| row.value == value) {
        return Ok(true);
    }
    let mut batch = Batch::new();
    batch.expect(keys::only(Table::Fence), None);
    batch.put(key, value);
    match source.commit(batch).await {
        Err(CommitError::Conflict { .. }) => Ok(false),
        outcome => Ok(outcome.map(|_| true)?),
    }
}

/// A gateway that serves the catalog and knows of no move takes back what it said before. Nothing happens where it said nothing.
///
/// # Errors
/// The engine's.
pub async fn withdraw(source: &impl Keyspace, gateway: &NodeName) -> Result<(), MoveError> {
    let key = keys::ready(gateway);
    let Some(row) = source.get(&key).await? else { return Ok(()) };
    let mut batch = Batch::new();
    batch.expect(keys::only(Table::Fence), None);
    batch.expect(key.clone(), Some(row.version));
    batch.delete(key);
    match source.commit(batch).await {
        // It has gone, or another of this name has spoken.
        Err(CommitError::Conflict { .. }) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Whether the catalog has gone from here, and where to.
///
/// # Errors
/// The engine's.
pub async fn has_gone(keyspace: &impl Keyspace) -> Result<Option<(MoveId, Keeper)>, MoveError> {
    let Some(row) = keyspace.get(&keys::only(Table::Fence)).await? else { return Ok(None) };
    let fence = Fence::decode(&row.value)?;
    Ok(match fence.closure() {
        Closure::Gone { to } => Some((fence.id(), to)),
        Closure::Coming { .. } => None,
    })
}

/// A gateway's word, and the commit that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    gateway: NodeName,
    said: Revision,
}

/// Those of these gateways that have said so, and those that have not.
pub(super) async fn who_is_ready(
    source: &impl Keyspace,
    gateways: &[NodeName],
    id: MoveId,
) -> Result<(Vec<Ready>, Vec<NodeName>), MoveError> {
    let view = source.view().await?;
    let (mut ready, mut missing) = (Vec::new(), Vec::new());
    for gateway in gateways {
        let gateway = gateway.clone();
        match view.get(&keys::ready(&gateway)).await? {
            Some(row) if record::decode::<ReadyRecord>(&row.value)? == ReadyRecord { id } => {
                ready.push(Ready { gateway, said: row.version });
            }
            _ => missing.push(gateway),
        }
    }
    Ok((ready, missing))
}
