//! Puts that go on in the background while things break, and the proof that all of them are still there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::gateway::{Gateway, Refused};
use crate::samples::random_bytes;
use crate::wait;

/// Puts at a time.
const LANES: u64 = 3;
/// Between two puts of a lane that also reads: it goes on for minutes, and what it puts is read back as a whole.
const PACE: Duration = Duration::from_millis(500);
/// Gets at a time.
const READERS: usize = 4;
/// Bytes of an object: more than a segment, and no multiple of anything.
const OBJECT_BYTES: usize = (5 << 20) + 12_345;

/// Bytes of a small one: more than what lies in the catalog's own row, so that nodes hold it.
const SMALL_BYTES: usize = 100_003;
/// For how long a request is tried again: longer than one that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// One acknowledged object; its bytes come from the seed.
#[derive(Clone, Debug)]
pub struct Written {
    key: String,
    seed: u64,
    number: u64,
    len: usize,
}

impl Written {
    fn body(&self) -> Bytes {
        random_bytes(self.seed, self.number, self.len)
    }

    /// What was read back is what was stored, each byte.
    fn ensure_is(&self, got: &Bytes) -> anyhow::Result<()> {
        ensure!(*got == self.body(), "{} differs from what was stored", self.key);
        Ok(())
    }
}

/// What the lanes do.
#[derive(Clone, Copy)]
struct Plan {
    lanes: u64,
    object_bytes: usize,
    /// After each put one reads back what it put earlier.
    reads: bool,
    /// A request that fails is tried again.
    tries_again: bool,
}

/// Puts one after the other, and nothing fails.
const PUTS: Plan = Plan { lanes: LANES, object_bytes: OBJECT_BYTES, reads: false, tries_again: false };

/// Everything acknowledged so far, by all lanes.
type Acknowledged = Arc<Mutex<Vec<Written>>>;

/// Puts going on until told to stop, and perhaps gets. The first one that fails for good ends its lane and the test.
pub struct Traffic {
    lanes: JoinSet<anyhow::Result<()>>,
    written: Acknowledged,
    stopped: Arc<AtomicBool>,
    acknowledged: watch::Receiver<u64>,
}

impl Traffic {
    /// Starts putting objects below `prefix`.
    #[must_use]
    pub fn start(gateway: &Gateway, prefix: &str, seed: u64) -> Self {
        Self::start_lanes(gateway, prefix, seed, PUTS)
    }

    /// The same in one lane, which after each put reads back what it put earlier, in turn.
    #[must_use]
    pub fn start_with_reads(gateway: &Gateway, prefix: &str, seed: u64) -> Self {
        Self::start_lanes(gateway, prefix, seed, Plan { lanes: 1, reads: true, ..PUTS })
    }

    /// Small objects in lanes that also read, each request tried again when it fails: as a client does that is to survive the loss
    /// of the gateway it speaks to.
    #[must_use]
    pub fn start_that_tries_again(gateway: &Gateway, prefix: &str, seed: u64) -> Self {
        let plan = Plan { object_bytes: SMALL_BYTES, reads: true, tries_again: true, ..PUTS };
        Self::start_lanes(gateway, prefix, seed, plan)
    }

