//! How far a member is with giving its shards away. Pure: it is told the time.

use std::time::Duration;

use tokio::time::Instant;

/// A drain of which nothing has left for so long is said to be stalled: some passes of the node that drains.
const STALLED_AFTER: Duration = Duration::from_secs(90);

/// What was seen of one drain.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    begun: Instant,
    left_bytes: u64,
    moved_bytes: u64,
    /// When something was last seen to have left.
    moved_at: Instant,
}

impl Progress {
    pub(crate) fn new(left_bytes: u64, now: Instant) -> Self {
        Self { begun: now, left_bytes, moved_bytes: 0, moved_at: now }
    }

    /// It begins only now.
    pub(crate) fn restart(&mut self, now: Instant) {
        *self = Self::new(self.left_bytes, now);
    }

    /// The member said how much it still has.
    pub(crate) fn note(&mut self, left_bytes: u64, now: Instant) {
        let moved = self.left_bytes.saturating_sub(left_bytes);
        if moved > 0 {
            (self.moved_bytes, self.moved_at) = (self.moved_bytes.saturating_add(moved), now);
        }
        self.left_bytes = left_bytes;
    }

    pub(crate) fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        now.duration_since(self.moved_at) > STALLED_AFTER
    }

    /// Seconds until the rest will have left, at the rate so far.
    pub(crate) fn eta_seconds(&self, now: Instant) -> Option<u64> {
        let spent = u64::try_from(now.duration_since(self.begun).as_millis()).ok()?;
        let millis = u128::from(self.left_bytes) * u128::from(spent);
        let seconds = millis.checked_div(u128::from(self.moved_bytes))? / 1000;
        u64::try_from(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_has_a_rate_and_stalls_when_nothing_leaves() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut progress = Progress::new(1000, begun);
        assert_eq!(progress.eta_seconds(after(5)), None, "nothing has moved: no rate");
        progress.note(750, after(10));
        assert_eq!((progress.moved_bytes(), progress.eta_seconds(after(10))), (250, Some(30)));
        assert!(!progress.is_stalled(after(100)));
        progress.note(750, after(101));
        assert!(progress.is_stalled(after(101)));
        progress.note(700, after(102));
        assert!(!progress.is_stalled(after(102)));
        // What comes back, as by a delete that was undone, is no progress.
        progress.note(900, after(103));
        assert_eq!(progress.moved_bytes(), 300);
    }
}
