//! Each partition's first choice: the cheapest nodes for its shard indexes.

use crate::draw::Prices;
use crate::shares::{Shares, Zones};

/// How many of a partition's shards each zone holds, at least and at most.
#[derive(Debug)]
pub(crate) struct ZoneBounds {
    pub(crate) least: Vec<usize>,
    pub(crate) most: Vec<usize>,
}

impl ZoneBounds {
    /// A zone's share of all slots, spread over the partitions as evenly as whole shards go.
    pub(crate) fn new(shares: &Shares, partitions: usize) -> Self {
        let slots = || shares.zones.iter().map(|&slots| slots as usize);
        Self {
            least: slots().map(|slots| slots / partitions).collect(),
            most: slots().map(|slots| slots.div_ceil(partitions)).collect(),
        }
    }
}

/// An offer; ordered by price, ties by shard index, then by member.
type Offer = (i64, u8, u16);

/// Offers looked at first, as a multiple of the shards: almost always enough, and it saves sorting all of them.
const FIRST_LOOK: usize = 8;

/// Takes the cheapest offer of all, then the next that is still possible, until every shard index has its node.
pub(crate) struct Chooser<'a> {
    prices: &'a Prices,
    zones: &'a Zones,
    bounds: &'a ZoneBounds,
    offers: Vec<Offer>,
    shards: u8,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(prices: &'a Prices, zones: &'a Zones, bounds: &'a ZoneBounds, shards: u8) -> Self {
        Self {
            prices,
            zones,
            bounds,
            offers: Vec::with_capacity(zones.of.len() * usize::from(shards)),
            shards,
        }
    }

    /// The nodes of a partition, by shard index.
    pub(crate) fn choose(&mut self, partition: usize) -> Vec<u16> {
        self.offers.clear();
        for member in 0..u16::try_from(self.zones.of.len()).unwrap_or(u16::MAX) {
            for shard in 0..self.shards {
                let price = self.prices.price(partition, usize::from(shard), usize::from(member));
                self.offers.push((price, shard, member));
            }
        }
        let first_look = usize::from(self.shards) * FIRST_LOOK;
        if first_look < self.offers.len() {
            self.offers.select_nth_unstable(first_look);
            self.offers[..first_look].sort_unstable();
            if let Some(chosen) = self.take(&self.offers[..first_look]) {
                return chosen;
            }
        }
        self.offers.sort_unstable();
        self.take(&self.offers).unwrap_or_default()
    }

    fn take(&self, offers: &[Offer]) -> Option<Vec<u16>> {
        let mut chosen: Vec<Option<u16>> = vec![None; usize::from(self.shards)];
        let mut in_zone = vec![0_usize; self.zones.count];
        let mut left = usize::from(self.shards);
        // Shards that zones below their least are still owed; an offer passed over for that never becomes possible.
        let mut owed: usize = self.bounds.least.iter().sum();
        for &(_, shard, member) in offers {
            let zone = usize::from(self.zones.of[usize::from(member)]);
            let is_owed = in_zone[zone] < self.bounds.least[zone];
            let possible = in_zone[zone] < self.bounds.most[zone] && (is_owed || left > owed);
            if !possible || chosen[usize::from(shard)].is_some() || chosen.contains(&Some(member)) {
                continue;
            }
            chosen[usize::from(shard)] = Some(member);
            in_zone[zone] += 1;
            owed -= usize::from(is_owed);
            left -= 1;
            if left == 0 {
                break;
            }
        }
        chosen.into_iter().collect()
    }
}
