//! Cut off at any place, a move goes on where it was begun again; of two movers, one is left.

use datamesh_catalog::Condition;
use datamesh_catalog::engine::RocksOptions;
use datamesh_catalog::moving::{Begun, MoveError, Step, look};
use datamesh_catalog::record::Keeper;

use super::{begin, copied, move_all, mover, moves, moving, opened, postgres, rocks, until};
use crate::postgres::server;
use crate::support::{delete, inline, put, target};

const STEPS: [Step; 5] = [Step::Copy, Step::Compare, Step::Await, Step::Fence, Step::Open];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_goes_on_wherever_it_was_cut_off() {
    for (number, cut) in STEPS.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let source = rocks(dir.path(), RocksOptions::default());
        let there = postgres(&server().database().await).await;
        let (catalog, _) = moving(&source, &there).await;
        for upload in 0..2500 {
            put(&source, format!("\u{1}\u{ff}row{upload}").as_bytes(), b"1").await.unwrap();
        }
        let moves = moves(&source, &there, Keeper::Postgres);
        let mut first = mover(moves.clone(), 1).await;
        until(&mut first, &moves, cut).await;
        drop(first);
        if number < 3 {
            // What happened while nobody moved it.
            put(&source, "\u{1}\u{ff}row7".as_bytes(), b"2").await.unwrap();
            delete(&source, "\u{1}\u{ff}row8".as_bytes()).await.unwrap();
            catalog.put_inline(&target("a", 1), &inline("a", 1), &Condition::None).await.unwrap();
        }
        match cut {
            Step::Open => assert!(matches!(begin(moves.clone(), 2).await.unwrap(), Begun::Arrived)),
            _ => move_all(&moves, 2).await,
        }
        assert!(copied(&source).await == copied(&there).await, "cut off after {cut:?}");
        assert!(look(&source).await.unwrap().gone().is_some());
        assert_eq!(look(&there).await.unwrap().open(), Some(look(&source).await.unwrap().begun()), "{cut:?}");
        opened(there).await;
    }
}

/// What nobody wrote, and no change explains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_differs_ends_the_move_before_the_fence() {
    for spoilt in [Some(b"?"), None] {
        let dir = tempfile::tempdir().unwrap();
        let source = rocks(dir.path(), RocksOptions::default());
        let there = postgres(&server().database().await).await;
        let _catalog = opened(source.clone()).await;
        put(&source, b"\x01\xffrow", b"1").await.unwrap();
        let moves = moves(&source, &there, Keeper::Postgres);
        let mut mover = mover(moves.clone(), 1).await;
        until(&mut mover, &moves, Step::Copy).await;
        assert_eq!(mover.progress().step, Step::Compare);
        match spoilt {
            Some(value) => put(&there, b"\x01\xffrow", value).await.unwrap(),
            None => delete(&there, b"\x01\xffrow").await.unwrap(),
        };
        let key = "01ff726f77".to_owned();
        assert_eq!(mover.step(1).await, Err(MoveError::Differs { key }));
        assert!(look(&source).await.unwrap().gone().is_none());
        move_all(&moves, 2).await;
        assert!(copied(&source).await == copied(&there).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_was_overtaken_writes_nothing_and_fences_nothing() {
    for cut in [Step::Copy, Step::Await] {
        let dir = tempfile::tempdir().unwrap();
        let source = rocks(dir.path(), RocksOptions::default());
        let there = postgres(&server().database().await).await;
        let _catalog = opened(source.clone()).await;
        let moves = moves(&source, &there, Keeper::Postgres);
        let mut late = mover(moves.clone(), 1).await;
        until(&mut late, &moves, cut).await;
        let _next = mover(moves.clone(), 2).await;
        put(&source, b"\x01\xffrow", b"1").await.unwrap();
        let mut ended = None;
        for _ in 0..10 {
            if let Err(error) = late.step(1).await {
                ended = Some(error);
                break;
            }
        }
        assert_eq!(ended, Some(MoveError::Overtaken), "{cut:?}");
        assert!(look(&source).await.unwrap().gone().is_none());
    }
}