    fn start_lanes(gateway: &Gateway, prefix: &str, seed: u64, plan: Plan) -> Self {
        let (stopped, numbers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (count, acknowledged) = watch::channel(0);
        let (mut lanes, written) = (JoinSet::new(), Acknowledged::default());
        for _ in 0..plan.lanes {
            let lane = Lane {
                gateway: gateway.clone(),
                prefix: prefix.to_owned(),
                seed,
                numbers: Arc::clone(&numbers),
                stopped: Arc::clone(&stopped),
                count: count.clone(),
                written: Arc::clone(&written),
                plan,
            };
            lanes.spawn(lane.run());
        }
        Self { lanes, written, stopped, acknowledged }
    }

    /// Waits until `more` further puts were acknowledged.
    ///
    /// # Errors
    /// They are not in time, or a put failed.
    pub async fn go_on(&mut self, more: u64, limit: Duration) -> anyhow::Result<()> {
        let target = *self.acknowledged.borrow_and_update() + more;
        let mut acknowledged = self.acknowledged.clone();
        let reached = acknowledged.wait_for(|now| *now >= target);
        tokio::select! {
            reached = tokio::time::timeout(limit, reached) => {
                reached.with_context(|| format!("{more} further puts: not within {limit:?}"))??;
                Ok(())
            }
            Some(ended) = self.lanes.join_next() => {
                ended??;
                anyhow::bail!("a lane ended before its time")
            }
        }
    }

    /// Stops and gives everything that was acknowledged.
    ///
    /// # Errors
    /// A put failed.
    pub async fn finish(mut self) -> anyhow::Result<Vec<Written>> {
        self.stopped.store(true, Ordering::Relaxed);
        while let Some(lane) = self.lanes.join_next().await {
            lane??;
        }
        Ok(std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Lane {
    gateway: Gateway,
    prefix: String,
    seed: u64,
    numbers: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    count: watch::Sender<u64>,
    written: Acknowledged,
    plan: Plan,
}

impl Lane {
    async fn run(self) -> anyhow::Result<()> {
        let (mut turns, mut pace) = (0, tokio::time::interval(PACE));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.stopped.load(Ordering::Relaxed) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let key = format!("{}/{number:05}", self.prefix);
            let written = Written { key, seed: self.seed, number, len: self.plan.object_bytes };
            let body = written.body();
            let put = || self.gateway.put(&written.key, body.clone());
            self.tried(put).await.context("a put failed")?;
            self.acknowledge(written);
            self.count.send_modify(|count| *count += 1);
            if self.plan.reads {
                pace.tick().await;
                let earlier = self.earlier(turns)?;
                let got = self.tried(|| self.gateway.get(&earlier.key)).await.context("a get failed")?;
                earlier.ensure_is(&got)?;
                turns += 1;
            }
        }
        Ok(())
    }

    /// Asks, and again if that is the plan and may help: who is told that a request is wrong does not send it again.
    async fn tried<T, F>(&self, ask: impl Fn() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        if !self.plan.tries_again {
            return ask().await;
        }
        wait::until("an answer", PATIENCE, async || match ask().await {
            Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| !refused.may_pass()) => {
                Ok(Err(error))
            }
            answer => answer.map(Ok).inspect_err(|error| eprintln!("  tried again: {error:#}")),
        })
        .await?
    }

    fn acknowledge(&self, written: Written) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(written);
    }

    /// One of what is there, all in turn.
    fn earlier(&self, turn: usize) -> anyhow::Result<Written> {
        let all = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // Half as fast as they come: the oldest are read again and again, the newest soon.
        all.get(turn / 2 % all.len().max(1)).cloned().context("nothing was written")
    }
}

/// Reads all of them back and compares each byte.
///
/// # Errors
/// One cannot be read, or differs.
pub async fn verify(gateway: &Gateway, all: &[Written]) -> anyhow::Result<()> {
    ensure!(!all.is_empty(), "nothing was written, so nothing is proven");
    stream::iter(all)
        .map(|written| verify_one(gateway, written))
        .buffer_unordered(READERS)
        .try_collect()
        .await
}

async fn verify_one(gateway: &Gateway, written: &Written) -> anyhow::Result<()> {
    written.ensure_is(&gateway.get(&written.key).await?)
}

/// Asks for each of them: none is there.
///
/// # Errors
/// One is.
pub async fn verify_gone(gateway: &Gateway, all: &[Written]) -> anyhow::Result<()> {
    ensure!(!all.is_empty(), "nothing was written, so nothing is proven");
    for written in all {
        ensure!(!gateway.exists(&written.key).await?, "{} is there", written.key);
    }
    Ok(())
}

/// Deletes all of them: the next promise needs the room.
///
/// # Errors
/// One cannot be deleted.
pub async fn clear(gateway: &Gateway, all: &[Written]) -> anyhow::Result<()> {
    stream::iter(all).map(|w| gateway.delete(&w.key)).buffer_unordered(READERS).try_collect().await
}
