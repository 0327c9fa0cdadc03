//! What really lies on the disks, as nobody in the cluster can see it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::backup::BACKUP_BUCKET;
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{Body, BucketId, ObjectKey, PageAt};
use datamesh_shard::{ErasureProfile, SegmentId, ShardIndex};

use crate::disk::Shape;
use crate::gateway::Running;
use crate::node::Node;

/// Which nodes have which shards of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copies {
    pub(crate) profile: ErasureProfile,
    at: BTreeMap<ShardIndex, BTreeSet<usize>>,
}

impl Copies {
    /// Whether shards enough are there to read it.
    pub(crate) fn is_readable(&self) -> bool {
        self.at.len() >= self.profile.k()
    }

    /// Whether it survives all that its profile allows for.
    pub(crate) fn is_whole(&self) -> bool {
        self.survives(self.profile.m())
    }

    /// Further losses survived; `None` if it cannot be read.
    pub(crate) fn tolerance(&self) -> Option<usize> {
        (0..=self.profile.m()).rev().find(|losses| self.survives(*losses))
    }

    /// Whether it could be read after the loss of any `losses` nodes: tried out.
    fn survives(&self, losses: usize) -> bool {
        let nodes: BTreeSet<usize> = self.at.values().flatten().copied().collect();
        let nodes: Vec<usize> = nodes.into_iter().collect();
        // Losing more than there are is losing all.
        self.without(&nodes, &mut Vec::new(), losses.min(nodes.len()))
    }

    /// The same, with some lost already: every choice of the others is tried.
    fn without(&self, nodes: &[usize], lost: &mut Vec<usize>, left: usize) -> bool {
        if left == 0 || nodes.is_empty() {
            let there = self.at.values().filter(|having| having.iter().any(|node| !lost.contains(node)));
            return there.count() >= self.profile.k();
        }
        nodes.iter().enumerate().all(|(at, node)| {
            lost.push(*node);
            let survived = self.without(&nodes[at + 1..], lost, left - 1);
            lost.pop();
            survived
        })
    }
}

/// Segments of which nodes that run have shards not known to be corrupt: the most that anybody could report.
pub(crate) fn listed(nodes: &[Node]) -> BTreeMap<SegmentId, Copies> {
    gather(
        nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.is_up() && !node.is_lost)
            .map(|(n, node)| (n, node.platter.lock().listed())),
    )
}

/// Segments of which any disk has sound shards, whether its node runs or not. Those that were given up do not count.
pub(crate) fn sound(nodes: &[Node]) -> BTreeMap<SegmentId, Copies> {
    let kept = nodes.iter().enumerate().filter(|(_, node)| !node.is_lost);
    gather(kept.map(|(n, node)| (n, node.platter.lock().sound())))
}

fn gather(disks: impl Iterator<Item = (usize, Vec<Shape>)>) -> BTreeMap<SegmentId, Copies> {
    let mut segments: BTreeMap<SegmentId, Copies> = BTreeMap::new();
    for (n, keys) in disks {
        for (key, profile) in keys {
            let fresh = || Copies { profile, at: BTreeMap::new() };
            segments.entry(key.segment).or_insert_with(fresh).at.entry(key.index).or_default().insert(n);
        }
    }
    segments
}

/// The segments of every object, as the catalog has it.
pub(crate) async fn needed(running: &Running, keys: &[String]) -> Result<BTreeSet<SegmentId>, String> {
    let mut needed = BTreeSet::new();
    let failed = |error: CatalogError| error.to_string();
    let buckets = running.catalog.buckets().await.map_err(failed)?;
    for bucket in buckets.iter().map(|bucket| bucket.id) {
        for key in keys {
            needed.extend(of_object(running, bucket, key).await?);
        }
    }
    Ok(needed)
}

/// The segments of backups that are there.
pub(crate) async fn of_backups(running: &Running) -> Result<BTreeSet<SegmentId>, CatalogError> {
    let (mut of_backups, mut looked) = (BTreeSet::new(), BTreeMap::new());
    for (segment, known) in running.catalog.needed_segments((SegmentId([0; 32]), None)).await? {
        let is_of_one = match looked.entry(known.upload) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(new) => {
                let upload = running.catalog.upload(known.upload).await?;
                *new.insert(upload.is_some_and(|upload| upload.target.bucket == BACKUP_BUCKET))
            }
        };
        if is_of_one {
            of_backups.insert(segment);
        }
    }
    Ok(of_backups)
}

async fn of_object(running: &Running, bucket: BucketId, key: &str) -> Result<Vec<SegmentId>, String> {
    let failed = |error: CatalogError| error.to_string();
    let key = ObjectKey::new(key).map_err(|error| error.to_string())?;
    let Some(object) = running.catalog.object(bucket, &key).await.map_err(failed)? else {
        return Ok(Vec::new());
    };
    let Body::Pages { parts } = object.body else { return Ok(Vec::new()) };
    let mut segments = Vec::new();
    for part in parts {
        for page in 0.. {
            let at = PageAt { part: part.part, page };
            let Some(page) = running.catalog.page(object.upload, at).await.map_err(failed)? else { break };
            segments.extend(page.segments.iter().map(|segment| segment.id));
            if page.last {
                break;
            }
        }
    }
    Ok(segments)
}
