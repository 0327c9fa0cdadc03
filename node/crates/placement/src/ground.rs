//! What the placement of a layout stands on: the shares, prices and bounds of those of its members that stay.

use datamesh_shard::ErasureProfile;

use crate::balance::Balance;
use crate::choose::{Chooser, ZoneBounds};
use crate::draw::Prices;
use crate::layout::Layout;
use crate::shares::{Shares, Zones, data_slots};

/// Of a layout and one of its profiles, as if those that drain were not there: members are positions among those that stay.
pub(crate) struct Ground {
    pub(crate) layout: Layout,
    /// The member index of each.
    pub(crate) staying: Vec<u16>,
    pub(crate) zones: Zones,
    /// Slots of each.
    pub(crate) slots: Vec<u32>,
    /// Data slots of each.
    pub(crate) data: Vec<u32>,
    pub(crate) bounds: ZoneBounds,
    pub(crate) prices: Prices,
}

impl Ground {
    /// For the rows of one profile, as if there were no other.
    pub(crate) fn new(layout: &Layout, profile: ErasureProfile) -> Self {
        let staying = (0..).zip(&layout.members).filter(|(_, member)| !member.draining);
        let staying = staying.map(|(at, _)| at).collect();
        let members = layout.staying().cloned().collect();
        let layout = Layout { profile, earlier: Vec::new(), members, holders: Vec::new(), ..layout.clone() };
        let zones = Zones::new(&layout);
        let shares = Shares::new(&layout, &zones);
        let bounds = ZoneBounds::new(&shares, layout.partitions());
        let prices = Prices::new(&layout, &shares.nodes);
        let data = data_slots(&layout, &shares.nodes);
        Self { layout, staying, zones, slots: shares.nodes, data, bounds, prices }
    }

    /// The holders of each partition where there were none before.
    pub(crate) fn place(&self) -> Vec<u16> {
        let shards = self.layout.profile.data() + self.layout.profile.parity();
        let mut chooser = Chooser::new(&self.prices, &self.zones, &self.bounds, shards);
        let holders = (0..self.layout.partitions()).flat_map(|partition| chooser.choose(partition)).collect();
        self.balance().run(holders)
    }

    /// Member indexes for positions.
    pub(crate) fn members(&self, positions: &[u16]) -> Vec<u16> {
        positions.iter().filter_map(|at| self.staying.get(usize::from(*at)).copied()).collect()
    }

    pub(crate) fn balance(&self) -> Balance<'_> {
        let shares = (self.slots.as_slice(), self.data.as_slice());
        Balance::new(&self.layout, (&self.zones, &self.bounds), &self.prices, shares)
    }
}
