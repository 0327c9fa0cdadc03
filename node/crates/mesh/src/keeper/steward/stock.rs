//! What all members have of a partition: by digests, and by inventories of what differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_exchange::digest::{
    DIGESTS_MAX, Digest, Digester, Finding, Gathered, Question, Ranges, compare, expected,
};
use datamesh_exchange::survey::{Survey, survey};
use datamesh_placement::{PartitionId, Table};
use datamesh_shard::{ErasureProfile, Held};
use futures::StreamExt;
use tokio::time::Instant;

use super::super::fellows::{Digested, Fellows, Span};
use super::agenda::Seen;

/// Members asked at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Partitions a member is asked for at once: one request is little beside reading what it has of so many, and their digests take
/// 4 KiB a member. No more of them than [`DIGESTS_MAX`].
pub(super) const PARTITIONS_AT_ONCE: usize = 64;
const _: () = assert!(PARTITIONS_AT_ONCE <= DIGESTS_MAX);
/// Segments of a partition up to which listing all of them, some 3 KiB a member, costs less than to ask in which part of it they differ.
const FEW: u64 = 64;

/// What all members that answer have of a partition.
pub(super) struct Stock {
    pub(super) survey: Survey,
    pub(super) seen: Seen,
    /// When the first of them was asked: what happened since is not in it.
    pub(super) asked_at: Instant,
}

impl Stock {
    /// Of no profile.
    fn nothing() -> Self {
        Self { survey: Survey::default(), seen: Seen::default(), asked_at: Instant::now() }
    }

    /// With what was found of another profile.
    fn and(mut self, other: Self) -> Self {
        self.survey.add(other.survey);
        self.seen.involved.extend(other.seen.involved);
        self.seen.silent = self.seen.silent.max(other.seen.silent);
        self.asked_at = self.asked_at.min(other.asked_at);
        self
    }
}

/// One profile's part of a partition.
#[derive(Clone, Copy)]
struct Place {
    profile: ErasureProfile,
    partition: PartitionId,
}

impl Place {
    fn holders(self, table: &Table) -> &[u16] {
        table.holders_of(self.profile, self.partition)
    }
}

/// Asks every live member what it has of a partition, of each profile by itself. Where digests do not do, because a member knows
/// none or stops answering half-way, everybody's inventory is read.
pub(super) async fn take_stock(fellows: &Fellows, table: &Arc<Table>, partition: PartitionId) -> Stock {
    let mut all = Stock::nothing();
    for profile in table.layout().profiles() {
        match by_digests(fellows, table, Place { profile, partition }).await {
            Some(stock) => all = all.and(stock),
            None => return by_inventories(fellows, table, partition).await,
        }
    }
    all
}

/// A first look at a partition.
pub(super) enum Glimpse {
    /// Nothing is missing and nothing is elsewhere: that is all there is to say. Whether these are few segments.
    Whole(Stock, bool),
    /// Something is. So few segments that [`by_inventories`] is the shortest way; what was said first gets old while one partition after
    /// another is counted.
    Few,
    /// Something is, and of many segments: to be counted by [`take_stock`].
    Many,
}

impl Glimpse {
    /// With what was seen of another profile.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(one, few), Self::Whole(other, others)) => Self::Whole(one.and(other), few && others),
            (Self::Few | Self::Whole(_, true), Self::Few | Self::Whole(_, true)) => Self::Few,
            _ => Self::Many,
        }
    }
}

/// Asks every live member once for the digests of these partitions, no more than [`PARTITIONS_AT_ONCE`]; gives those that all said
/// something of, from the first on, and one at least. What it says of one that is whole is what [`take_stock`] would.
pub(super) async fn glance(
    fellows: &Fellows,
    table: &Arc<Table>,
    partitions: &[PartitionId],
) -> Vec<(PartitionId, Glimpse)> {
    let mut seen: Vec<_> =
        partitions.iter().map(|partition| (*partition, Glimpse::Whole(Stock::nothing(), true))).collect();
    for profile in table.layout().profiles() {
        let (asked_at, partitions) = (Instant::now(), &partitions[..seen.len()]);
        let Some(said) = ask(fellows, table, (profile, partitions, 0), live(fellows, table)).await else {
            return partitions.iter().map(|partition| (*partition, Glimpse::Many)).collect();
        };
        let of_all = said.iter().map(|(_, of)| of.len()).min().unwrap_or(partitions.len());
        let both = seen.into_iter().take(of_all).enumerate().map(|(at, (partition, before))| {
            let digests: Vec<_> = said.iter().map(|(member, of)| (*member, vec![of[at]])).collect();
            (partition, before.and(glimpse(table, Place { profile, partition }, &digests, asked_at)))
        });
        seen = both.collect();
    }
    seen
}

