//! Damage on its way to those who mend it: who finds a shard missing, corrupt or away tells the steward of its partition at
//! once. A hint and nothing more: lost, it costs the time until the steward comes by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_exchange::message::{LOOK_SEGMENTS_MAX, Request};
use datamesh_exchange::net::Net;
use datamesh_placement::Table;
use datamesh_shard::{PeerKey, PoolName, SegmentId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Segments that wait at most: those beyond are found by the steward's own rounds.
const WAITING_MAX: usize = 4096;
/// What comes within this is told together: a read of a large object meets the same damage many times.
const GATHER: Duration = Duration::from_millis(200);
/// Patience with one steward.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What was found and not told yet.
#[derive(Debug, Default)]
pub struct Alarms {
    waiting: Mutex<BTreeSet<(PoolName, SegmentId)>>,
    raised: Arc<Notify>,
}

impl Alarms {
    /// A segment's shards are not all where they belong. Costs no time: it is told later, by another.
    pub fn raise(&self, pool: &PoolName, segment: SegmentId) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX && waiting.insert((pool.clone(), segment)) {
            self.raised.notify_one();
        }
    }

    /// Wakes whoever tells it.
    #[must_use]
    pub fn raised(&self) -> Arc<Notify> {
        Arc::clone(&self.raised)
    }

    /// All that waits by pool, once no more came for a moment.
    pub async fn gather(&self) -> BTreeMap<PoolName, BTreeSet<SegmentId>> {
        let mut by_pool: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        if self.waiting.lock().is_empty() {
            return by_pool;
        }
        tokio::time::sleep(GATHER).await;
        for (pool, segment) in std::mem::take(&mut *self.waiting.lock()) {
            by_pool.entry(pool).or_default().insert(segment);
        }
        by_pool
    }
}

/// Whom to tell of these segments: the steward of each partition, as far as it is known who lives. One segment of each
/// partition suffices.
#[must_use]
pub fn by_steward(
    table: &Table,
    is_live: impl Fn(&PeerKey) -> bool,
    segments: &BTreeSet<SegmentId>,
) -> BTreeMap<PeerKey, Vec<SegmentId>> {
    let (mut told, mut of) = (BTreeSet::new(), BTreeMap::<PeerKey, Vec<SegmentId>>::new());
    for segment in segments {
        let partition = table.partition_of(*segment);
        if !told.insert(partition) {
            continue;
        }
        let members = &table.layout().members;
        let stewards = table.stewards(partition).filter_map(|steward| members.get(usize::from(steward)));
        if let Some(steward) = stewards.map(|member| member.peer).find(|peer| is_live(peer)) {
            of.entry(steward).or_default().push(*segment);
        }
    }
    of
}

/// Tells one steward. Whether it took note is not waited for again: it comes by in any case.
pub async fn tell(net: &dyn Net, steward: &PeerKey, segments: &[SegmentId]) {
    for some in segments.chunks(LOOK_SEGMENTS_MAX) {
        let request = Request::Look { segments: some.to_vec() };
        if let Err(error) = net.request(steward, request, None, TIMEOUT).await {
            tracing::debug!(%steward, %error, "a steward was not told of damage");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use datamesh_placement::{Layout, Member};
    use datamesh_shard::{Epoch, ErasureProfile};

    use super::*;

    fn table() -> Table {
        Table::compute(layout(2, 1)).unwrap()
    }

    fn layout(data: u8, parity: u8) -> Layout {
        let member = |n: u8| Member {
            node: format!("n{n}").parse().unwrap(),
            peer: PeerKey([n + 1; 32]),
            zone: "z".parse().unwrap(),
            capacity_bytes: 1 << 30,
            draining: false,
        };
        Layout {
            cluster: "test".parse().unwrap(),
            pool: "main".parse().unwrap(),
            profile: ErasureProfile::new(data, parity).unwrap(),
            epoch: Epoch(1),
            partitions_log2: 3,
            members: (0..4).map(member).collect(),
            earlier: Vec::new(),
            holders: Vec::new(),
        }
    }

    #[test]
    fn one_segment_of_each_partition_goes_to_its_first_live_holder() {
        let table = table();
        let segments: BTreeSet<_> = (0..=255).map(|n| SegmentId([n; 32])).collect();
        let down = PeerKey([2; 32]);
        let told = by_steward(&table, |peer| *peer != down, &segments);
        assert_eq!(told.values().map(Vec::len).sum::<usize>(), 8, "as many as there are partitions");
        for (steward, segments) in told {
            for segment in segments {
                let holders = table.holders(table.partition_of(segment)).iter();
                let mut peers = holders.map(|holder| table.layout().members[usize::from(*holder)].peer);
                assert_eq!(peers.find(|peer| *peer != down), Some(steward));
            }
        }
        assert!(by_steward(&table, |_| false, &segments).is_empty());
    }

    #[test]
    fn a_holder_by_an_earlier_profile_steps_in_where_none_by_the_present_one_lives() {
        let before = Table::compute(layout(2, 2)).unwrap();
        let present = Layout { earlier: vec![before.layout().profile], epoch: Epoch(2), ..layout(1, 1) };
        let table = Table::compute(before.followed_by(present).unwrap()).unwrap();
        let segment = SegmentId([7; 32]);
        let peer = |holder: u16| table.layout().members[usize::from(holder)].peer;
        let present: Vec<PeerKey> =
            table.holders(table.partition_of(segment)).iter().map(|holder| peer(*holder)).collect();
        let told = by_steward(&table, |peer| !present.contains(peer), &[segment].into());
        let earlier = table.holders_of(before.layout().profile, table.partition_of(segment));
        let first = earlier.iter().map(|holder| peer(*holder)).find(|peer| !present.contains(peer));
        assert_eq!(told.into_keys().next(), first);
        assert!(first.is_some(), "two of four members hold the present one, all hold the other");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_and_told_once() {
        let (alarms, pool) = (Alarms::default(), "main".parse().unwrap());
        assert!(alarms.gather().await.is_empty());
        for n in 0_u32..5000 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            (0..2).for_each(|_| alarms.raise(&pool, SegmentId(id)));
        }
        alarms.raised().notified().await;
        assert_eq!(alarms.gather().await[&pool].len(), WAITING_MAX);
        assert!(alarms.gather().await.is_empty());
    }
}
