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

    /// Does nothing for a while, less if it is stopped.
    pub(super) fn rest(&self, pause: Duration) {
        let end = Instant::now() + pause;
        let mut state = self.state.lock();
        while !state.stopped && !self.changed.wait_until(&mut state, end).timed_out() {}
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
