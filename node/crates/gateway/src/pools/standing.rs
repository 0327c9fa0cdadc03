//! How the members stand with this gateway: their reputations, kept for all pools.

use std::collections::HashSet;
use std::time::Duration;

use datamesh_exchange::message::{Refusal, Response};
use datamesh_exchange::net::NoAnswer;
use datamesh_placement::{Member, Table};
use datamesh_shard::{ErasureProfile, PeerKey, ShardKey};
use tokio::time::Instant;

use super::reputation::{Asked, Avoided, Ended, Subject, Why};
use super::{Pool, Pools};

/// A request under way, whose end counts for the peer's reputation; also when nobody waits for it any more.
pub(crate) struct Timing<'a> {
    pools: &'a Pools,
    peer: PeerKey,
    asked: Asked,
    begun: Instant,
    ended: Ended,
    is_probe: bool,
}

impl Timing<'_> {
    /// It ended now.
    pub(crate) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let mut reputations = self.pools.reputations.lock();
        reputations.note(self.peer, self.asked, took, self.ended);
        if self.is_probe {
            reputations.end_probe(&self.peer, self.asked);
        }
    }
}

/// What an answer says of the peer's disk. What it refuses for reasons of its own says nothing.
pub(crate) fn ended<T>(answer: &Result<(Response, T), NoAnswer>) -> Ended {
    match answer {
        Ok((Response::Done | Response::Shard { .. }, _)) => Ended::Done,
        Err(_) | Ok((Response::Refused(Refusal::Failed(_)), _)) => Ended::Failed,
        Ok(_) => Ended::Uncounted,
    }
}

impl Pools {
    /// A request to a member begins.
    pub(crate) fn timing(&self, peer: PeerKey, asked: Asked) -> Timing<'_> {
        Timing { pools: self, peer, asked, begun: Instant::now(), ended: Ended::GivenUp, is_probe: false }
    }

    /// A member's answer was not what its proof says.
    pub(crate) fn note_wrong(&self, peer: PeerKey, key: ShardKey) {
        self.reputations.lock().note_wrong(peer, key, Instant::now());
    }

    /// Whether a member is avoided, and why.
    pub(crate) fn avoided(&self, peer: &PeerKey) -> Option<Avoided> {
        self.reputations.lock().avoided(peer)
    }

    /// Members of a table that are avoided, by index, the worst first.
    pub(crate) fn avoided_of(&self, table: &Table) -> Vec<u16> {
        let reputations = self.reputations.lock();
        let ranked = (0_u16..).zip(&table.layout().members);
        let mut ranked: Vec<_> =
            ranked.filter_map(|(at, member)| Some((reputations.rank_of(&member.peer)?, at))).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, at)| at).collect()
    }

    /// Whether all of a member's writes take so long that it is late in every put.
    pub(crate) fn is_late(&self, peer: &PeerKey) -> bool {
        self.reputations.lock().is_late(peer, Instant::now())
    }

    /// How long requests of a member took lately.
    pub(crate) fn mean(&self, peer: &PeerKey, asked: Asked) -> Option<Duration> {
        self.reputations.lock().mean(peer, asked, Instant::now())
    }

    /// Whether a slow member is to be measured now, by a request nobody waits for. Whoever is told so sends it, and times it
    /// by [`Pools::probe`].
    pub(crate) fn begin_probe(&self, peer: &PeerKey, asked: Asked) -> bool {
        self.net.is_live(peer) && self.reputations.lock().begin_probe(peer, asked, Instant::now())
    }

    /// The timing of a probe.
    pub(crate) fn probe(&self, peer: PeerKey, asked: Asked) -> Timing<'_> {
        Timing { is_probe: true, ..self.timing(peer, asked) }
    }

    /// Judges the members of a pool by what was seen of them, and tells who is avoided from now on, and who not any more.
    pub(crate) fn judge(&self, pool: &Pool) {
        let Some(layout) = pool.layout() else { return };
        let subject = |member: &Member| Subject {
            peer: member.peer,
            live: self.net.is_live(&member.peer),
            incarnation: self.report(&member.peer).map(|seen| seen.report.incarnation),
        };
        let subjects: Vec<_> = layout.members.iter().map(subject).collect();
        let (before, after) = {
            let mut reputations = self.reputations.lock();
            let before: Vec<_> = subjects.iter().map(|subject| reputations.avoided(&subject.peer)).collect();
            // No more are avoided than the segments of every profile can do without.
            let m = layout.profiles().map(ErasureProfile::m).min().unwrap_or_default();
            reputations.judge(&subjects, m, Instant::now());
            let after: Vec<_> = subjects.iter().map(|subject| reputations.avoided(&subject.peer)).collect();
            (before, after)
        };
        for ((member, before), after) in layout.members.iter().zip(before).zip(after) {
            tell(member, before, after);
        }
    }

    /// Forgets the reputation of whoever is in no layout any more.
    pub(crate) fn forget_strangers(&self) {
        let pools = self.all();
        let layouts = pools.iter().filter_map(|(_, pool)| pool.layout());
        let members: HashSet<PeerKey> =
            layouts.flat_map(|layout| &layout.members).map(|member| member.peer).collect();
        self.reputations.lock().retain(|peer| members.contains(peer));
    }
}

fn tell(member: &Member, before: Option<Avoided>, after: Option<Avoided>) {
    let node = &member.node;
    match (before, after) {
        (None, Some(Avoided { why: Why::Slow { asked, window }, .. })) => {
            tracing::warn!(%node, ?asked, ?window, "a node is far slower than the others and is avoided");
        }
        (_, Some(Avoided { why: Why::Quarantined { wrong, .. }, .. }))
            if !before.is_some_and(|before| matches!(before.why, Why::Quarantined { .. })) =>
        {
            tracing::error!(%node, wrong, "a node gave wrong answers and is quarantined");
        }
        (Some(_), None) => tracing::info!(%node, "a node is not avoided any more"),
        _ => {}
    }
}
