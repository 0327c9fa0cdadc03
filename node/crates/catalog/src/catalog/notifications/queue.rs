//! Events that wait for their targets to be told: the oldest are told first, and are given up where too many wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_shard::TargetName;
use tokio::sync::Notify;

use super::{DROPPED, PENDING};
use crate::catalog::faults::{ATTEMPTS_MAX, each};
use crate::catalog::tally::{count_in, delta_of};
use crate::catalog::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, Row, View};
use crate::limits::EVENTS_PER_CALL_MAX;
use crate::model::{Event, EventTally};
use crate::record::{self, EventRecord};

/// Events that are looked at in one step of giving up old ones.
const OLD_AT_ONCE: usize = 100;

fn event_of(row: Row) -> Result<Event, CatalogError> {
    let (order, key) = keys::read_event(&row.key)?;
    let EventRecord(what) = record::decode(&row.value)?;
    Ok(Event { order, key, what, row: row.key, written: row.version })
}

impl<K: Keyspace> Catalog<K> {
    /// The first events that wait for a target, at most `limit`; those of one key in the order in which they happened.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn events(&self, target: &TargetName, limit: usize) -> Result<Vec<Event>, CatalogError> {
        let limits = RangeLimits::rows(limit.min(EVENTS_PER_CALL_MAX));
        let page = self.view().await?.range(&keys::events(target), limits).await?;
        page.rows.into_iter().map(event_of).collect()
    }

    /// Forgets events of a target, which was told them. Some may be gone already: another gateway told them too, or they were given up.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn forget_events(&self, target: &TargetName, told: &[Event]) -> Result<(), CatalogError> {
        self.take_those(target, told, false).await
    }

    /// Gives up events of a target, which takes them never. Some may be gone already.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn give_up_events(&self, target: &TargetName, refused: &[Event]) -> Result<(), CatalogError> {
        self.take_those(target, refused, true).await
    }

    async fn take_those(
        &self,
        target: &TargetName,
        events: &[Event],
        dropped: bool,
    ) -> Result<(), CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut there = Vec::new();
            for event in events {
                if view.get(&event.row).await?.is_some_and(|row| row.version == event.written) {
                    there.push(event);
                }
            }
            drop(view);
            let counted = if dropped { there.len() } else { 0 };
            let counted = u64::try_from(counted).unwrap_or(u64::MAX);
            if there.is_empty() || self.take_out(target, &there, counted).await? {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }

    /// Gives up the first events of a target until at most so many wait; a call gives up some of them. Gives how many that were.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn drop_events(&self, target: &TargetName, pending_max: u64) -> Result<u64, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let pending = count_in(&self.view().await?, keys::event_counter(target, PENDING)).await?;
            let over = usize::try_from(pending.saturating_sub(pending_max)).unwrap_or(usize::MAX);
            if over == 0 {
                return Ok(0);
            }
            let first = self.events(target, over).await?;
            let dropped = u64::try_from(first.len()).unwrap_or(u64::MAX);
            if first.is_empty() || self.take_out(target, &first.iter().collect::<Vec<_>>(), dropped).await? {
                return Ok(dropped);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Gives up the first events of a target, up to one that did not happen before this time; a call gives up some of them. Gives how
    /// many that were.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn drop_events_before(&self, target: &TargetName, unix_ms: u64) -> Result<u64, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let first = self.events(target, OLD_AT_ONCE).await?;
            let old: Vec<_> = first.iter().take_while(|event| event.what.at_unix_ms < unix_ms).collect();
            let dropped = u64::try_from(old.len()).unwrap_or(u64::MAX);
            if old.is_empty() || self.take_out(target, &old, dropped).await? {
                return Ok(dropped);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Forgets what was counted of a target, where no event waits for it. Nothing happens if one comes meanwhile.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn forget_tally(&self, target: &TargetName) -> Result<(), CatalogError> {
        let view = self.view().await?;
        if count_in(&view, keys::event_counter(target, PENDING)).await? > 0 {
            return Ok(());
        }
        let mut batch = Batch::new();
        for number in [PENDING, DROPPED] {
            let key = keys::event_counter(target, number);
            batch.expect(key.clone(), view.get(&key).await?.map(|row| row.version));
            batch.delete(key);
        }
        drop(view);
        self.try_commit(batch).await?;
        Ok(())
    }

    /// Whether all of them were there still.
    async fn take_out(
        &self,
        target: &TargetName,
        events: &[&Event],
        dropped: u64,
    ) -> Result<bool, CatalogError> {
        let mut batch = Batch::new();
        for Event { row, written, .. } in events {
            batch.expect(row.clone(), Some(*written));
            batch.delete(row.clone());
        }
        let gone = u64::try_from(events.len()).unwrap_or(u64::MAX);
        batch.add(keys::event_counter(target, PENDING), -delta_of(gone));
        batch.add(keys::event_counter(target, DROPPED), delta_of(dropped));
        Ok(self.try_commit(batch).await?.is_some())
    }

    /// What is known of each target that there ever were events for.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn event_tallies(&self) -> Result<BTreeMap<TargetName, EventTally>, CatalogError> {
        let mut tallies = BTreeMap::<TargetName, EventTally>::new();
        let view = self.view().await?;
        each(&view, keys::all(Table::EventCounter), |row| {
            let (target, number) = keys::read_event_counter(&row.key)?;
            let value = row.value.try_into().map_or(0, i64::from_le_bytes);
            let tally = tallies.entry(target).or_default();
            let of = if number == DROPPED { &mut tally.dropped } else { &mut tally.pending };
            *of = u64::try_from(value).unwrap_or_default();
            Ok(())
        })
        .await?;
        Ok(tallies)
    }

    /// Has these woken each time this process commits an event, whichever target it is for.
    pub fn wake_on_events(&self, wakes: Vec<Arc<Notify>>) {
        *self.shared.event_wakes.write() = wakes;
    }
}