/// What one digest of each member says of a partition.
fn glimpse(table: &Table, place: Place, digests: &[(u16, Vec<Digest>)], asked_at: Instant) -> Glimpse {
    let mut segments = digests.iter().flat_map(|(_, of)| of).map(Digest::segments);
    let few = segments.all(|segments| segments <= FEW);
    match if_whole(table, place, digests) {
        Some(survey) => Glimpse::Whole(Stock { survey, seen: seen(table, digests), asked_at }, few),
        None if few => Glimpse::Few,
        None => Glimpse::Many,
    }
}

/// What the digests say of a partition, if that is everything.
fn if_whole(table: &Table, place: Place, digests: &[(u16, Vec<Digest>)]) -> Option<Survey> {
    let (Place { profile, partition }, holders) = (place, place.holders(table));
    let ranges = Ranges::new(table.layout().partitions_log2, partition.0, 0)?;
    let [Finding::Whole(segments)] = compare(profile, holders, ranges, digests)[..] else { return None };
    let mut gathered = Gathered::new(digests.iter().map(|(member, _)| *member));
    gathered.whole(segments);
    Some(gathered.survey(profile, holders))
}

fn live(fellows: &Fellows, table: &Table) -> Vec<u16> {
    (0..members(table)).filter(|member| fellows.is_live(table, *member)).collect()
}

fn members(table: &Table) -> u16 {
    u16::try_from(table.layout().members.len()).unwrap_or(u16::MAX)
}

/// Asks every live member for all it has of a partition.
pub(super) async fn by_inventories(fellows: &Fellows, table: &Arc<Table>, partition: PartitionId) -> Stock {
    let asked_at = Instant::now();
    let asked = live(fellows, table).into_iter().map(|member| async move {
        fellows.inventory(table, member, partition).await.map(|inventory| (member, inventory))
    });
    let asked = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    let inventories: Vec<_> = asked.filter_map(std::future::ready).collect().await;
    let heard = u16::try_from(inventories.len()).unwrap_or(u16::MAX);
    let involved = inventories.iter().filter(|(_, rows)| !rows.is_empty()).map(|(member, _)| *member);
    let mut all = Survey::default();
    for profile in table.layout().profiles() {
        all.add(survey(profile, table.holders_of(profile, partition), &inventories));
    }
    Stock {
        seen: Seen { involved: involved.collect(), silent: members(table).saturating_sub(heard) },
        survey: all,
        asked_at,
    }
}

async fn by_digests(fellows: &Fellows, table: &Arc<Table>, place: Place) -> Option<Stock> {
    let (Place { profile, partition }, holders) = (place, place.holders(table));
    let (asked_at, asked) = (Instant::now(), std::slice::from_ref(&partition));
    let mut digests = ask(fellows, table, (profile, asked, 0), live(fellows, table)).await?;
    let most = digests.iter().map(|(_, of)| of.iter().map(Digest::segments).sum()).max().unwrap_or(0);
    let (seen, heard) = (seen(table, &digests), digests.len());
    let mut ranges = Ranges::new(table.layout().partitions_log2, partition.0, 0)?;
    let mut findings = compare(profile, holders, ranges, &digests);
    if findings.contains(&Finding::Differs) {
        let log2 = Ranges::log2_for(most);
        ranges = Ranges::new(table.layout().partitions_log2, partition.0, log2)?;
        let heard_before = digests.into_iter().map(|(member, _)| member).collect();
        digests = ask(fellows, table, (profile, asked, log2), heard_before).await?;
        findings = compare(profile, holders, ranges, &digests);
    }
    // Whoever fell silent in between has not said all it has: it is asked anew with the others.
    if digests.len() != heard {
        return None;
    }
    let gathered = gather(fellows, table, place, (ranges, &findings), &digests).await?;
    Some(Stock { survey: gathered.survey(profile, holders), seen, asked_at })
}

/// Who has something, by the digests of all who answered.
fn seen(table: &Table, digests: &[(u16, Vec<Digest>)]) -> Seen {
    let involved = digests.iter().filter(|(_, of)| of.iter().any(|digest| digest.segments() > 0));
    Seen {
        involved: involved.map(|(member, _)| *member).collect(),
        silent: members(table).saturating_sub(u16::try_from(digests.len()).unwrap_or(u16::MAX)),
    }
}

