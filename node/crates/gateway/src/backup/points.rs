//! What there is to come back to: nodes and copies are asked, so that any gateway can say it, whichever makes the backups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::Anchor;
use datamesh_exchange::anchor::{ANCHORS_MAX, AnchorId};
use datamesh_settings::admin::{BackupPlace, BackupPoint};
use datamesh_shard::PeerKey;
use futures::StreamExt;

use super::copies::{Place, UnderWay};
use super::holders::Holders;
use super::proof::{Given, Opener};
use crate::pipeline::Context;

/// Patience with a node.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Patience with the bucket that copies are in: less than clients have with this gateway.
const COPIES_WITHIN: Duration = Duration::from_secs(20);
/// Nodes asked at the same time.
const ASKED_AT_ONCE: usize = 32;
/// Anchors read at the same time: each is up to half a mebibyte.
const READ_AT_ONCE: usize = 4;
/// Copies that are shown, the newest.
const COPIES_MAX: usize = 400;
/// What was condemned so shortly after the earliest time that can be had may be deleted already.
const MARGIN_MS: u64 = 60_000;

/// The earliest time that can be come back to, where the newest backup is of `last` and what was deleted is kept for so long.
pub(crate) fn earliest(reach_ms: u64, last_unix_ms: u64) -> u64 {
    last_unix_ms.saturating_sub(reach_ms).saturating_add(MARGIN_MS).min(last_unix_ms)
}

/// An anchor, and the nodes that say they keep it.
type Kept = (AnchorId, Vec<PeerKey>);

/// Who knows what can be come back to.
pub(crate) struct Points {
    context: Arc<Context>,
    opener: Opener,
    copies: Option<Arc<Place>>,
    /// The copy that this gateway makes.
    pub(crate) copying: UnderWay,
}

impl Points {
    pub(crate) fn new(
        context: Arc<Context>,
        opener: Opener,
        (copies, copying): (Option<Arc<Place>>, UnderWay),
    ) -> Self {
        Self { context, opener, copies, copying }
    }

    /// What nodes keep, the newest first, and how many of them did not say.
    async fn kept(&self) -> (Vec<Kept>, usize) {
        let pools = self.context.pools.all();
        let Some((place, _)) = pools.first() else { return (Vec::new(), 0) };
        let holders = Holders::of(&self.context.pools, place);
        let asking = futures::stream::iter(holders.all())
            .map(|peer| async move { (peer, self.opener.list(&peer, TIMEOUT).await) });
        let told: Vec<_> = asking.buffer_unordered(ASKED_AT_ONCE).collect().await;
        let silent = told.iter().filter(|(_, ids)| ids.is_none()).count();
        (merged(told.into_iter().filter_map(|(peer, ids)| Some((peer, ids?)))), silent)
    }

    /// The first of these nodes that proves the anchor.
    async fn proven(&self, (id, peers): &Kept) -> Option<Anchor> {
        for peer in peers {
            if let Given::Proven(anchor) = self.opener.ask(peer, id, TIMEOUT).await {
                return Some(*anchor);
            }
        }
        None
    }

    /// The newest that nodes prove.
    pub(crate) async fn newest(&self) -> Option<(AnchorId, Anchor)> {
        for kept in &self.kept().await.0 {
            if let Some(anchor) = self.proven(kept).await {
                return Some((kept.0, anchor));
            }
        }
        None
    }

    /// The points that the mesh leads to, the newest first, and how many nodes did not say what they keep.
    pub(crate) async fn in_mesh(&self) -> (Vec<BackupPoint>, usize) {
        let (kept, silent) = self.kept().await;
        let reading = futures::stream::iter(kept).map(|kept| async move {
            let anchor = self.proven(&kept).await;
            (kept.0, kept.1.len(), anchor)
        });
        let read: Vec<_> = reading.buffered(READ_AT_ONCE).collect().await;
        let proven = read.into_iter().filter_map(|(id, holders, anchor)| Some((id, holders, anchor?)));
        (of_mesh(proven.collect()), silent)
    }

    /// The copies elsewhere, the newest first, by their names: whoever restores one has it proven. None where there shall be none.
    ///
    /// # Errors
    /// What the bucket says, in words.
    pub(crate) async fn in_copies(&self) -> Result<Vec<BackupPoint>, String> {
        let Some(place) = &self.copies else { return Ok(Vec::new()) };
        let asking = async {
            let copies = place.open(&self.opener.secret.fingerprint()).await?;
            copies.anchors().await
        };
        let late = |_| format!("{} does not answer within {} s", place.told(), COPIES_WITHIN.as_secs());
        let anchors = tokio::time::timeout(COPIES_WITHIN, asking).await.map_err(late)?;
        let anchors = anchors.map_err(|error| format!("{}: {error}", place.told()))?;
        let last: BTreeMap<_, AnchorId> = anchors.into_iter().map(|id| (id.chain(), id)).collect();
        Ok(last.into_values().rev().take(COPIES_MAX).map(of_copy).collect())
    }
}

