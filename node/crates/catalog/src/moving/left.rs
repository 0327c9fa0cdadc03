//! What is left on a volume of a catalog that several gateways kept, once it has moved.

use std::path::Path;

use super::Standing;
use crate::engine::raft::{OpenError, ReplicaId, rows_at_rest};
use crate::keys::{self, Table};
use crate::record::{ClusterRecord, Fence, MoveRecord, Written, decode};

/// Whether the replica in this folder, which nobody has open, is what is left of the catalog where that came from. Blocks.
///
/// # Errors
/// The folder's.
pub fn is_left_of(catalog: &Standing, dir: &Path, id: ReplicaId) -> Result<bool, OpenError> {
    let keys = [Table::Cluster, Table::Move, Table::Fence].map(keys::only);
    let [cluster, begun, fence] = rows_at_rest(dir, id, &keys)?;
    let read = (
        cluster.map(|row| ClusterRecord::open_or_closed(&row.value)).transpose()?,
        begun.map(|row| decode::<MoveRecord>(&row.value)).transpose()?,
        fence.map(|row| Fence::decode(&row.value)).transpose()?,
    );
    Ok(is_its(catalog, read))
}

/// A replica may not have the last that the others agreed on: that it knows of the move suffices, for nobody else ends that one.
fn is_its(catalog: &Standing, read: (Option<ClusterRecord>, Option<MoveRecord>, Option<Fence>)) -> bool {
    let (cluster, begun, fence) = read;
    let Some(came) = catalog.open().flatten() else { return false };
    let mut known = begun.map(|begun| begun.id).into_iter().chain(fence.map(|fence| fence.id()));
    let is_same = cluster.is_some_and(|there| catalog.fingerprint() == Some(there.fingerprint.as_str()));
    is_same && known.any(|id| id == came)
}

#[cfg(test)]
mod tests {
    use datamesh_shard::Incarnation;

    use super::*;
    use crate::keyspace::Revision;
    use crate::record::{CameRecord, Keeper, MoveId};

    #[test]
    fn what_knows_nothing_of_the_move_or_is_anothers_is_not_left_of_it() {
        let cluster = |fingerprint: &str| ClusterRecord {
            fingerprint: fingerprint.into(),
            incarnation: Incarnation(3),
        };
        let begun = |id| MoveRecord { id: MoveId([id; 16]), to: Keeper::Postgres, begun_unix_ms: 1 };
        let came = CameRecord { id: MoveId([1; 16]), from: Keeper::Gateways, at_unix_ms: 1 };
        let alone = Standing { cluster: Some((cluster("f"), Revision(1))), ..Standing::default() };
        let catalog = Standing { came: Some((came, Revision(1))), ..alone.clone() };
        assert!(is_its(&catalog, (Some(cluster("f")), Some(begun(1)), None)));
        for other in [
            (Some(cluster("g")), Some(begun(1)), None),
            (Some(cluster("f")), Some(begun(2)), None),
            (Some(cluster("f")), None, None),
            (None, Some(begun(1)), None),
        ] {
            assert!(!is_its(&catalog, other.clone()), "{other:?}");
        }
        assert!(!is_its(&alone, (Some(cluster("f")), Some(begun(1)), None)), "it came from nowhere");
    }
}
