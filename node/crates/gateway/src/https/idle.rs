//! How long a connection is kept that asks for nothing.
//!
//! hyper has one timer of HTTP/1.1 for the wait for a request and for its headers, and none for an HTTP/2 connection whose peer does
//! not begin, or answers pings and asks for nothing. Here are both.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, sleep};

use crate::limits::{HEADER_WAIT, IDLE_WAIT};

/// What has come so far: bytes, or requests.
pub(super) type Count = Arc<AtomicU64>;

/// Gives hyper the waits for the heads of one HTTP/1.1 connection.
pub(super) struct HeadTimer {
    heard: Count,
    /// Tells the one that is idle longest to give way.
    crowded: Arc<Notify>,
    asked: AtomicBool,
}

impl HeadTimer {
    pub(super) fn new(heard: Count, crowded: Arc<Notify>) -> Self {
        Self { heard, crowded, asked: AtomicBool::new(false) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let first = !self.asked.swap(true, Ordering::Relaxed);
        let idle = (!first).then(|| Idle {
            heard: Arc::clone(&self.heard),
            before: self.heard.load(Ordering::Relaxed),
            crowded: Box::pin(Arc::clone(&self.crowded).notified_owned()),
        });
        let wait = if first { HEADER_WAIT } else { IDLE_WAIT };
        Box::pin(HeadWait { until: Box::pin(sleep(wait)), idle })
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(HEADER_WAIT)
    }
}

/// Ends when the head of a request is overdue: [`HEADER_WAIT`] after the first byte that comes, or [`IDLE_WAIT`] without one. The first
/// request of a connection has [`HEADER_WAIT`] from its start.
struct HeadWait {
    until: Pin<Box<tokio::time::Sleep>>,
    idle: Option<Idle>,
}

struct Idle {
    heard: Count,
    before: u64,
    crowded: Pin<Box<OwnedNotified>>,
}

impl Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    /// hyper polls it whenever what was read is no whole head.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(idle) = &mut this.idle {
            if idle.heard.load(Ordering::Relaxed) > idle.before {
                this.idle = None;
                this.until.as_mut().reset(Instant::now() + HEADER_WAIT);
            } else if idle.crowded.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        this.until.as_mut().poll(cx)
    }
}

/// Ends when an HTTP/2 connection has asked for nothing within its first [`HEADER_WAIT`], or later for [`IDLE_WAIT`] or up to twice that.
pub(super) async fn quiet(requests: &AtomicU64) {
    let mut before = 0;
    let mut wait = HEADER_WAIT;
    loop {
        sleep(wait).await;
        let now = requests.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        (before, wait) = (now, IDLE_WAIT);
    }
}
