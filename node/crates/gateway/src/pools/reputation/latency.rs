//! Whether a peer's disk is far slower than those of its peers. Pure.
//!
//! Requests fill a window until it is judged; several windows in a row must say the same before the verdict changes. So
//! neither one stalled sync, which everything under way then waits for, nor one lucky answer counts for much.

use std::time::Duration;

use tokio::time::Instant;

use super::Ended;

/// Requests that make a window; fewer say nothing, and go on into the next.
const REQUESTS_MIN: u32 = 4;
/// Windows in a row that change the verdict. They are judged 3 s apart, or more when there is little to do.
const WINDOWS: u8 = 3;
/// Slow is who takes more than so many times as long as half of the others do,
const FACTOR: u32 = 8;
/// and at least this long: a disk that turns, among those that do not, takes less unless it is overwhelmed.
const SLOW: Duration = Duration::from_millis(200);
/// A peer is well again when it takes less than this share of either. In between nothing changes.
const WELL: u32 = 2;
/// What a failure is reckoned at: as long as it takes until another node is asked in its place.
const FAILED_AS: Duration = Duration::from_secs(2);
/// A peer of which not one write took less is late in every put.
const LATE: Duration = FAILED_AS;
/// Others are compared with while what is known of them is no older.
const FRESH: Duration = Duration::from_secs(60);
/// What is older is forgotten, and with it that a peer was slow: nobody asked it anything since.
const KEPT: Duration = Duration::from_secs(600);
/// Others needed to tell who is the slow one.
const OTHERS_MIN: usize = 2;

/// What the requests of one window came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Mean of a request, failures reckoned as late.
    pub(crate) mean: Duration,
    /// The quickest one, in the same way.
    quickest: Duration,
    /// Half of the other members' means were no longer.
    pub(crate) others: Duration,
    pub(crate) requests: u32,
    pub(crate) failed: u32,
    at: Instant,
}

impl Window {
    /// How many times as long as the others, at least.
    pub(crate) fn times_the_others(&self) -> u128 {
        self.mean.as_micros() / self.others.as_micros().max(1)
    }

    fn is_slow(&self) -> bool {
        self.mean >= SLOW && self.mean > self.others * FACTOR
    }

    fn is_well(&self) -> bool {
        self.mean < SLOW / WELL || self.mean < self.others * FACTOR / WELL
    }
}

/// One kind of request to one peer.
#[derive(Default)]
pub(super) struct Latency {
    // The open window.
    total: Duration,
    quickest: Duration,
    requests: u32,
    failed: u32,
    /// The last one that was closed.
    last: Option<Window>,
    /// Whether it is yet to be judged.
    unjudged: bool,
    /// Windows in a row that contradict the verdict.
    contradicting: u8,
    slow_since: Option<Instant>,
    /// Probes under way, and when the last one began.
    probing: u32,
    probed: Option<Instant>,
}

impl Latency {
    pub(super) fn note(&mut self, took: Duration, ended: Ended) {
        let took = match ended {
            Ended::Done => took,
            Ended::Failed => took.max(FAILED_AS),
            // That it took so long is all that is known; less than that could have become anything.
            Ended::GivenUp if took >= SLOW => took,
            Ended::GivenUp | Ended::Uncounted => return,
        };
        self.quickest = if self.requests == 0 { took } else { self.quickest.min(took) };
        self.total += took;
        self.requests = self.requests.saturating_add(1);
        self.failed += u32::from(ended == Ended::Failed);
    }

    /// Closes the window if it says something.
    pub(super) fn close(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now.duration_since(last.at) > KEPT) {
            (self.last, self.slow_since, self.contradicting) = (None, None, 0);
        }
        self.unjudged = self.requests >= REQUESTS_MIN;
        if self.unjudged {
            let mean = self.total / self.requests;
            let (requests, failed) = (self.requests, self.failed);
            let others = self.last.map_or(mean, |last| last.others);
            let quickest = self.quickest;
            self.last = Some(Window { mean, quickest, others, requests, failed, at: now });
            (self.total, self.requests, self.failed) = (Duration::ZERO, 0, 0);
        }
    }

    /// What the last window says, if it is fresh.
    pub(super) fn fresh(&self, now: Instant) -> Option<Duration> {
        self.last.filter(|last| now.duration_since(last.at) <= FRESH).map(|last| last.mean)
    }

    /// Whether whoever waits for it would always have to wait long, by the last window.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.duration_since(last.at) <= FRESH && last.quickest >= LATE)
    }

    /// Judges the window that was closed just now, against what the others take.
    pub(super) fn judge(&mut self, others: Duration, now: Instant) {
        let Some(window) = self.last.as_mut().filter(|_| self.unjudged) else { return };
        window.others = others;
        let contradicts = if self.slow_since.is_some() { window.is_well() } else { window.is_slow() };
        self.contradicting = if contradicts { self.contradicting + 1 } else { 0 };
        if self.contradicting == WINDOWS {
            self.contradicting = 0;
            self.slow_since = if self.slow_since.is_some() { None } else { Some(now) };
        }
    }

    pub(super) fn slow(&self) -> Option<(Window, Instant)> {
        Some((self.last?, self.slow_since?))
    }

    pub(super) fn begin_probe(&mut self, (at_once, period): (u32, Duration), now: Instant) -> bool {
        let may =
            self.probing < at_once && self.probed.is_none_or(|probed| now.duration_since(probed) >= period);
        if may {
            (self.probing, self.probed) = (self.probing + 1, Some(now));
        }
        may
    }

    pub(super) fn end_probe(&mut self) {
        self.probing = self.probing.saturating_sub(1);
    }
}

/// What half of them take no longer than; the greater one in the middle of an even number.
pub(super) fn median(mut of: Vec<Duration>) -> Option<Duration> {
    of.sort_unstable();
    (of.len() >= OTHERS_MIN).then(|| of[of.len() / 2])
}
