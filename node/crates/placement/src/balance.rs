//! Brings every node to exactly its share of slots, and of data slots, by the cheapest exchanges.
//!
//! Rendezvous hashing gives each node its share only on average. Here nodes that won too much give slots to nodes that
//! won too little, those first whose prices differ least, so that the same few slots are exchanged again when the layout
//! changes a little. When no slot can go directly, a chain of nodes passes one on. Zone bounds hold throughout.
//!
//! A table that follows another is balanced *sparingly*: whoever holds too much gives to whoever holds too little, and nobody else
//! moves anything for the sake of a member that is within a few slots of its share.

use std::collections::VecDeque;

use crate::choose::ZoneBounds;
use crate::draw::Prices;
use crate::layout::Layout;
use crate::shares::Zones;

/// Which slots an exchange is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Data,
    Parity,
    Any,
}

/// A slot changes its node, or two slots of a partition exchange theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Exchange {
    /// What it costs: the order in which exchanges are made.
    regret: i64,
    partition: usize,
    /// The slot that leaves its node.
    slot: usize,
    /// Who takes it.
    to: u16,
    /// The slot that `to` gives in return.
    back: Option<usize>,
}

/// The part of its share by which a member may miss it where balancing is sparing.
const SLACK: u32 = 64;

pub(crate) struct Balance<'a> {
    sparing: bool,
    k: usize,
    total: usize,
    zones: &'a Zones,
    bounds: &'a ZoneBounds,
    prices: &'a Prices,
    members: u16,
    holders: Vec<u16>,
    /// By member: its share of all slots, and of data slots.
    shares: (&'a [u32], &'a [u32]),
    /// By member: slots above (or below) its share, of data and of parity.
    data_excess: Vec<i32>,
    parity_excess: Vec<i32>,
}

impl<'a> Balance<'a> {
    /// `shares`: each member's slots, and its data slots.
    pub(crate) fn new(
        layout: &Layout,
        (zones, bounds): (&'a Zones, &'a ZoneBounds),
        prices: &'a Prices,
        shares: (&'a [u32], &'a [u32]),
    ) -> Self {
        Self {
            sparing: false,
            k: layout.profile.k(),
            total: layout.profile.total(),
            zones,
            bounds,
            prices,
            members: u16::try_from(layout.members.len()).unwrap_or(u16::MAX),
            holders: Vec::new(),
            shares,
            data_excess: Vec::new(),
            parity_excess: Vec::new(),
        }
    }

    /// Moves no more than it has to.
    pub(crate) fn sparing(mut self) -> Self {
        self.sparing = true;
        self
    }

    pub(crate) fn run(mut self, holders: Vec<u16>) -> Vec<u16> {
        let owed = |slots: u32| -i32::try_from(slots).unwrap_or(i32::MAX);
        let (slots, data) = self.shares;
        self.data_excess = data.iter().map(|&data| owed(data)).collect();
        self.parity_excess = slots.iter().zip(data).map(|(&slots, &data)| owed(slots - data)).collect();
        self.holders = holders;
        for at in 0..self.holders.len() {
            self.count(at % self.total, self.holders[at], 1);
        }
        self.exchange_directly(Class::Data);
        self.exchange_directly(Class::Parity);
        self.exchange_directly(Class::Any);
        self.pass_on(Class::Any);
        // All totals are right: only data and parity slots are exchanged within partitions from here on.
        self.swap_directly();
        self.pass_on(Class::Data);
        self.holders
    }

    fn count(&mut self, slot: usize, member: u16, by: i32) {
        let excess = if slot < self.k { &mut self.data_excess } else { &mut self.parity_excess };
        excess[usize::from(member)] += by;
    }

    fn excess(&self, class: Class, member: u16) -> i32 {
        let (data, parity) = (self.data_excess[usize::from(member)], self.parity_excess[usize::from(member)]);
        match class {
            Class::Data => data,
            Class::Parity => parity,
            Class::Any => data + parity,
        }
    }