/// The digests of all who answer, each of the first partitions at least; `None` if one cannot make any.
async fn ask(
    fellows: &Fellows,
    table: &Arc<Table>,
    (profile, partitions, ranges_log2): (ErasureProfile, &[PartitionId], u8),
    of: Vec<u16>,
) -> Option<Vec<(u16, Vec<Digest>)>> {
    let partitions_log2 = table.layout().partitions_log2;
    let asked = of.into_iter().map(|member| async move {
        let wanted = |of: &PartitionId| (of.0, expected(table.holders_of(profile, *of), member));
        let partitions = partitions.iter().map(wanted).collect();
        let asked = Question { partitions_log2, ranges_log2, profile, partitions };
        (member, fellows.digests_of(table, member, asked).await)
    });
    let mut asked = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    let mut said = Vec::new();
    while let Some((member, digested)) = asked.next().await {
        match digested {
            Digested::Said(digests) => said.push((member, digests)),
            Digested::Silent => {}
            Digested::Cannot => return None,
        }
    }
    said.sort_by_key(|(member, _)| *member);
    Some(said)
}

/// Reads what digests do not say; `None` if a member does not answer any more, or has other things than it said.
async fn gather(
    fellows: &Fellows,
    table: &Arc<Table>,
    place: Place,
    (ranges, findings): (Ranges, &[Finding]),
    digests: &[(u16, Vec<Digest>)],
) -> Option<Gathered> {
    let mut gathered = Gathered::new(digests.iter().map(|(member, _)| *member));
    for finding in findings {
        if let Finding::Whole(segments) = finding {
            gathered.whole(*segments);
        }
    }
    let read = read(fellows, table, wanted(ranges, findings, digests)).await?;
    let (Place { profile, .. }, holders) = (place, place.holders(table));
    for (member, digests) in digests {
        let rows = read.get(member).map_or(&[][..], Vec::as_slice);
        let mut digester = Digester::new(ranges, (profile, expected(holders, *member)));
        for held in rows.iter().filter(|held| held.profile == profile) {
            digester.add(held);
            match ranges.of(held.segment).map(|range| findings[range]) {
                Some(Finding::Alike(_)) => gathered.alike(holders, held),
                _ => gathered.listed(*member, held.clone()),
            }
        }
        // What came or went meanwhile is this member's alone, and must not be taken for everybody's.
        let now = digester.finish();
        let changed =
            |range: usize| findings[range] == Finding::Alike(*member) && now[range] != digests[range];
        if (0..ranges.count()).any(changed) {
            return None;
        }
    }
    Some(gathered)
}

/// Of whom what is to be read.
fn wanted(ranges: Ranges, findings: &[Finding], digests: &[(u16, Vec<Digest>)]) -> Vec<(u16, Vec<Span>)> {
    let of = |(member, of): &(u16, Vec<Digest>)| {
        let wanted = |range: &usize| match findings[*range] {
            Finding::Differs => of[*range].segments() > 0,
            Finding::Alike(one) => one == *member,
            Finding::Whole(_) => false,
        };
        let runs = runs((0..ranges.count()).filter(wanted)).into_iter();
        (*member, runs.map(|(first, last)| ranges.span(first, last)).collect())
    };
    digests.iter().map(of).collect()
}

async fn read(
    fellows: &Fellows,
    table: &Arc<Table>,
    wanted: Vec<(u16, Vec<Span>)>,
) -> Option<BTreeMap<u16, Vec<Held>>> {
    let reading = wanted.into_iter().map(|(member, spans)| async move {
        fellows.slices(table, member, spans).await.map(|rows| (member, rows))
    });
    let mut reading = futures::stream::iter(reading).buffer_unordered(ASKED_AT_ONCE);
    let mut read = BTreeMap::new();
    while let Some(one) = reading.next().await {
        let (member, rows) = one?;
        read.insert(member, rows);
    }
    Some(read)
}

/// Neighbours among rising numbers, from the first to the last of each run: they are read at once.
fn runs(numbers: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        assert_eq!(runs([0, 1, 2, 5, 7, 8].into_iter()), [(0, 2), (5, 5), (7, 8)]);
        assert_eq!(runs(std::iter::empty()), []);
    }
}
