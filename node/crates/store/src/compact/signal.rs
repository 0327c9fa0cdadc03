use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// How the writer tells the compactor that something may pay, and everyone when nothing does any more.
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
    /// Up to which call of [`Signal::want`] there is nothing left to do.
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Counts calls of [`Signal::want`].
    wanted: u64,
    stopped: bool,
}

impl Signal {
    /// Wanted once from the start: what an earlier opening left is looked at.
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State { wanted: 1, stopped: false });
        Self { state, changed: Condvar::new(), settled: watch::Sender::new(0) }
    }

    /// Something may pay now.
    pub(crate) fn want(&self) {
        self.state.lock().wanted += 1;
        self.changed.notify_all();
    }

    /// No more compaction: whoever works or waits ends.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits until more is wanted than `settled`, or for `patience` if there is one; what is wanted by then. `None` once
    /// stopped.
    pub(super) fn wait(&self, settled: u64, patience: Option<Duration>) -> Option<u64> {
        let mut state = self.state.lock();
        let is_quiet = |state: &mut State| state.wanted <= settled && !state.stopped;
        match patience {
            Some(patience) => {
                self.changed.wait_while_for(&mut state, is_quiet, patience);
            }
            None => self.changed.wait_while(&mut state, is_quiet),
        }
        (!state.stopped).then_some(state.wanted)
    }

    /// Does nothing for a while: less if it is stopped, or if it does not rest any more when something is wanted.
    pub(super) fn rest(&self, pause: Duration, rests: impl Fn() -> bool) {
        let end = Instant::now() + pause;
        let mut state = self.state.lock();
        while !state.stopped && rests() && !self.changed.wait_until(&mut state, end).timed_out() {}
    }

    /// Nothing is left to do of what was wanted up to `wanted`.
    pub(super) fn settle(&self, wanted: u64) {
        self.settled.send_replace(wanted);
    }

    /// Waits until nothing is left to do of what is wanted by now.
    pub(crate) async fn settled(&self) {
        let wanted = self.state.lock().wanted;
        // The sender lives as long as this does.
        let _ = self.settled.subscribe().wait_for(|settled| *settled >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Returns at once or hangs for the rest of the test run, so no time is measured closely.
    #[test]
    fn a_rest_is_cut_short_when_space_becomes_short_or_nothing_is_wanted_any_more() {
        const LONG: Duration = Duration::from_secs(3600);
        let (signal, rests) = (Signal::new(), AtomicBool::new(true));
        signal.rest(Duration::from_millis(1), || true);
        signal.rest(LONG, || false);
        std::thread::scope(|scope| {
            let resting = scope.spawn(|| signal.rest(LONG, || rests.load(Ordering::SeqCst)));
            signal.want();
            assert!(!resting.is_finished());
            rests.store(false, Ordering::SeqCst);
            signal.want();
        });
        signal.stop();
        signal.rest(LONG, || true);
    }
}
