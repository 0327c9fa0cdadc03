//! Tells targets what happened in buckets, each by a worker of its own: one that is away holds nobody else up. The oldest events go first,
//! and are forgotten when they were taken; so those of a key arrive in their order, at least once. One that its target refuses for what it
//! is must not hold all others up: it is looked for by halves, and given up in the end.

mod bound;

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::Event;
use datamesh_catalog::catalog::CatalogError;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use self::bound::{Bound, PENDING_MAX};
use super::{Next, Worker};
use crate::notifications::{Message, Target, Targets, Untold};
use crate::pipeline::Context;

/// Other gateways commit events too, and wake nobody here.
const PERIOD: Duration = Duration::from_secs(1);
/// Events told at once at most.
const AT_ONCE: usize = 100;
/// After the first message that did not arrive; twice as long after each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// How often an event is refused, alone, before it is given up: over two minutes.
const REFUSALS_MAX: u32 = 8;

/// The worker of one target.
pub(crate) struct NotifyTarget {
    context: Arc<Context>,
    targets: Arc<Targets>,
    target: Arc<Target>,
    wake: Arc<Notify>,
    /// Messages that did not arrive since the last one that did.
    failures: u32,
    /// Events of the next message at most: fewer after one was refused.
    at_once: usize,
    /// How often the first event was refused, alone.
    refusals: u32,
    /// Not before then, whoever wakes it.
    next: Option<Instant>,
}

impl NotifyTarget {
    /// One for each target.
    pub(crate) fn all(context: &Arc<Context>, targets: &Arc<Targets>) -> Vec<Self> {
        let worker = |target: &Arc<Target>| Self {
            context: Arc::clone(context),
            targets: Arc::clone(targets),
            target: Arc::clone(target),
            wake: Arc::default(),
            failures: 0,
            at_once: AT_ONCE,
            refusals: 0,
            next: None,
        };
        targets.all().iter().map(worker).collect()
    }

    async fn step(&mut self) -> Result<Next, CatalogError> {
        if let Some(left) = self.next.and_then(|next| next.checked_duration_since(Instant::now()))
            && !left.is_zero()
        {
            return Ok(Next::Wait(left));
        }
        let name = &self.target.name;
        let mut events = self.context.catalog.events(name, self.at_once).await?;
        let Some(Message { events: taken, body }) = Message::of(&events) else {
            return Ok(Next::Wait(PERIOD));
        };
        events.truncate(taken);
        match self.target.webhook.tell(body, self.context.surroundings.now_unix_ms()).await {
            Ok(()) => {
                self.context.catalog.forget_events(name, &events).await?;
                self.context.metrics.notifications.delivered(name, taken);
                self.targets.told(name, None);
                self.at_once = AT_ONCE.min(2 * self.at_once);
                (self.failures, self.refusals, self.next) = (0, 0, None);
                Ok(Next::Busy)
            }
            Err(error) if error.blames_the_message() => self.refused(&events, &error).await,
            Err(error) => Ok(self.failed(&error)),
        }
    }

    /// Something of these is not taken.
    async fn refused(&mut self, events: &[Event], error: &Untold) -> Result<Next, CatalogError> {
        let [event] = events else {
            self.at_once = (events.len() / 2).max(1);
            // To look for it is no further attempt.
            (self.failures, self.refusals) = (self.failures.min(1), 0);
            return Ok(self.failed(error));
        };
        self.refusals += 1;
        if self.refusals < REFUSALS_MAX {
            return Ok(self.failed(error));
        }
        let name = &self.target.name;
        self.context.catalog.give_up_events(name, events).await?;
        self.context.metrics.notifications.dropped(name, 1);
        let key = event.key.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            target = %name, bucket = %event.what.bucket, key, order = event.order, %error,
            "an event is given up: its target refused it each time"
        );
        (self.failures, self.refusals, self.next) = (0, 0, None);
        Ok(Next::Busy)
    }

    /// Forgets that it is to wait.
    #[cfg(test)]
    pub(crate) fn hurry(&mut self) {
        self.next = None;
    }

    fn failed(&mut self, error: &Untold) -> Next {
        let name = &self.target.name;
        self.context.metrics.notifications.failed(name);
        if self.failures == 0 {
            tracing::warn!(target = %name, %error, "a target of notifications takes no events");
        }
        self.targets.told(name, Some(error.to_string()));
        let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(Instant::now() + pause);
        Next::Wait(pause)
    }
}

impl Worker for NotifyTarget {
    fn name(&self) -> &'static str {
        "notify"
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.wake))
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                tracing::error!(%error, "events of buckets are not read or forgotten");
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }
}
