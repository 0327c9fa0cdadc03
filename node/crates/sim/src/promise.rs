//! What the cluster has promised of each segment: any one more loss at the moment of the acknowledgement, any m once it
//! was whole. The faults keep within it, so whatever cannot be read at the end is the cluster's fault.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_shard::{ErasureProfile, SegmentId};

use crate::run::World;
use crate::truth::{self, Copies};

/// What may still be lost of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    allowed: usize,
    /// Nodes' worth of shards lost since it was last whole.
    lost: usize,
}

impl Promise {
    fn has_room(&self) -> bool {
        self.lost < self.allowed
    }
}

#[derive(Debug, Default)]
pub(crate) struct Promises {
    segments: BTreeMap<SegmentId, Promise>,
    /// Of the newest backup's anchor: m + 1 nodes said that they keep it. None before the first.
    anchor: Option<Promise>,
    /// Disks lost since that was told: which anchor was on them, the next one or this, nobody knows.
    lost_since: usize,
}

impl Promises {
    /// Takes note of the segments that acknowledged objects and backups need now, and of those that are whole.
    fn note(&mut self, needed: &BTreeSet<SegmentId>, sound: &BTreeMap<SegmentId, Copies>) {
        for segment in needed {
            self.segments.entry(*segment).or_insert(Promise { allowed: 1, lost: 0 });
        }
        for (segment, promise) in &mut self.segments {
            if let Some(copies) = sound.get(segment).filter(|copies| copies.is_whole()) {
                *promise = Promise { allowed: copies.profile.m(), lost: 0 };
            }
        }
    }

    /// Whether these segments may each lose a node's worth of shards, and the backup's anchor one of its nodes.
    fn permits(&self, segments: &BTreeSet<SegmentId>, anchors_too: bool) -> bool {
        let mut promises = segments.iter().filter_map(|segment| self.segments.get(segment));
        let anchor = self.anchor.filter(|_| anchors_too);
        promises.all(Promise::has_room) && anchor.as_ref().is_none_or(Promise::has_room)
    }

    fn lose(&mut self, segments: &BTreeSet<SegmentId>, anchors_too: bool) {
        let of_segments = self.segments.iter_mut().filter(|(segment, _)| segments.contains(segment));
        of_segments.for_each(|(_, promise)| promise.lost += 1);
        if anchors_too {
            self.lost_since += 1;
            self.anchor.iter_mut().for_each(|anchor| anchor.lost += 1);
        }
    }
}

impl World {
    /// What there is of a key's segments, for whoever wonders why it cannot be read.
    pub(crate) async fn describe(&self, key: &str) -> String {
        let Some(running) = self.gateway.lock().await.running() else { return String::new() };
        let needed = truth::needed(&running, &[key.to_owned()]).await.unwrap_or_default();
        let (nodes, promises) = (self.nodes.lock(), self.promises.lock());
        let sound = truth::sound(&nodes);
        let one = |segment: &SegmentId| {
            format!("{segment:?}: {:?}, sound at {:?}", promises.segments.get(segment), sound.get(segment))
        };
        needed.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Brings the promises up to date; false while no gateway runs to say what is needed.
    pub(crate) async fn note_promises(&self) -> bool {
        let Some(running) = self.gateway.lock().await.running() else { return false };
        let keys = self.history.lock().keys();
        let Ok(mut needed) = truth::needed(&running, &keys).await else { return false };
        let Ok(of_backups) = truth::of_backups(&running).await else { return false };
        needed.extend(of_backups);
        needed.extend(self.again.lock().held());
        // What is let go is needed where the catalog is lost: a backup refers to it until it may be deleted.
        let known: Vec<SegmentId> = self.promises.lock().segments.keys().copied().collect();
        for segment in known {
            match running.catalog.is_known(segment).await {
                Ok(true) => {}
                Ok(false) => drop(self.promises.lock().segments.remove(&segment)),
                Err(_) => return false,
            }
        }
        let sound = truth::sound(&self.nodes.lock());
        self.promises.lock().note(&needed, &sound);
        true
    }

    /// The same before a key is written by the only client that does so: what it holds may be known to a backup alone after that.
    pub(crate) async fn note_before_write(&self) {
        if self.gateway_watch().wait_for(Option::is_some).await.is_ok() {
            self.note_promises().await;
        }
    }

    /// A backup counts as kept, by the cluster's word, while such profiles are in use.
    pub(crate) fn note_backup(&self, at_unix_ms: u64, profiles: impl Iterator<Item = ErasureProfile>) {
        let newest = &mut *self.backed_up.lock();
        if newest.is_none_or(|newest| newest < at_unix_ms) {
            *newest = Some(at_unix_ms);
            self.surrounding.totals.count(|counts| counts.backups += 1);
            let allowed = profiles.map(|profile| profile.m()).min().unwrap_or(0);
            let mut promises = self.promises.lock();
            let lost = std::mem::take(&mut promises.lost_since);
            promises.anchor = Some(Promise { allowed, lost });
        }
    }

    /// Takes shards from a node, if the promises leave room for that.
    pub(crate) async fn lose_within_promise(&self, node: usize, only: Option<SegmentId>) -> bool {
        if !self.note_promises().await {
            return false;
        }
        // A put that is under way may be acknowledged in the next moment, for shards that are there now: they count.
        let mut segments: BTreeSet<SegmentId> = {
            let nodes = self.nodes.lock();
            let Some(node) = nodes.get(node) else { return false };
            let platter = node.platter.lock();
            platter.rows.keys().map(|key| key.segment).collect()
        };
        if let Some(only) = only {
            segments.retain(|segment| *segment == only);
        }
        let mut promises = self.promises.lock();
        let anchors_too = only.is_none();
        if !promises.permits(&segments, anchors_too) || !self.unknown_are_safe(&promises, &segments) {
            return false;
        }
        promises.lose(&segments, anchors_too);
        self.note(&format!("promises after a loss: {:?}", promises.segments));
        true
    }

    /// Segments that nobody needs yet may be acknowledged while shards of them are being lost: such a loss would be the
    /// one that the acknowledgement allows for, without anybody counting it. They are left alone.
    fn unknown_are_safe(&self, promises: &Promises, segments: &BTreeSet<SegmentId>) -> bool {
        // So is what is coded anew.
        let writes =
            self.history.lock().is_writing() || self.again.lock().is_writing() || self.wanted.lock().recode;
        !writes || segments.iter().all(|segment| promises.segments.contains_key(segment))
    }
}
