use std::time::Duration;

/// How often a node looks after the shards of its pool, and how soon it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A shard missing for less than this may still be on its way: longer than a put goes on by itself.
    pub grace: Duration,
    /// How often a steward looks whether members came, went or started anew.
    pub look: Duration,
    /// Until a partition is looked at again in which something is missing; doubled each time nothing came of it.
    pub rest_open: Duration,
    /// The same for a partition that is whole, at least.
    pub rest_whole: Duration,
    /// Between looks for shards that belong elsewhere, at least.
    pub rest_homing: Duration,
    /// Within this every shard is read once, to see whether it is still what was written.
    pub scrub_period: Duration,
    /// All rests at most: how old a count may get, and how late a loss is seen that nobody reported.
    pub rest_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(40),
            look: Duration::from_secs(1),
            rest_open: Duration::from_secs(10),
            rest_whole: Duration::from_secs(60),
            rest_homing: Duration::from_secs(10),
            scrub_period: Duration::from_secs(14 * 24 * 3600),
            rest_max: Duration::from_secs(600),
        }
    }
}
