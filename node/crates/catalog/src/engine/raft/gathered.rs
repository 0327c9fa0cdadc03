//! One piece of work for all who ask for it before it begins.

use std::future::Future;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::task::JoinSet;

type Work<T> = Shared<BoxFuture<'static, Option<T>>>;

/// Runs one at a time. Whoever asks while one runs shares the next with all who ask meanwhile: what an answer says holds from a
/// moment after the question. A run is a task of its own, so that it goes on while nobody who waits for it is polled.
pub(super) struct Gathered<T>(Arc<Inner<T>>);

struct Inner<T> {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What has not begun.
    next: Mutex<Option<Work<T>>>,
}

impl<T: Clone + Send + Sync + 'static> Gathered<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner { turn: Arc::default(), next: Mutex::new(None) }))
    }

    /// The outcome of a run that begins after this call. `work` is made for the first who asks for it. Absent where this was dropped
    /// first, or the work panicked.
    ///
    /// Dropping the future costs the others nothing.
    pub(super) async fn join<F>(&self, work: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let next = {
            let mut next = self.0.next.lock();
            let run = || run(Arc::downgrade(&self.0), Arc::clone(&self.0.turn), work());
            next.get_or_insert_with(|| task(run()).boxed().shared()).clone()
        };
        next.await
    }
}

/// Ended with the last who waits for it.
async fn task<T: Send + 'static>(run: impl Future<Output = Option<T>> + Send + 'static) -> Option<T> {
    let mut only = JoinSet::new();
    only.spawn(run);
    only.join_next().await.and_then(Result::ok).flatten()
}

async fn run<T>(
    inner: Weak<Inner<T>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let _turn = turn.lock().await;
    // Whoever asks from here on asks too late for this one.
    let begun = inner.upgrade()?.next.lock().take();
    drop(begun);
    Some(work.await)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures::poll;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Work that tells when it begins, and ends with the number that it is let end with.
    struct Told(mpsc::UnboundedSender<oneshot::Sender<usize>>);

    impl Told {
        fn new() -> (Self, mpsc::UnboundedReceiver<oneshot::Sender<usize>>) {
            let (begins, begun) = mpsc::unbounded_channel();
            (Self(begins), begun)
        }

        fn work(&self) -> impl Future<Output = usize> + Send + 'static {
            let begins = self.0.clone();
            async move {
                let (ends, ended) = oneshot::channel();
                begins.send(ends).unwrap();
                ended.await.unwrap()
            }
        }
    }

    #[tokio::test]
    async fn whoever_asks_while_one_runs_shares_the_next() {
        let (gathered, (told, mut begun)) = (Gathered::new(), Told::new());
        let mut first = Box::pin(gathered.join(|| told.work()));
        assert!(poll!(&mut first).is_pending());
        let ends = begun.recv().await.unwrap();
        let mut others: Vec<_> = (0..100).map(|_| Box::pin(gathered.join(|| told.work()))).collect();
        for other in &mut others {
            assert!(poll!(other).is_pending());
        }
        tokio::task::yield_now().await;
        assert!(begun.try_recv().is_err(), "one at a time");
        ends.send(1).unwrap();
        assert_eq!(first.await, Some(1));
        begun.recv().await.unwrap().send(2).unwrap();
        for other in others {
            assert_eq!(other.await, Some(2), "of what began after it was asked for");
        }
        assert!(begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn whoever_is_not_polled_holds_nobody_up() {
        let (gathered, (told, mut begun)) = (Gathered::new(), Told::new());
        let mut first = Box::pin(gathered.join(|| told.work()));
        assert!(poll!(&mut first).is_pending());
        begun.recv().await.unwrap().send(1).unwrap();
        let second = gathered.join(|| told.work());
        let ending = async { begun.recv().await.unwrap().send(2).unwrap() };
        assert_eq!(tokio::join!(second, ending).0, Some(2));
        assert_eq!(first.await, Some(1));
    }

    #[tokio::test]
    async fn whoever_goes_away_holds_nobody_up() {
        let (gathered, (told, mut begun)) = (Gathered::new(), Told::new());
        let mut first = Box::pin(gathered.join(|| told.work()));
        assert!(poll!(&mut first).is_pending());
        let mut ends = begun.recv().await.unwrap();
        let mut waiting = Box::pin(gathered.join(|| told.work()));
        assert!(poll!(&mut waiting).is_pending());
        drop((first, waiting));
        ends.closed().await;
        let again = gathered.join(|| told.work());
        // The one that nobody waits for any more may begin first, and is ended.
        let ending = async { while begun.recv().await.unwrap().send(2).is_err() {} };
        assert_eq!(tokio::join!(again, ending).0, Some(2));
    }

    #[tokio::test]
    async fn work_that_panics_is_told_to_all() {
        let gathered: Gathered<usize> = Gathered::new();
        let both = async || {
            tokio::join!(gathered.join(|| async { panic!("planted") }), gathered.join(|| async { 2 }))
        };
        assert_eq!(both().await, (None, None), "they share one");
        assert_eq!(gathered.join(|| async { 3 }).await, Some(3));
    }
}
