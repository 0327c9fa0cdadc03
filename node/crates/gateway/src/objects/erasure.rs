//! What a delete may claim: until when an object's shards are kept, and by when they are gone.

use datamesh_catalog::{Body, Object};
use datamesh_shard::{NodeName, PoolName};

use crate::pipeline::{Context, millis};
use crate::work::reclaim;

/// What becomes of a deleted object's shards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Erasure {
    /// Reads under way find them until then, in milliseconds since 1970.
    pub(crate) kept_until_unix_ms: u64,
    /// By then no node gives them any more, in milliseconds since 1970. Absent while a node is away that may have some, and when the
    /// catalog does not say how much waits, as after a very large upload was given up: no time can be named then.
    pub(crate) erased_by_unix_ms: Option<u64>,
    /// Members of the pool that do not answer. All members are told to delete a segment together, when all answer.
    pub(crate) waits_for: Vec<NodeName>,
}

impl Erasure {
    /// What lay in the catalog alone, and was deleted with its row.
    fn at_once(now_unix_ms: u64) -> Self {
        Self { kept_until_unix_ms: now_unix_ms, erased_by_unix_ms: Some(now_unix_ms), waits_for: Vec::new() }
    }
}

/// Of an object of this pool that was deleted now. Everything that waits counts as in front of it: more than is true claims less.
pub(super) async fn of(context: &Context, (object, pool): (&Object, &PoolName), now_unix_ms: u64) -> Erasure {
    let Body::Pages { .. } = object.body else { return Erasure::at_once(now_unix_ms) };
    let kept_until_unix_ms = now_unix_ms.saturating_add(context.catalog.options().retention_ms);
    let pool = context.pools.get(pool);
    let members = pool.as_ref().and_then(|pool| pool.layout()).map_or(&[][..], |layout| &layout.members);
    let away = members.iter().filter(|member| !context.pools.is_live(&member.peer));
    let waits_for: Vec<NodeName> = away.map(|member| member.node.clone()).collect();
    let waiting = match context.catalog.counters().await {
        Ok(counters) => Some(counters.condemned_segments).filter(|_| counters.uncounted_uploads == 0),
        Err(error) => {
            // The object is deleted: that is the answer.
            tracing::warn!(%error, "the catalog does not say how much waits to be deleted");
            None
        }
    };
    let within = waiting.filter(|_| waits_for.is_empty() && !members.is_empty());
    let within = within.map(|waiting| millis(reclaim::done_within(waiting, members.len())));
    let erased_by_unix_ms = within.map(|within| kept_until_unix_ms.saturating_add(within));
    Erasure { kept_until_unix_ms, erased_by_unix_ms, waits_for }
}
