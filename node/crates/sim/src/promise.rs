//! What the cluster has promised of each segment: any one more loss at the moment of the acknowledgement, any m once it
//! was whole. The faults keep within it, so whatever cannot be read at the end is the cluster's fault.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_shard::SegmentId;

use crate::run::World;
use crate::truth::{self, Copies};

/// What may still be lost of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    allowed: usize,
    /// Nodes' worth of shards lost since it was last whole.
    lost: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Promises(BTreeMap<SegmentId, Promise>);

impl Promises {
    /// Takes note of the segments that acknowledged objects need now, and of those that are whole.
    fn note(&mut self, needed: &BTreeSet<SegmentId>, sound: &BTreeMap<SegmentId, Copies>) {
        self.0.retain(|segment, _| needed.contains(segment));
        for segment in needed {
            let promise = self.0.entry(*segment).or_insert(Promise { allowed: 1, lost: 0 });
            if let Some(copies) = sound.get(segment).filter(|copies| copies.is_whole()) {
                *promise = Promise { allowed: copies.profile.m(), lost: 0 };
            }
        }
    }

    /// Whether these segments may each lose a node's worth of shards.
    fn permits(&self, segments: &BTreeSet<SegmentId>) -> bool {
        segments
            .iter()
            .all(|segment| self.0.get(segment).is_none_or(|promise| promise.lost < promise.allowed))
    }

    fn lose(&mut self, segments: &BTreeSet<SegmentId>) {
        for segment in segments {
            if let Some(promise) = self.0.get_mut(segment) {
                promise.lost += 1;
            }
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
            format!("{segment:?}: {:?}, sound at {:?}", promises.0.get(segment), sound.get(segment))
        };
        needed.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Brings the promises up to date; false while no gateway runs to say what is needed.
    pub(crate) async fn note_promises(&self) -> bool {
        let Some(running) = self.gateway.lock().await.running() else { return false };
        let keys = self.history.lock().keys();
        let Ok(mut needed) = truth::needed(&running, &keys).await else { return false };
        needed.extend(self.again.lock().held());
        let sound = truth::sound(&self.nodes.lock());
        self.promises.lock().note(&needed, &sound);
        true
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
        if !promises.permits(&segments) || !self.unknown_are_safe(&promises, &segments) {
            return false;
        }
        promises.lose(&segments);
        self.note(&format!("promises after a loss: {:?}", promises.0));
        true
    }

    /// Segments that nobody needs yet may be acknowledged while shards of them are being lost: such a loss would be the
    /// one that the acknowledgement allows for, without anybody counting it. They are left alone.
    fn unknown_are_safe(&self, promises: &Promises, segments: &BTreeSet<SegmentId>) -> bool {
        // So is what is coded anew.
        let writes =
            self.history.lock().is_writing() || self.again.lock().is_writing() || self.wanted.lock().recode;
        !writes || segments.iter().all(|segment| promises.0.contains_key(segment))
    }
}
