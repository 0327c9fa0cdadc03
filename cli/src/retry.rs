//! Failures that pass: the same is asked again after growing pauses, for as long as the user has patience.

use std::time::Duration;

use crate::failure::Failure;
use crate::output;

/// The first pause; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(400);
/// The longest pause, so that a gateway that is back is found soon.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// How long all pauses together may be while the gateway cannot be reached or is busy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(pub(crate) Duration);

impl Patience {
    /// Runs `attempt` again while it fails in passing: only for what does no harm when it is done twice.
    pub(crate) async fn retried<T, F>(self, attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut pauses = self.pauses();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(failure) => pauses.wait(failure).await?,
            }
        }
    }

    /// The pauses of one request or transfer.
    pub(crate) fn pauses(self) -> Pauses {
        Pauses { patience: self, next: PAUSE_FIRST, waited: Duration::ZERO }
    }
}

/// Pauses between attempts that fail one after the other.
pub(crate) struct Pauses {
    patience: Patience,
    next: Duration,
    waited: Duration,
}

impl Pauses {
    /// Waits before another attempt, or gives back what does not pass or has not passed for too long.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        let is_first = self.waited.is_zero();
        let pause = if failure.is_passing() { self.take() } else { None };
        let Some(pause) = pause else { return Err(failure) };
        if is_first {
            output::note(&format!("{failure}; trying again"));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Something arrived: what fails from now on is another failure.
    pub(crate) fn progress(&mut self) {
        *self = self.patience.pauses();
    }

    fn take(&mut self) -> Option<Duration> {
        let pause = self.next;
        let waited = self.waited.saturating_add(pause);
        if waited > self.patience.0 {
            return None;
        }
        self.waited = waited;
        self.next = pause.saturating_mul(2).min(PAUSE_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_patience_ends_and_begin_anew_after_progress() {
        let mut pauses = Patience(Duration::from_secs(60)).pauses();
        let mut taken = Vec::new();
        while let Some(pause) = pauses.take() {
            taken.push(pause);
        }
        assert!(
            taken.is_sorted() && taken[0] == PAUSE_FIRST && taken.last() == Some(&PAUSE_MAX),
            "{taken:?}"
        );
        let sum: Duration = taken.iter().sum();
        assert!(sum > Duration::from_secs(45) && sum <= Duration::from_secs(60), "{sum:?}");
        pauses.progress();
        assert_eq!(pauses.take(), Some(PAUSE_FIRST));
        assert_eq!(Patience(Duration::ZERO).pauses().take(), None);
    }

    #[tokio::test]
    async fn only_what_passes_is_tried_again() {
        let busy = || Failure::Refused { status: 503, problem: crate::failure::Problem::default() };
        let tries = std::cell::Cell::new(0);
        let done = Patience(Duration::from_secs(1))
            .retried(|| async {
                tries.set(tries.get() + 1);
                if tries.get() == 1 { Err(busy()) } else { Ok(()) }
            })
            .await;
        assert!(done.is_ok() && tries.get() == 2);
        let mut pauses = Patience(Duration::from_secs(1)).pauses();
        assert!(pauses.wait(Failure::Usage(String::new())).await.is_err());
    }
}
