//! A catalog moves from one engine to another while it is used: nothing that was acknowledged is lost, nothing old is read, and there are
//! never two.

mod crashes;
mod refusals;
mod taken_back;
mod under_work;

use std::path::Path;

use datamesh_catalog::engine::{AnyKeyspace, MovingKeyspace, PostgresKeyspace, RocksKeyspace, RocksOptions};
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{KeyRange, Keyspace, RangeLimits, Row, View};
use datamesh_catalog::moving::{Begun, MoveError, Mover, Moves, Step, begins_above, look, say_ready};
use datamesh_catalog::record::{Keeper, MoveId};
use datamesh_catalog::{Catalog, EmbeddedCatalog};
use datamesh_shard::NodeName;

use crate::postgres::server;
use crate::support::OPTIONS;

const NOW: u64 = 1_000_000;
const FINGERPRINT: &str = "0123456789abcdef";

fn gateway() -> NodeName {
    NodeName::new("gateway").unwrap()
}

pub(crate) fn moves(source: &AnyKeyspace, target: &AnyKeyspace, to: Keeper) -> Moves {
    Moves { source: source.clone(), target: target.clone(), to, gateways: vec![gateway()] }
}

async fn begin(moves: Moves, fresh: u8) -> Result<Begun, MoveError> {
    Mover::begin(moves, MoveId([fresh; 16]), NOW).await
}

async fn mover(moves: Moves, fresh: u8) -> Mover {
    match begin(moves, fresh).await.unwrap() {
        Begun::Moving(mover) => *mover,
        Begun::Arrived => panic!("there is nothing to move"),
    }
}

/// Steps until this one has been done; gateways say that they are ready.
async fn until(mover: &mut Mover, moves: &Moves, last: Step) {
    for _ in 0..100_000 {
        if mover.progress().step == Step::Await {
            assert!(say_ready(&moves.source, &moves.target, &gateway()).await.unwrap());
        }
        if mover.step(NOW).await.unwrap() == last {
            return;
        }
    }
    panic!("it never came to {last:?}: {mover:?}");
}

/// From the first to the last.
pub(crate) async fn move_all(moves: &Moves, fresh: u8) {
    until(&mut mover(moves.clone(), fresh).await, moves, Step::Done).await;
}

/// On a volume, with revisions above those of `source`.
async fn rocks_above(dir: &Path, source: &AnyKeyspace) -> AnyKeyspace {
    let begins_after = begins_above(look(source).await.unwrap().newest());
    rocks(dir, RocksOptions { begins_after, ..RocksOptions::default() })
}

fn rocks(dir: &Path, options: RocksOptions) -> AnyKeyspace {
    RocksKeyspace::open(dir, options).unwrap().into()
}

async fn postgres(database: &str) -> AnyKeyspace {
    PostgresKeyspace::open(server().options(database)).await.unwrap().into()
}

async fn opened(keyspace: impl Into<AnyKeyspace>) -> EmbeddedCatalog {
    Catalog::with_keyspace(keyspace.into(), FINGERPRINT, OPTIONS).await.unwrap()
}

/// A catalog that moves, as a gateway has it.
async fn moving(source: &AnyKeyspace, target: &AnyKeyspace) -> (EmbeddedCatalog, MovingKeyspace) {
    let keyspace = MovingKeyspace::new(source.clone());
    keyspace.moves_to(target.clone());
    (opened(keyspace.clone()).await, keyspace)
}

/// All that is copied: keys and values.
async fn copied(keyspace: &AnyKeyspace) -> Vec<(Vec<u8>, Vec<u8>)> {
    let own = [Table::Cluster, Table::Move, Table::Fence, Table::Came].map(keys::all);
    let all = KeyRange { start: vec![1], end: None };
    let limits = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    let rows = keyspace.view().await.unwrap().range(&all, limits).await.unwrap().rows;
    let is_own = |row: &Row| own.iter().any(|table| table.contains(&row.key));
    rows.into_iter().filter(|row| !is_own(row)).map(|row| (row.key, row.value)).collect()
}
