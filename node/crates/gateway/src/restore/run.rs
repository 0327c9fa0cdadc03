//! Asks nodes for backups, and makes a catalog of the newest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::CatalogOptions;
use datamesh_catalog::backup::Anchor;
use datamesh_catalog::record::RestoredRecord;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Request, Response};
use datamesh_placement::{LAYOUT_CONTEXT, Layout, SignedLayout};
use datamesh_shard::PeerKey;
use futures::StreamExt;

use super::empty::Volume;
use super::errors::{RestoreError, Unread};
use super::source::{Shelf, Source};
use super::time;
use super::told::{BY_TIME, Told, layouts, unheard};
use super::wish::Wish;
use crate::backup::{Given, Opener, earliest};
use crate::pipeline::PieceError;
use crate::surroundings::Surroundings;

/// Patience with a node's answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Nodes asked at the same time.
const ASKED_AT_ONCE: usize = 32;

/// An older backup is restored only by its time: whoever asks for the newest expects little to be lost, and has had a day to notice that
/// the gateway is gone.
const NEWEST_AGE_MS_MAX: u64 = 24 * 3_600_000;

/// A restore.
pub(crate) struct Restoring<'a> {
    pub(crate) opener: Opener,
    pub(crate) surroundings: Arc<dyn Surroundings>,
    pub(crate) buffer_bytes: u64,
    pub(crate) options: CatalogOptions,
    pub(crate) volume: Volume<'a>,
    /// And its words.
    pub(crate) wish: (Wish, String),
    pub(crate) source: Source,
}

/// What has been learnt of backups that proved themselves.
#[derive(Clone, Copy)]
struct Newest {
    generation: u64,
    at_unix_ms: u64,
    reach_ms: u64,
}

impl Newest {
    /// How far back a point may be, and which is the earliest, where the newest is of then.
    fn reaches(&self, anchor: &Anchor, last: u64) -> (u64, u64) {
        // What was deleted since the setting was changed was kept by the other one.
        let reach_ms = anchor.reach_ms.min(self.reach_ms);
        (reach_ms, earliest(reach_ms, last))
    }
}