    /// Slots by which a member may be off its share.
    fn slack(&self, class: Class, member: u16) -> i32 {
        let (slots, data) = (self.shares.0[usize::from(member)], self.shares.1[usize::from(member)]);
        let share = match class {
            Class::Data => data,
            Class::Parity => slots - data,
            Class::Any => slots,
        };
        if self.sparing { i32::try_from(share / SLACK).unwrap_or(i32::MAX).max(1) } else { 0 }
    }

    fn is_off(&self, class: Class) -> bool {
        (0..self.members).any(|member| self.excess(class, member).abs() > self.slack(class, member))
    }

    /// Whether a slot of a class shall go from one member to another. Sparing, only if that brings both closer to their shares of all.
    fn shall_give(&self, class: Class, from: u16, to: u16) -> bool {
        let helps = |class| self.excess(class, from) > 0 && self.excess(class, to) < 0;
        helps(class) && (!self.sparing || helps(Class::Any))
    }

    /// Whether a data slot shall go from one member to another for a parity slot.
    fn shall_swap(&self, from: u16, to: u16) -> bool {
        self.excess(Class::Data, from) > self.slack(Class::Data, from) && self.excess(Class::Data, to) < 0
    }

    fn slots_of(&self, class: Class) -> std::ops::Range<usize> {
        match class {
            Class::Data => 0..self.k,
            Class::Parity => self.k..self.total,
            Class::Any => 0..self.total,
        }
    }

    fn row(&self, partition: usize) -> &[u16] {
        &self.holders[partition * self.total..(partition + 1) * self.total]
    }

    fn partitions(&self) -> usize {
        self.holders.len() / self.total
    }

    fn wanting(&self, class: Class) -> Vec<u16> {
        (0..self.members).filter(|&member| self.excess(class, member) < 0).collect()
    }

    /// Whether a member may take a slot of a partition in place of another.
    fn may_take(&self, partition: usize, from: u16, to: u16) -> bool {
        let row = self.row(partition);
        if row.contains(&to) {
            return false;
        }
        let zone = |member: u16| usize::from(self.zones.of[usize::from(member)]);
        let (leaves, enters) = (zone(from), zone(to));
        if leaves == enters {
            return true;
        }
        let count = |zone_of: usize| row.iter().filter(|&&member| zone(member) == zone_of).count();
        count(leaves) > self.bounds.least[leaves] && count(enters) < self.bounds.most[enters]
    }

    fn replacement(&self, partition: usize, slot: usize, to: u16) -> Option<Exchange> {
        let from = self.row(partition)[slot];
        let price = |member: u16| self.prices.price(partition, slot, usize::from(member));
        self.may_take(partition, from, to).then(|| {
            let regret = price(to).saturating_sub(price(from));
            Exchange { regret, partition, slot, to, back: None }
        })
    }

    /// `to` holds a parity slot of the partition and exchanges it for the data slot `slot`.
    fn swap(&self, partition: usize, slot: usize, back: usize) -> Exchange {
        let row = self.row(partition);
        let (from, to) = (row[slot], row[back]);
        let price = |slot, member: u16| self.prices.price(partition, slot, usize::from(member));
        let gain = price(slot, from).saturating_add(price(back, to));
        let regret = price(slot, to).saturating_add(price(back, from)).saturating_sub(gain);
        Exchange { regret, partition, slot, to, back: Some(back) }
    }

    fn make(&mut self, exchange: Exchange) {
        let Exchange { partition, slot, to, back, .. } = exchange;
        let at = partition * self.total;
        let from = std::mem::replace(&mut self.holders[at + slot], to);
        self.count(slot, from, -1);
        self.count(slot, to, 1);
        if let Some(back) = back {
            self.holders[at + back] = from;
            self.count(back, to, -1);
            self.count(back, from, 1);
        }
    }

    /// Moves slots of a class from those above to those below their share, cheapest first, until none can move.
    fn exchange_directly(&mut self, class: Class) {
        loop {
            let wanting = self.wanting(class);
            let mut offers = Vec::new();
            for partition in 0..self.partitions() {
                for slot in self.slots_of(class) {
                    let from = self.row(partition)[slot];
                    if self.excess(class, from) > 0 {
                        let takers = wanting.iter().filter(|to| self.shall_give(class, from, **to));
                        offers.extend(takers.filter_map(|&to| self.replacement(partition, slot, to)).min());
                    }
                }
            }
            if !self.make_all(offers, |this, from, to| this.shall_give(class, from, to)) {
                return;
            }
        }
    }

