use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds within which a node reads all of its shards when nobody says otherwise: 14 days.
pub const SCRUB_PERIOD_SECONDS_DEFAULT: u64 = 14 * 24 * 3600;
/// Those seconds at least: less would have nodes read all the time.
pub const SCRUB_PERIOD_SECONDS_MIN: u64 = 3600;
/// Those seconds at most: a year.
pub const SCRUB_PERIOD_SECONDS_MAX: u64 = 365 * 24 * 3600;
/// Bytes a second that a node may read for its scrub, at least: fewer would never end.
pub const SCRUB_BYTES_PER_SECOND_MIN: u64 = 1 << 20;
/// Behind twice the period a node may be so long until it counts as overdue: rounds rest between their units.
const SLACK_SECONDS: u64 = 3600;

/// How the nodes of a pool read their shards, to see whether they are still what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScrubSpec {
    /// Seconds within which each node reads all of its shards once; [`SCRUB_PERIOD_SECONDS_MIN`] to
    /// [`SCRUB_PERIOD_SECONDS_MAX`].
    pub period_seconds: u64,
    /// Whether nodes shall not read, until this is false again. Each then goes on where it was.
    pub paused: bool,
    /// Payload bytes a second that each node reads at most, [`SCRUB_BYTES_PER_SECOND_MIN`] at least. It goes before the period. Absent:
    /// as many as the period asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_second: Option<u64>,
}

impl Default for ScrubSpec {
    fn default() -> Self {
        Self { period_seconds: SCRUB_PERIOD_SECONDS_DEFAULT, paused: false, max_bytes_per_second: None }
    }
}

impl ScrubSpec {
    /// What nobody has to be told.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the numbers are within their limits.
    #[must_use]
    pub fn is_within_limits(&self) -> bool {
        (SCRUB_PERIOD_SECONDS_MIN..=SCRUB_PERIOD_SECONDS_MAX).contains(&self.period_seconds)
            && self.max_bytes_per_second.is_none_or(|bytes| bytes >= SCRUB_BYTES_PER_SECOND_MIN)
    }
}

/// What a node says of its scrub. Times are by its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubReport {
    /// What it was told last.
    pub ordered: ScrubSpec,
    /// Of the round under way, parts in a thousand that are done.
    pub done_permille: u16,
    /// Seconds since that round began.
    pub round_seconds: u64,
    /// Every shard was read or written within so many seconds: since the begin of the last round that ended. Absent until one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_within_seconds: Option<u64>,
    /// Until one has: seconds since the first round began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_seconds: Option<u64>,
}

impl ScrubReport {
    /// Whether more than twice the period has passed in which not every shard was read.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        let since = self.read_within_seconds.or(self.unread_seconds).unwrap_or(self.round_seconds);
        since > self.ordered.period_seconds.saturating_mul(2).saturating_add(SLACK_SECONDS)
    }
}

/// How far the nodes of a pool are with reading their shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolScrub {
    /// What the administrator wants.
    pub wanted: ScrubSpec,
    /// Members of the pool's layout.
    pub members: u32,
    /// Members that do not scrub so: they were not told yet, could not take note, or are of a build that cannot be told.
    pub untold_members: u32,
    /// Members that said how their scrub is; the numbers below are of these.
    pub heard_members: u32,
    /// Members whose scrub is paused.
    pub paused_members: u32,
    /// Members that have not read all of their shards within twice the period.
    pub overdue_members: u32,
    /// Parts in a thousand of their rounds that are done, of the member that is least far.
    pub done_permille: u16,
    /// Every shard was read or written within so many seconds. Absent until all members have ended a round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_within_seconds: Option<u64>,
}

impl PoolScrub {
    /// Of what the live ones among so many members of a pool said; `None`: nothing of a scrub.
    pub fn of(
        wanted: ScrubSpec,
        members: u32,
        reports: impl IntoIterator<Item = Option<ScrubReport>>,
    ) -> Self {
        let mut sum =
            Self { wanted, members, done_permille: 1000, read_within_seconds: Some(0), ..Self::default() };
        for report in reports {
            let ordered = report.map_or_else(ScrubSpec::default, |report| report.ordered);
            sum.untold_members += u32::from(ordered != wanted);
            let Some(report) = report else { continue };
            sum.heard_members += 1;
            sum.paused_members += u32::from(report.ordered.paused);
            sum.overdue_members += u32::from(report.is_overdue());
            sum.done_permille = sum.done_permille.min(report.done_permille);
            sum.read_within_seconds =
                sum.read_within_seconds.zip(report.read_within_seconds).map(|(one, other)| one.max(other));
        }
        if sum.heard_members == 0 {
            sum.done_permille = 0;
        }
        if sum.heard_members < members {
            sum.read_within_seconds = None;
        }
        sum
    }