/// The last anchor of each chain, with all who keep it; the newest first, and no more than a node may keep.
fn merged(told: impl IntoIterator<Item = (PeerKey, Vec<AnchorId>)>) -> Vec<Kept> {
    let mut chains: BTreeMap<(u64, u64), Kept> = BTreeMap::new();
    for (peer, id) in told.into_iter().flat_map(|(peer, ids)| ids.into_iter().map(move |id| (peer, id))) {
        let (newest, peers) = chains.entry(id.chain()).or_insert_with(|| (id, Vec::new()));
        if id > *newest {
            (*newest, *peers) = (id, Vec::new());
        }
        if id == *newest {
            peers.push(peer);
        }
    }
    let mut kept: Vec<Kept> = chains.into_values().collect();
    kept.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
    kept.truncate(ANCHORS_MAX);
    kept
}

/// Of proven anchors, the newest first. What ended before the earliest time may lack pieces by now, and is none.
fn of_mesh(proven: Vec<(AnchorId, usize, Anchor)>) -> Vec<BackupPoint> {
    let Some((newest, _, first)) = proven.first() else { return Vec::new() };
    let (last, newest_reach_ms) = (newest.at_unix_ms, first.reach_ms);
    let point = |(id, holders, anchor): &(AnchorId, usize, Anchor)| {
        let from = anchor.parts.first().map_or(0, |part| part.at_unix_ms);
        // What was deleted since a setting was changed was kept by the other one.
        let earliest = earliest(anchor.reach_ms.min(newest_reach_ms), last);
        (id.at_unix_ms >= earliest).then(|| BackupPoint {
            id: name(id),
            place: BackupPlace::Mesh,
            from_unix_ms: Some(from.max(earliest).min(id.at_unix_ms)),
            until_unix_ms: id.at_unix_ms,
            revision: id.revision,
            bytes: Some(anchor.bytes()),
            segments: u64::try_from(anchor.segments()).ok(),
            nodes: u32::try_from(*holders).ok(),
        })
    };
    proven.iter().filter_map(point).collect()
}

fn of_copy(id: AnchorId) -> BackupPoint {
    BackupPoint {
        id: name(&id),
        place: BackupPlace::Copies,
        from_unix_ms: None,
        until_unix_ms: id.at_unix_ms,
        revision: id.revision,
        bytes: None,
        segments: None,
        nodes: None,
    }
}

/// A chain's: a later anchor of it takes the place of an earlier.
fn name(id: &AnchorId) -> String {
    format!("{}-{}", id.generation, id.snapshot)
}

#[cfg(test)]
mod tests {
    use datamesh_catalog::UploadId;
    use datamesh_catalog::backup::AnchorPart;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn id(snapshot: u64, at_unix_ms: u64) -> AnchorId {
        AnchorId { generation: 7, revision: at_unix_ms, at_unix_ms, snapshot }
    }

    fn anchor(from: u64, until: u64, reach_ms: u64) -> Anchor {
        let part = |at| AnchorPart { revision: at, at_unix_ms: at, chunks: Vec::new() };
        Anchor {
            cluster: "c".parse().unwrap(),
            gateway: "g".parse().unwrap(),
            generation: 7,
            wish: None,
            pools: Vec::new(),
            reach_ms,
            upload: UploadId([1; 16]),
            at_unix_ms: until,
            parts: vec![part(from), part(until)],
        }
    }

    #[test]
    fn of_each_chain_the_last_counts_with_those_who_keep_it() {
        let peer = |n| PeerKey([n; 32]);
        let told = [
            (peer(1), vec![id(1, 10), id(2, 20)]),
            (peer(2), vec![id(2, 25), id(1, 10)]),
            (peer(3), vec![id(2, 25)]),
        ];
        let expected = vec![(id(2, 25), vec![peer(2), peer(3)]), (id(1, 10), vec![peer(1), peer(2)])];
        assert_eq!(merged(told), expected);
        let many = (0..100).map(|n| id(n, n * 10)).collect();
        assert_eq!(merged([(peer(1), many)]).len(), ANCHORS_MAX);
    }

    #[test]
    fn what_may_lack_pieces_is_no_point() {
        let now = 1_000 * HOUR_MS;
        let chain = |from, until, reach_ms| (id(from, until), 3, anchor(from, until, reach_ms));
        let points = of_mesh(vec![
            chain(now - HOUR_MS / 2, now, HOUR_MS),
            chain(now - 2 * HOUR_MS, now - HOUR_MS / 2, HOUR_MS),
            chain(now - 3 * HOUR_MS, now - 2 * HOUR_MS, HOUR_MS),
            // Kept for longer when it was made, and not any more.
            chain(now - 4 * HOUR_MS, now - 3 * HOUR_MS, 9 * HOUR_MS),
        ]);
        let spans: Vec<_> = points.iter().map(|p| (p.from_unix_ms.unwrap(), p.until_unix_ms)).collect();
        let earliest = now - HOUR_MS + MARGIN_MS;
        assert_eq!(spans, [(now - HOUR_MS / 2, now), (earliest, now - HOUR_MS / 2)]);
        assert_eq!((points[0].id.as_str(), points[0].nodes), (&*format!("7-{}", now - HOUR_MS / 2), Some(3)));
        assert!(of_mesh(Vec::new()).is_empty());
    }
}
