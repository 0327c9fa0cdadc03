//! An anchor that a node gives. A node knows its place and no more, and may say what it likes.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::Anchor;
use datamesh_catalog::record::{self, RecordError};
use datamesh_exchange::anchor::{ANCHORS_MAX, AnchorId};
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_exchange::net::Net;
use datamesh_seal::ClusterSecret;
use datamesh_shard::{NodeName, PeerKey};

/// What came of asking for an anchor.
pub(crate) enum Given {
    /// It was sealed with the cluster's secret, for this place.
    Proven(Box<Anchor>),
    /// It was not, or the node has none there.
    Unproven,
    /// No answer, or none that says whether it has it: it may be busy, or its disk slow.
    Away,
}

/// Whether a refusal says that the node has no such anchor.
fn is_none(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::NotFound | Refusal::BadRequest(_))
}

/// Whoever can open anchors.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) cluster: NodeName,
}

impl Opener {
    /// Asks a node for an anchor, and opens it.
    pub(crate) async fn ask(&self, peer: &PeerKey, id: &AnchorId, within: Duration) -> Given {
        let sealed = match self.net.request(peer, Request::Anchor { id: *id }, None, within).await {
            Ok((Response::Anchor(sealed), _)) => sealed,
            Ok((Response::Refused(refusal), _)) if !is_none(&refusal) => {
                tracing::debug!(%peer, ?id, %refusal, "a node does not give an anchor now");
                return Given::Away;
            }
            Ok(_) => return Given::Unproven,
            Err(_) => return Given::Away,
        };
        let opened = self.secret.open_anchor(&id.binding(), &sealed).ok();
        let read = opened.map(|plain| record::decode::<Anchor>(&plain));
        if let Some(Err(error @ RecordError::Version { .. })) = &read {
            // No damage: what that version knows may be had by it alone.
            tracing::error!(%peer, %error, "a backup of the catalog is of a later version than this: that one is needed to restore it");
            return Given::Away;
        }
        match read.and_then(Result::ok).filter(|anchor| anchor.cluster == self.cluster) {
            Some(anchor) => Given::Proven(Box::new(anchor)),
            None => {
                tracing::warn!(%peer, ?id, "a node gives an anchor that does not prove itself");
                Given::Unproven
            }
        }
    }

    /// Which anchors a node says it keeps: no more than one may, the newest.
    pub(crate) async fn list(&self, peer: &PeerKey, within: Duration) -> Option<Vec<AnchorId>> {
        match self.net.request(peer, Request::Anchors, None, within).await {
            Ok((Response::Anchors(mut anchors), _)) => {
                anchors.sort_unstable_by(|one, other| other.cmp(one));
                anchors.truncate(ANCHORS_MAX);
                Some(anchors)
            }
            // One of a version that keeps none does not know the question.
            Ok((Response::Refused(Refusal::BadRequest(_)), _)) => Some(Vec::new()),
            Ok((response, _)) => {
                tracing::debug!(%peer, ?response, "a node says nothing of backups");
                None
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "a node does not say which backups it knows");
                None
            }
        }
    }
}
