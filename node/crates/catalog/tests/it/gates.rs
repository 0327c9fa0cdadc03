//! A keyspace in memory behind a gate, as a simulated gateway has it: commits take time, and are cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::engine::{Gate, MemoryKeyspace};
use datamesh_catalog::keyspace::{Keyspace, Revision};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::support::{OPTIONS, memory, put};

/// Stays shut on one side.
#[derive(Default)]
struct Shut {
    before: AtomicBool,
    after: AtomicBool,
}

fn pass(shut: &AtomicBool) -> BoxFuture<'static, ()> {
    if shut.load(Ordering::Relaxed) { std::future::pending().boxed() } else { std::future::ready(()).boxed() }
}

impl Gate for Shut {
    fn before(&self) -> BoxFuture<'_, ()> {
        pass(&self.before)
    }

    fn after(&self) -> BoxFuture<'_, ()> {
        pass(&self.after)
    }
}

#[tokio::test]
async fn a_commit_cut_off_before_is_not_in_and_one_cut_off_after_is() {
    let (keyspace, gate) = (memory(), Arc::new(Shut::default()));
    let gated = keyspace.clone().with_gate(Arc::<Shut>::clone(&gate));
    assert_eq!(put(&gated, b"a", b"1").await, Ok(Revision(1)));
    gate.before.store(true, Ordering::Relaxed);
    assert_eq!(put(&gated, b"a", b"2").now_or_never(), None);
    assert_eq!(keyspace.get(b"a").await.unwrap().unwrap().value, b"1");
    gate.before.store(false, Ordering::Relaxed);
    gate.after.store(true, Ordering::Relaxed);
    assert_eq!(put(&gated, b"a", b"3").now_or_never(), None);
    assert_eq!(keyspace.get(b"a").await.unwrap().unwrap().value, b"3");
    assert_eq!(put(&keyspace, b"a", b"4").await, Ok(Revision(3)), "the gate is the value's, not the rows'");
}

#[tokio::test]
async fn a_catalog_in_memory_opens_again() {
    let keyspace = MemoryKeyspace::new();
    for expected in 1..=3 {
        let catalog = EmbeddedCatalog::in_memory(keyspace.clone(), "abc", OPTIONS).await.unwrap();
        assert_eq!(catalog.incarnation().0, expected);
    }
    assert!(EmbeddedCatalog::in_memory(keyspace, "def", OPTIONS).await.is_err());
}
