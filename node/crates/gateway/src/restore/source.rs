//! What a restore reads: backups that nodes keep, or copies of them elsewhere. All else is one way for both.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_catalog::SegmentRef;
use datamesh_catalog::backup::{Anchor, AnchorPart};
use datamesh_exchange::anchor::AnchorId;
use datamesh_shard::PeerKey;

use super::errors::{RestoreError, Unread};
use super::run::Restoring;
use super::time;
use super::told::{Told, anchors};
use super::wish::Wish;
use crate::backup::copies::{Copies, CopyProblem, EndpointError, NoCopy, Place};
use crate::pipeline::{Context, PieceError, SegmentSecret, open_piece, piece};

/// So much earlier than what is asked for a copy may end.
const NEAR_MS: u64 = 3_600_000;

/// Where backups are read from.
pub(crate) enum Source {
    /// What nodes keep.
    Mesh,
    /// Copies elsewhere.
    Copies(Arc<Place>),
}

/// The same, opened for one try.
pub(super) enum Shelf {
    Mesh,
    Copies(Box<Copies>),
}

impl Restoring<'_> {
    /// The key of the copies' bucket is read anew for each try.
    pub(super) async fn shelf(&self) -> Result<Shelf, RestoreError> {
        match &self.source {
            Source::Mesh => Ok(Shelf::Mesh),
            Source::Copies(place) => {
                let copies = place.open(&self.opener.secret.fingerprint()).await.map_err(NoCopy::from)?;
                Ok(Shelf::Copies(Box::new(copies)))
            }
        }
    }

    /// The anchors there are, the newest first, and which nodes keep each.
    pub(super) async fn candidates(
        &self,
        shelf: &Shelf,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<Vec<(AnchorId, Vec<PeerKey>)>, RestoreError> {
        match shelf {
            Shelf::Mesh => Ok(anchors(told)),
            Shelf::Copies(copies) => {
                let listed = copies.anchors().await.map_err(NoCopy::from)?;
                let times: Vec<_> = listed.iter().map(|id| time(id.at_unix_ms)).collect();
                tracing::info!(?times, "copies are there up to these times");
                Ok(listed.into_iter().rev().map(|id| (id, Vec::new())).collect())
            }
        }
    }

    /// An anchor that proves itself. None where it is certain that it cannot be had, and another may be taken.
    pub(super) async fn anchor(
        &self,
        shelf: &Shelf,
        (id, holders): (&AnchorId, &[PeerKey]),
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<Option<Anchor>, RestoreError> {
        let copies = match shelf {
            Shelf::Mesh => return self.anchor_of_nodes(id, holders, told).await,
            Shelf::Copies(copies) => copies,
        };
        match copies.anchor(id, (&self.opener.secret, &self.opener.cluster)).await {
            Ok(anchor) => Ok(Some(anchor)),
            Err(NoCopy::Endpoint(EndpointError::Missing(name))) => Err(RestoreError::NotYet(format!(
                "for copies to stay as they are: {name} is listed and not there, as if a gateway still made some"
            ))),
            // Whoever names a time is told where the copy before it ends. For the newest nobody goes back to an older one unasked.
            Err(NoCopy::Copy(problem)) if self.wish.0 != Wish::Newest => {
                tracing::warn!(%problem, "a copy of a backup is passed over");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The newest backup that nodes prove, where it is copies that are restored: the catalog is to be of a later generation than it.
    pub(super) async fn proven_beside(
        &self,
        shelf: &Shelf,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<Option<AnchorId>, RestoreError> {
        if matches!(shelf, Shelf::Mesh) {
            return Ok(None);
        }
        for (id, holders) in anchors(told) {
            match self.anchor_of_nodes(&id, &holders, told).await {
                Ok(Some(_)) => return Ok(Some(id)),
                Ok(None) => {}
                // Who asks for a time knows that nodes are lost.
                Err(RestoreError::NotYet(_)) if self.wish.0 != Wish::Newest => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether a copy is the newest there is, where that is asked for.
    pub(super) fn is_newest(&self, copy: &AnchorId, in_mesh: Option<AnchorId>) -> Result<(), RestoreError> {
        match in_mesh {
            Some(newer) if self.wish.0 == Wish::Newest && newer > *copy => {
                Err(RestoreError::NewerInMesh { at: time(copy.at_unix_ms), newer: time(newer.at_unix_ms) })
            }
            _ => Ok(()),
        }
    }

    /// That a copy leads nearly to the time that is asked for: what it lacks would be seen when it is final. Backups of nodes are no older than
    /// their reach.
    pub(super) fn is_near(&self, anchor: &Anchor) -> Result<(), RestoreError> {
        let (Source::Copies(_), Wish::Until(wanted)) = (&self.source, self.wish.0) else { return Ok(()) };
        let at = self.wish.0.at_unix_ms(anchor, self.wish.0.parts(anchor));
        match wanted.saturating_sub(at) > NEAR_MS {
            true => Err(RestoreError::FarBefore { at: time(at) }),
            false => Ok(()),
        }
    }

    /// Why there is none, of those that were looked at.
    pub(super) fn none(&self, tried: usize, last: String, first: Option<u64>) -> RestoreError {
        match (&self.source, first) {
            (Source::Copies(_), Some(first)) => RestoreError::NoCopyThen { first: time(first) },
            (Source::Copies(_), None) => RestoreError::NoCopies { tried, last },
            (Source::Mesh, _) => RestoreError::None { tried, last },
        }
    }

    /// That all pieces are there, before any of them is opened. Of segments in the mesh nobody can say that.
    pub(super) async fn check_whole(
        &self,
        shelf: &Shelf,
        (anchor, parts): (&Anchor, &[AnchorPart]),
    ) -> Result<(), RestoreError> {
        let Shelf::Copies(copies) = shelf else { return Ok(()) };
        let chain = anchor.chain();
        let there = copies.pieces(chain).await.map_err(NoCopy::from)?;
        copies.lacking((chain, &there), parts).map_or(Ok(()), |problem| Err(problem.into()))
    }

    /// The rows of a piece.
    pub(super) async fn piece_rows(
        &self,
        (shelf, context): (&Shelf, &Context),
        anchor: &Anchor,
        (mut reference, secret): (SegmentRef, SegmentSecret),
    ) -> Result<Vec<u8>, Unread> {
        match shelf {
            Shelf::Mesh => {
                // No earlier layout is known here. Who it does not name is asked after that.
                let pool = context.pools.get(&reference.pool);
                let newest = pool.as_ref().and_then(|pool| pool.layout()).map(|layout| layout.epoch);
                reference.epoch = newest.unwrap_or(reference.epoch);
                Ok(piece(context, (reference, secret)).await.map_err(PieceError::from)?)
            }
            Shelf::Copies(copies) => {
                let chain = anchor.chain();
                let sealed = copies.piece(chain, &reference).await.map_err(RestoreError::from)?;
                let name = copies.piece_name(chain, &reference);
                open_piece(context, (reference, secret), sealed).await.map_err(|error| {
                    let problem =
                        format!("does not prove itself: it was changed, or is another piece ({error})");
                    RestoreError::from(CopyProblem { name, problem }).into()
                })
            }
        }
    }
}
