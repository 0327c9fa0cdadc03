//! What a move from one engine to another writes down.

use datamesh_catalog::keys::{self as key, Table};
use datamesh_catalog::keyspace::Revision;
use datamesh_catalog::record::{
    CameRecord, ClosedClusterRecord, Closure, Copied, FenceRecord, Keeper, LeavingRecord, MoveId, MoveRecord,
    ReadyRecord,
};
use datamesh_shard::Incarnation;

use super::{Sample, node, sample};

const ID: MoveId = MoveId([9; 16]);
const AT_UNIX_MS: u64 = 1_800_000_000_000;

pub(super) fn samples() -> Vec<Sample> {
    let fence = |closure| FenceRecord { id: ID, closure, at_unix_ms: AT_UNIX_MS };
    let closed =
        ClosedClusterRecord { fingerprint: "0123456789abcdef".into(), incarnation: Incarnation(300) };
    let leaving = |copied| LeavingRecord { id: ID, to: Keeper::Postgres, copied, at_unix_ms: AT_UNIX_MS };
    let copied = Copied { through: Revision(300), there: Revision(70_000) };
    vec![
        sample("move", MoveRecord { id: ID, to: Keeper::Postgres, begun_unix_ms: AT_UNIX_MS }),
        sample("move-ready", ReadyRecord { id: ID }),
        sample("fence-gone", fence(Closure::Gone { to: Keeper::Postgres })),
        sample("fence-coming", fence(Closure::Coming { from: Keeper::Gateways })),
        sample("fence-leaving", leaving(None)),
        sample("fence-leaving-copied", leaving(Some(copied))),
        sample("came", CameRecord { id: ID, from: Keeper::Gateways, at_unix_ms: AT_UNIX_MS }),
        sample("cluster-closed", closed),
    ]
}

pub(super) fn keys() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("move", key::only(Table::Move)),
        ("move-ready", key::ready(&node())),
        ("fence", key::only(Table::Fence)),
        ("came", key::only(Table::Came)),
    ]
}
