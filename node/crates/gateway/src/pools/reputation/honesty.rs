//! Whether a peer's answers are true: shards are held against their proofs by whoever reads them. Pure.
//!
//! A disk that rots does not count: the node holds what it reads against a checksum, and says itself that a shard is corrupt.
//! What arrives wrong all the same comes from broken memory, from a node that lies, or was changed on its way.

use std::time::Duration;

use datamesh_shard::{Incarnation, ShardKey};
use tokio::time::Instant;

/// Different shards that arrived wrong,
const WRONG_MAX: usize = 5;
/// within so long, make a quarantine. One shard that is read over and over counts once.
const WITHIN: Duration = Duration::from_secs(600);
/// How long a quarantine lasts after the last wrong answer, and probation after it.
const TERM: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Good,
    Quarantined {
        since: Instant,
        until: Instant,
    },
    /// The next wrong answer suffices.
    Probation {
        until: Instant,
    },
}

#[derive(Default)]
pub(super) struct Honesty {
    standing: Standing,
    last: [Option<(ShardKey, Instant)>; WRONG_MAX],
    wrong: u32,
    incarnation: Option<Incarnation>,
}

impl Honesty {
    pub(super) fn note_wrong(&mut self, key: ShardKey, now: Instant) {
        self.wrong = self.wrong.saturating_add(1);
        self.remember(key, now);
        let since = match self.standing {
            Standing::Quarantined { since, .. } => since,
            Standing::Probation { .. } => now,
            Standing::Good if self.last.iter().all(|last| is_recent(last.as_ref(), now)) => now,
            Standing::Good => return,
        };
        self.standing = Standing::Quarantined { since, until: now + TERM };
    }

    /// In place of itself, or of what is longest ago.
    fn remember(&mut self, key: ShardKey, now: Instant) {
        let known = self.last.iter().position(|last| last.is_some_and(|(known, _)| known == key));
        let oldest = (0..WRONG_MAX).min_by_key(|at| self.last[*at].map(|(_, when)| when));
        self.last[known.or(oldest).unwrap_or_default()] = Some((key, now));
    }

    /// Ends what has lasted long enough. A node that was started anew may have other memory, or other code.
    pub(super) fn judge(&mut self, incarnation: Option<Incarnation>, now: Instant) {
        let restarted = self.incarnation.is_some() && incarnation > self.incarnation;
        self.incarnation = self.incarnation.max(incarnation);
        match self.standing {
            Standing::Quarantined { until, .. } if restarted || now >= until => {
                self.last = Default::default();
                self.standing = Standing::Probation { until: now + TERM };
            }
            Standing::Probation { until } if now >= until => {
                *self = Self { incarnation: self.incarnation, ..Self::default() }
            }
            _ => {}
        }
    }

    /// Since when and until when, if it is.
    pub(super) fn quarantined(&self) -> Option<(Instant, Instant)> {
        match self.standing {
            Standing::Quarantined { since, until } => Some((since, until)),
            _ => None,
        }
    }

    /// Wrong answers so far.
    pub(super) fn wrong(&self) -> u32 {
        self.wrong
    }
}

fn is_recent(last: Option<&(ShardKey, Instant)>, now: Instant) -> bool {
    last.is_some_and(|(_, at)| now.duration_since(*at) <= WITHIN)
}
