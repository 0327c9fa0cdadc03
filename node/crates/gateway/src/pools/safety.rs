//! How safe a pool is, out of what its stewards counted. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_exchange::message::{PartitionCount, Stewardship};
use datamesh_exchange::survey::Tolerances;
use datamesh_settings::admin::PoolSafety;
use datamesh_shard::Epoch;

/// Counts older than this are none: half as old again as a steward lets them get.
const COUNT_SECONDS_MAX: u32 = 900;

/// Whether a steward has counted a partition since so long ago, all of it.
pub(super) fn counted_within(steward: &Stewardship, partition: u32, ago: Duration) -> bool {
    let counts = &steward.counts;
    let count = counts.binary_search_by_key(&partition, |count| count.partition).map(|at| &counts[at]);
    // Rounded up: what was counted in the same second may have been before.
    let age = |count: &PartitionCount| Duration::from_secs(u64::from(count.age_seconds) + 1);
    count.is_ok_and(|count| age(count) < ago && count.tolerances.under_way == 0)
}

/// Each partition once: of two stewards that counted the same one, as happens while they take over from each other, the
/// one with the worse news.
pub(super) fn of(epoch: Epoch, partitions: u32, stewards: &[Arc<Stewardship>]) -> PoolSafety {
    let mut by_partition: BTreeMap<u32, &PartitionCount> = BTreeMap::new();
    let mut safety = PoolSafety { partitions, ..PoolSafety::default() };
    for steward in stewards {
        safety.rebuilt_shards += steward.rebuilt_shards;
        safety.failed_rebuilds += steward.failed_rebuilds;
        safety.scrubbed_shards += steward.scrubbed_shards;
        safety.scrubbed_corrupt += steward.scrubbed_corrupt;
        if steward.epoch != Some(epoch) {
            continue;
        }
        let counts = steward.counts.iter();
        for count in counts.filter(|c| c.partition < partitions && c.age_seconds <= COUNT_SECONDS_MAX) {
            let known = by_partition.entry(count.partition).or_insert(count);
            if count.tolerances.is_worse_than(&known.tolerances) {
                *known = count;
            }
        }
    }
    let mut sum = Tolerances::default();
    for count in by_partition.values() {
        sum.add(&count.tolerances);
        safety.oldest_seconds = safety.oldest_seconds.max(count.age_seconds.into());
        safety.unheard_partitions += u32::from(count.silent > 0);
    }
    safety.counted_partitions = u32::try_from(by_partition.len()).unwrap_or(u32::MAX);
    let Tolerances { segments, short, unreadable, away, under_way } = sum;
    PoolSafety { segments, short, unreadable, away, under_way, ..safety }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(partition: u32, segments: [u64; 3]) -> PartitionCount {
        let short = [segments[0], segments[1], 0].to_vec();
        let tolerances = Tolerances { segments: segments.to_vec(), short, ..Tolerances::default() };
        PartitionCount { partition, tolerances, ..PartitionCount::default() }
    }

    fn steward(epoch: u64, counts: Vec<PartitionCount>) -> Arc<Stewardship> {
        Arc::new(Stewardship { epoch: Some(Epoch(epoch)), counts, ..Stewardship::default() })
    }

    #[test]
    fn two_stewards_of_a_partition_count_it_once_and_the_worse_news_counts() {
        let stewards = [
            steward(2, vec![count(0, [0, 0, 5]), count(1, [0, 0, 7])]),
            steward(2, vec![count(1, [0, 1, 6])]),
            steward(1, vec![count(2, [9, 9, 9])]),
        ];
        let safety = of(Epoch(2), 4, &stewards);
        assert_eq!((safety.segments.as_slice(), safety.counted_partitions), (&[0, 1, 11][..], 2));
        assert!(!safety.is_complete(), "a count under another layout is none");
    }

    #[test]
    fn a_partition_is_counted_once_all_of_it_was() {
        let new = |mut count: PartitionCount| {
            count.tolerances.under_way = 1;
            count
        };
        let said = steward(1, vec![count(1, [0, 0, 1]), new(count(3, [0, 0, 1]))]);
        let within = |partition, seconds| counted_within(&said, partition, Duration::from_secs(seconds));
        assert!(within(1, 2) && !within(1, 1), "a moment ago is not since a moment ago");
        assert!(!within(2, 9), "nobody counted it");
        assert!(!within(3, 9), "something in it is set apart");
    }

    #[test]
    fn what_is_old_or_of_no_such_partition_is_not_counted() {
        let old = PartitionCount { age_seconds: COUNT_SECONDS_MAX + 1, ..count(0, [0, 0, 5]) };
        let heard_too_little = PartitionCount { silent: 1, ..count(1, [0, 0, 3]) };
        let safety = of(Epoch(1), 2, &[steward(1, vec![old, heard_too_little, count(7, [1, 0, 0])])]);
        assert_eq!((safety.segments.as_slice(), safety.counted_partitions), (&[0, 0, 3][..], 1));
        assert_eq!(safety.unheard_partitions, 1);
    }
}