impl Restoring<'_> {
    /// What these nodes say; those that do not answer are left out.
    pub(crate) async fn ask(&self, nodes: Vec<PeerKey>) -> BTreeMap<PeerKey, Told> {
        let asking =
            futures::stream::iter(nodes).map(|peer| async move { Some((peer, self.ask_one(&peer).await?)) });
        asking.buffer_unordered(ASKED_AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn ask_one(&self, peer: &PeerKey) -> Option<Told> {
        let anchors = self.opener.list(peer, TIMEOUT).await?;
        let signed = match self.opener.net.request(peer, Request::NewestLayout, None, TIMEOUT).await {
            Ok((Response::Layout(signed), _)) => signed,
            answer => return told_nothing(peer, &answer),
        };
        let layout = signed.and_then(|signed| Some((self.proven(&signed)?, signed)));
        Some(Told { anchors, layout })
    }

    /// The layout, if the cluster's key has signed it.
    fn proven(&self, signed: &SignedLayout) -> Option<Layout> {
        let key = self.opener.secret.signing_key().public();
        datamesh_seal::verify(&key, LAYOUT_CONTEXT, &signed.bytes, &signed.signature).ok()?;
        Layout::decode(&signed.bytes).ok().filter(|layout| layout.cluster == self.opener.cluster)
    }

    /// Makes the catalog, of the newest backup that is as wanted. An older one is taken where it is proven that a newer one is
    /// none, and for nothing else: what is not read yet is waited for.
    pub(crate) async fn restore(
        &self,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<RestoredRecord, RestoreError> {
        let shelf = self.shelf().await?;
        let in_mesh = self.proven_beside(&shelf, told).await?;
        let mut first = None;
        let (mut newest, mut tried, mut last) = (None, 0, String::from("there is none at all"));
        for (id, holders) in self.candidates(&shelf, told).await? {
            self.is_newest(&id, in_mesh)?;
            let Some(anchor) = self.anchor(&shelf, (&id, &holders), told).await? else {
                // Either a node says what is not so, or all that keep it have lost it.
                (tried, last) =
                    (tried + 1, format!("the anchor of {} does not prove itself", time(id.at_unix_ms)));
                continue;
            };
            let newest = *newest.get_or_insert(Newest {
                generation: in_mesh.map_or(id.generation, |known| known.generation.max(id.generation)),
                at_unix_ms: id.at_unix_ms,
                reach_ms: anchor.reach_ms,
            });
            if !self.is_wanted(&anchor, newest, told)? {
                first = anchor.parts.first().map(|part| part.at_unix_ms).or(first);
                continue;
            }
            self.is_near(&anchor)?;
            match self.one(&shelf, (&anchor, newest), told).await {
                Ok(restored) => return Ok(restored),
                Err(Unread::Here(error)) => return Err(error),
                // Of copies nobody goes back to an older one unasked.
                Err(Unread::Rows(error)) if matches!(shelf, Shelf::Copies(_)) => {
                    return Err(RestoreError::Copy(format!(
                        "that of {} is damaged: {error}",
                        time(id.at_unix_ms)
                    )));
                }
                // It was sealed so: no node has another.
                Err(Unread::Rows(error)) => {
                    tracing::warn!(?id, %error, "a backup of the catalog is damaged; the one before is tried");
                    (tried, last) = (tried + 1, error.to_string());
                }
                Err(Unread::Piece(error)) => {
                    return Err(self.not_read((&anchor, newest), &error, told).await);
                }
            }
        }
        Err(self.none(tried, last, first))
    }

    /// Whether it may be taken, as far as its place and time go.
    fn is_wanted(
        &self,
        anchor: &Anchor,
        newest: Newest,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<bool, RestoreError> {
        let (wish, words) = &self.wish;
        if anchor.wish.as_ref() == Some(words) {
            return Err(RestoreError::Again(words.clone()));
        }
        // By a clock that was ahead it may lie in the future.
        let now = self.surroundings.now_unix_ms();
        let last = newest.at_unix_ms.min(now);
        let (reach_ms, earliest) = newest.reaches(anchor, last);
        let is_copy = matches!(self.source, Source::Copies(_));
        match *wish {
            // Copies are kept for longer than what was deleted: whoever asks for one knows what a file of then may lack.
            Wish::Until(wanted) if wanted < earliest && !is_copy => {
                Err(RestoreError::TooOld { earliest: time(earliest), reach_ms })
            }
            Wish::Newest if now.saturating_sub(last) > NEWEST_AGE_MS_MAX.max(reach_ms) => {
                Err(RestoreError::Stale { at: time(last) })
            }
            Wish::Until(_) => Ok(!wish.parts(anchor).is_empty()),
            // With all nodes gone, or new, there is nothing that anybody could keep.
            Wish::Newest if is_copy && layouts(told).is_empty() => Ok(true),
            Wish::Newest => match unheard(told, &anchor.pools) {
                Some(pool) => Err(RestoreError::NotYet(format!(
                    "for the nodes of pool {pool}, which may keep a newer backup than that of {}{BY_TIME}",
                    time(anchor.at_unix_ms)
                ))),
                None => Ok(anchor.at_unix_ms >= earliest),
            },
        }
    }

    /// An anchor that proves itself, of any who keep it. None where it is certain that they do not have it.
    pub(super) async fn anchor_of_nodes(
        &self,
        id: &AnchorId,
        holders: &[PeerKey],
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<Option<Anchor>, RestoreError> {
        let mut away = None;
        for peer in holders {
            match self.opener.ask(peer, id, TIMEOUT).await {
                Given::Proven(anchor) => return Ok(Some(*anchor)),
                Given::Unproven => {
                    tracing::warn!(%peer, ?id, "a node does not give the anchor that it says it keeps")
                }
                Given::Away => away = Some(peer),
            }
        }
        if let Some(peer) = away {
            return Err(RestoreError::NotYet(format!(
                "for node {peer}, which says that it keeps the backup of {}; stop that node to go on without",
                time(id.at_unix_ms)
            )));
        }
        // A gateway that still makes backups puts later ones in the place of those.
        let again = self.ask(holders.to_vec()).await;
        match again.iter().any(|(peer, now)| told.get(peer).is_none_or(|then| then.anchors != now.anchors)) {
            true => Err(RestoreError::NotYet(
                "for backups to stay as they are: a gateway still makes some".into(),
            )),
            false => Ok(None),
        }
    }

    /// Whether its segments are lost or their nodes slow, nobody can tell: an older backup is taken when that is asked for.
    async fn not_read(
        &self,
        (anchor, newest): (&Anchor, Newest),
        error: &PieceError,
        told: &BTreeMap<PeerKey, Told>,
    ) -> RestoreError {
        let away = self.away(told).await.map(|node| format!("for node {node}: ")).unwrap_or_default();
        let first = anchor.parts.first().map_or(0, |part| part.at_unix_ms);
        let last = newest.at_unix_ms.min(self.surroundings.now_unix_ms());
        let advice = match first > newest.reaches(anchor, last).1 {
            true => format!("If what it needs is lost for good, ask for a time before {}", time(first)),
            false => "No earlier one can be restored: what it needs has to come back".to_owned(),
        };
        let at = time(anchor.at_unix_ms);
        RestoreError::NotYet(format!("{away}the backup of {at} is not read ({error}). {advice}"))
    }

    /// A member of the pools that does not answer now.
    async fn away(&self, told: &BTreeMap<PeerKey, Told>) -> Option<String> {
        let layouts = layouts(told);
        let members = || layouts.values().flat_map(|(layout, _)| &layout.members);
        let here = self.ask(members().map(|member| member.peer).collect()).await;
        members().find(|member| !here.contains_key(&member.peer)).map(|member| member.node.to_string())
    }

    async fn one(
        &self,
        shelf: &Shelf,
        (anchor, newest): (&Anchor, Newest),
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<RestoredRecord, Unread> {
        let (wish, words) = &self.wish;
        let (parts, now) = (wish.parts(anchor), self.surroundings.now_unix_ms());
        let until_unix_ms = wish.at_unix_ms(anchor, parts);
        let restored = RestoredRecord {
            // Above all that proved itself; by the clock, so that two that are restored from the same backup differ.
            generation: newest.generation.saturating_add(1).max(now / 1000),
            wish: words.clone(),
            until_unix_ms,
            at_unix_ms: now,
            revision: parts.last().map_or(0, |part| part.revision),
        };
        let keyspace = self.rows(shelf, (anchor, parts), (told, &restored)).await?;
        self.take_layouts(keyspace, told).await?;
        self.volume.set_in_place()?;
        tracing::warn!(
            until = %time(until_unix_ms),
            age_seconds = now.saturating_sub(until_unix_ms) / 1000,
            written_by = %anchor.gateway,
            "the catalog was restored from a backup: whatever was acknowledged after that time is lost, and accounts, keys and \
             policies are as they were then, also those that were revoked since"
        );
        Ok(restored)
    }
}

fn told_nothing<T>(peer: &PeerKey, answer: &datamesh_exchange::net::Answer) -> Option<T> {
    match answer {
        Ok((response, _)) => tracing::warn!(%peer, ?response, "a node says nothing of backups"),
        Err(error) => tracing::debug!(%peer, %error, "a node does not answer yet"),
    }
    None
}
