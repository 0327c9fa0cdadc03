use std::time::Duration;

/// How often a node looks after the shards of its pool, and how soon it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A shard missing for less than this may still be on its way: longer than a put goes on by itself.
    pub grace: Duration,
    /// Between a steward's passes while something is missing.
    pub rest_open: Duration,
    /// The same, at least, while nothing is.
    pub rest_whole: Duration,
    /// Between looks for shards that belong elsewhere, at least.
    pub rest_homing: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(40),
            rest_open: Duration::from_secs(10),
            rest_whole: Duration::from_secs(60),
            rest_homing: Duration::from_secs(10),
        }
    }
}