    /// What must be said beside every word on how safe the data is, a sentence each. Without figures that change all the time.
    #[must_use]
    pub fn caveats(&self) -> Vec<String> {
        let Self { heard_members: heard, paused_members: paused, overdue_members: overdue, .. } = self;
        let mut caveats = Vec::new();
        if *paused > 0 {
            caveats.push(format!(
                "The scrub is paused on {paused} of {heard} nodes: what rots on their disks is found by reads alone until \
                 spec.scrub.paused of the StoragePool is false again."
            ));
        }
        if self.untold_members > 0 {
            caveats.push(format!(
                "{} of {} nodes do not scrub as spec.scrub of the StoragePool says: they are told again every few seconds, but builds \
                 older than this setting cannot be told.",
                self.untold_members, self.members
            ));
        }
        if *overdue > 0 {
            caveats.push(format!(
                "{overdue} of {heard} nodes have not read all their shards within twice the scrub's period: more may have rotted \
                 than is known. Let the scrub run, raise spec.scrub.maxBytesPerSecond, or set a longer period."
            ));
        }
        caveats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(paused: bool, done_permille: u16, read_within_seconds: Option<u64>) -> ScrubReport {
        let ordered = ScrubSpec { paused, ..ScrubSpec::default() };
        ScrubReport { ordered, done_permille, round_seconds: 60, read_within_seconds, unread_seconds: None }
    }

    fn of<const N: usize>(wanted: ScrubSpec, reports: [ScrubReport; N]) -> PoolScrub {
        PoolScrub::of(wanted, u32::try_from(N).unwrap(), reports.map(Some))
    }

    #[test]
    fn a_pool_is_no_further_than_its_last_member_and_claims_nothing_before_all_have_read() {
        let wanted = ScrubSpec::default();
        let both = [report(false, 900, Some(100)), report(false, 200, Some(7000))];
        let sum = of(wanted, both);
        assert_eq!((sum.done_permille, sum.read_within_seconds), (200, Some(7000)));
        assert!(sum.caveats().is_empty());
        assert_eq!(
            of(wanted, [report(false, 900, Some(100)), report(false, 200, None)]).read_within_seconds,
            None
        );
        let one_is_down = PoolScrub::of(wanted, 3, both.map(Some));
        assert_eq!((one_is_down.read_within_seconds, one_is_down.caveats().len()), (None, 0));
        let nobody = PoolScrub::of(wanted, 2, []);
        assert_eq!((nobody.done_permille, nobody.read_within_seconds), (0, None));
    }

    #[test]
    fn a_paused_scrub_and_one_that_is_overdue_are_told() {
        let paused = ScrubSpec { paused: true, ..ScrubSpec::default() };
        let sum = of(paused, [report(true, 900, Some(100)), report(true, 0, None)]);
        assert!(sum.caveats()[0].contains("paused on 2 of 2 nodes") && sum.caveats().len() == 1, "{sum:?}");
        let late = 2 * SCRUB_PERIOD_SECONDS_DEFAULT + SLACK_SECONDS;
        assert!(!report(true, 0, Some(late)).is_overdue());
        let sum = of(paused, [report(true, 900, Some(late + 1))]);
        assert!(sum.caveats()[1].starts_with("1 of 1 nodes have not read"), "{sum:?}");
        let never = ScrubReport { unread_seconds: Some(late + 1), ..report(false, 0, None) };
        assert!(never.is_overdue(), "one that never ended a round counts from its first");
    }

    #[test]
    fn who_was_not_told_is_said() {
        let paused = ScrubSpec { paused: true, ..ScrubSpec::default() };
        let told = |wanted, reports: [Option<ScrubReport>; 2]| PoolScrub::of(wanted, 2, reports).caveats();
        assert!(
            told(paused, [Some(report(true, 0, None)), None])[1].starts_with("1 of 2 nodes do not scrub as")
        );
        assert!(
            told(paused, [Some(report(false, 0, None)), None])[0].starts_with("2 of 2 nodes do not scrub as")
        );
        assert!(
            told(ScrubSpec::default(), [Some(report(false, 0, None)), None]).is_empty(),
            "it does as usual"
        );
    }

    #[test]
    fn what_is_left_out_is_the_default() {
        let read: ScrubSpec = serde_yaml::from_str("paused: true").unwrap();
        assert_eq!(read, ScrubSpec { paused: true, ..ScrubSpec::default() });
        assert!(read.is_within_limits());
        assert!(!ScrubSpec { period_seconds: 3599, ..read }.is_within_limits());
        assert!(!ScrubSpec { max_bytes_per_second: Some(1), ..read }.is_within_limits());
    }
}