    fn swap_directly(&mut self) {
        loop {
            let mut offers = Vec::new();
            for partition in 0..self.partitions() {
                let row = self.row(partition);
                for slot in 0..self.k {
                    let backs = (self.k..self.total).filter(|back| self.shall_swap(row[slot], row[*back]));
                    offers.extend(backs.map(|back| self.swap(partition, slot, back)).min());
                }
            }
            if !self.make_all(offers, Self::shall_swap) {
                return;
            }
        }
    }

    /// Makes those exchanges that are still wanted and possible when their turn comes; says whether there were any.
    fn make_all(&mut self, mut offers: Vec<Exchange>, shall: impl Fn(&Self, u16, u16) -> bool) -> bool {
        offers.sort_unstable();
        let mut any = false;
        for offer in offers {
            let row = self.row(offer.partition);
            let from = row[offer.slot];
            let possible = match offer.back {
                Some(back) => row[back] == offer.to,
                None => self.may_take(offer.partition, from, offer.to),
            };
            if possible && shall(self, from, offer.to) {
                self.make(offer);
                any = true;
            }
        }
        any
    }

    /// Chains for what could not go directly: replacements for totals, swaps for data slots.
    fn pass_on(&mut self, class: Class) {
        // Each chain settles one slot, so there are no more chains than slots in excess; a chain that got stuck halfway
        // has moved slots to and fro without harm, and is why there is a bound at all.
        let excess =
            |this: &Self| (0..this.members).map(|member| this.excess(class, member).max(0)).sum::<i32>();
        for _ in 0..2 * excess(self) {
            if !self.is_off(class) {
                return;
            }
            let Some(chain) = self.chain(class) else { return };
            for exchange in chain {
                let row = self.row(exchange.partition);
                let from = row[exchange.slot];
                if exchange.back.is_none() && !self.may_take(exchange.partition, from, exchange.to) {
                    break;
                }
                self.make(exchange);
            }
        }
    }

    /// The shortest chain of exchanges from a member above its share to one below; last link first.
    fn chain(&self, class: Class) -> Option<Vec<Exchange>> {
        let mut reached: Vec<Option<Option<Exchange>>> = vec![None; usize::from(self.members)];
        let mut queue: VecDeque<u16> =
            (0..self.members).filter(|&member| self.excess(class, member) > 0).collect();
        for &member in &queue {
            reached[usize::from(member)] = Some(None);
        }
        while let Some(member) = queue.pop_front() {
            for exchange in self.exchanges_of(class, member) {
                let to = usize::from(exchange.to);
                if reached[to].is_some() {
                    continue;
                }
                reached[to] = Some(Some(exchange));
                if self.excess(class, exchange.to) < 0 {
                    return Some(self.links(&reached, exchange.to));
                }
                queue.push_back(exchange.to);
            }
        }
        None
    }

    fn links(&self, reached: &[Option<Option<Exchange>>], last: u16) -> Vec<Exchange> {
        let mut links = Vec::new();
        let mut member = last;
        while let Some(Some(exchange)) = reached[usize::from(member)] {
            links.push(exchange);
            member = self.row(exchange.partition)[exchange.slot];
        }
        links
    }

    fn exchanges_of(&self, class: Class, member: u16) -> impl Iterator<Item = Exchange> {
        let held = move |partition: &usize| self.row(*partition)[self.slots_of(class)].contains(&member);
        (0..self.partitions()).filter(held).flat_map(move |partition| {
            let row = self.row(partition);
            let slot = row.iter().position(|&other| other == member).unwrap_or(0);
            let swaps = (class == Class::Data).then_some(self.k..self.total).into_iter().flatten();
            let replacements = (class == Class::Any).then_some(0..self.members).into_iter().flatten();
            swaps
                .map(move |back| self.swap(partition, slot, back))
                .chain(replacements.filter_map(move |to| self.replacement(partition, slot, to)))
        })
    }
}
