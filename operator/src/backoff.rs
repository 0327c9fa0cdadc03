//! How long to wait before an object is tried again: twice as long after each failure, by object.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// Wait at most: long enough to spare the API server, short enough for a person who waits.
const LONGEST: Duration = Duration::from_secs(120);

/// Failures in a row, by object.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub(crate) fn failed(&self, object: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object.to_owned()).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(20));
        *count = count.saturating_add(1);
        wait.min(LONGEST)
    }

    /// Forgets an object's failures.
    pub(crate) fn succeeded(&self, object: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_objects_do_not_share_them() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.failed("a").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(backoff.failed("b").as_secs(), 1);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a").as_secs(), 1);
    }
}
