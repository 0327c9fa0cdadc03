//! How events of buckets get to their targets.

use std::collections::BTreeMap;

use datamesh_catalog::EventTally;
use datamesh_catalog::catalog::CatalogError;
use datamesh_settings::admin::NotificationStatus;
use datamesh_shard::TargetName;

use super::StatusSource;

/// Of each target of the settings, and of each that there were events for.
pub(super) async fn told(source: &StatusSource) -> Result<Vec<NotificationStatus>, CatalogError> {
    let known = source.targets.all().iter().map(|target| (target.name.clone(), EventTally::default()));
    let mut tallies: BTreeMap<TargetName, EventTally> = known.collect();
    tallies.extend(source.catalog.event_tallies().await?);
    let told = |(target, tally): (TargetName, EventTally)| NotificationStatus {
        problems: problems(source, &target, tally),
        pending: tally.pending,
        dropped: tally.dropped,
        target,
    };
    Ok(tallies.into_iter().map(told).collect())
}

fn problems(source: &StatusSource, target: &TargetName, tally: EventTally) -> Vec<String> {
    let mut problems = Vec::new();
    // Once it is told all there is, the count alone remains: nothing could clear a problem that is over.
    if tally.dropped > 0 && tally.pending > 0 {
        problems.push(format!(
            "{} events for {target} were given up, the oldest first, as too many waited: list the buckets to know what is there.",
            tally.dropped
        ));
    }
    if tally.pending > 0 && !source.targets.has(target) {
        problems.push(format!(
            "{} events wait for {target}, which is no target of the settings: add it, or take it out of the buckets' configurations.",
            tally.pending
        ));
    }
    problems.extend(source.targets.failure(target).map(|why| format!("{target} takes no events: {why}.")));
    problems
}
