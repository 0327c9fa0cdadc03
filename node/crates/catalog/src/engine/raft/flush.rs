//! One sync for all that was written before it. Waiters are told in the order they came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rocksdb::DB;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::engine::Gate;

/// Appends that may wait for a sync: beyond them the log waits itself.
const QUEUE: usize = 1024;

/// Told when what was written before it came is durable, or never will be.
pub(super) type Waiter = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Who syncs.
#[derive(Clone, Default)]
pub enum FlushOn {
    /// A thread of its own.
    #[default]
    Thread,
    /// The runtime, in place, between the gate's two sides: a simulated disk on a runtime of one thread.
    Gate(Arc<dyn Gate>),
}

/// Submits to whoever syncs; dropping it finishes what was submitted.
pub(super) struct Flusher {
    submit: Option<mpsc::Sender<Waiter>>,
    thread: Option<JoinHandle<()>>,
    made: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Flusher {
    pub(super) fn start(db: Arc<DB>, failed: watch::Sender<bool>, on: FlushOn) -> io::Result<Self> {
        let (submit, waiters) = mpsc::channel(QUEUE);
        let made = Arc::new(AtomicU64::new(0));
        let syncs = Syncs { db, failed, made: Arc::clone(&made) };
        let mut task = JoinSet::new();
        let thread = match on {
            FlushOn::Thread => {
                let name = std::thread::Builder::new().name("catalog-log".into());
                Some(name.spawn(move || syncs.on_thread(waiters))?)
            }
            FlushOn::Gate(gate) => {
                task.spawn(async move { syncs.behind(gate, waiters).await });
                None
            }
        };
        Ok(Self { submit: Some(submit), thread, made, _task: task })
    }

    /// Syncs that were made, each for one waiter or more.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Calls the waiter when everything that is written by now is durable.
    pub(super) async fn when_durable(&self, waiter: Waiter) -> io::Result<()> {
        let closed = || io::Error::other("the log is closed");
        let submit = self.submit.as_ref().ok_or_else(closed)?;
        submit.send(waiter).await.map_err(|_| closed())
    }

    /// Waits until everything that is written by now is durable.
    pub(super) async fn durable(&self) -> io::Result<()> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        self.when_durable(Box::new(move |synced| drop(done.send(synced)))).await?;
        outcome.await.map_err(|_| io::Error::other("the log is closed"))?
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.submit.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the catalog's log thread had stopped by a panic");
        }
    }
}

struct Syncs {
    db: Arc<DB>,
    failed: watch::Sender<bool>,
    made: Arc<AtomicU64>,
}

impl Syncs {
    fn on_thread(&self, mut waiters: mpsc::Receiver<Waiter>) {
        while let Some(first) = waiters.blocking_recv() {
            let group = group(first, &mut waiters);
            let synced = self.sync();
            tell(group, &synced);
        }
    }

    async fn behind(&self, gate: Arc<dyn Gate>, mut waiters: mpsc::Receiver<Waiter>) {
        while let Some(first) = waiters.recv().await {
            let group = group(first, &mut waiters);
            gate.before().await;
            let synced = self.sync();
            gate.after().await;
            tell(group, &synced);
        }
    }

    fn sync(&self) -> Result<(), String> {
        // After one failed, the kernel may call the next one good over what was never written.
        if *self.failed.borrow() {
            return Err("an earlier write failed".into());
        }
        self.db.flush_wal(true).map_err(|error| {
            let failure = error.into_string();
            tracing::error!(%failure, "the catalog's replica cannot write any more and must be opened again");
            self.failed.send_replace(true);
            failure
        })?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn group(first: Waiter, waiters: &mut mpsc::Receiver<Waiter>) -> Vec<Waiter> {
    let mut group = vec![first];
    while let Ok(next) = waiters.try_recv() {
        group.push(next);
    }
    group
}

fn tell(group: Vec<Waiter>, synced: &Result<(), String>) {
    for waiter in group {
        waiter(synced.clone().map_err(io::Error::other));
    }
}
