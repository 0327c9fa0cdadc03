//! Anchors and pieces as objects of a bucket.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use datamesh_catalog::SegmentRef;
use datamesh_catalog::backup::{Anchor, AnchorPart};
use datamesh_catalog::record::{self, RecordError};
use datamesh_exchange::anchor::{ANCHOR_BYTES_MAX, AnchorId};
use datamesh_seal::ClusterSecret;
use datamesh_shard::{NodeName, SegmentId};

use super::endpoint::{Endpoint, EndpointError};
use super::names::{ChainId, Folder};

/// Times a piece is asked for whose answer is cut off.
const TRIES: u32 = 4;

/// What is wrong with an object: it is named, for whoever has to look at it.
#[derive(Debug, thiserror::Error)]
#[error("{name} {problem}")]
pub(crate) struct CopyProblem {
    /// The object's.
    pub(crate) name: String,
    /// As words that follow it.
    pub(crate) problem: String,
}

/// Why an anchor or a piece is not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCopy {
    /// The endpoint's fault, which may pass.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It is not there, or not what it should be.
    #[error(transparent)]
    Copy(#[from] CopyProblem),
    /// It is of a later version, and so no damage.
    #[error("{0}: restore with the version that made the copy, or a later one")]
    Later(RecordError),
}

/// A cluster's copies.
#[derive(Debug)]
pub(crate) struct Copies {
    endpoint: Endpoint,
    folder: Folder,
}

impl Copies {
    pub(super) fn new(endpoint: Endpoint, folder: Folder) -> Self {
        Self { endpoint, folder }
    }

    /// Which anchors are there; objects with other names are nobody's.
    pub(crate) async fn anchors(&self) -> Result<BTreeSet<AnchorId>, EndpointError> {
        let listed = self.endpoint.list(&self.folder.anchors()).await?;
        Ok(listed.iter().filter_map(|object| self.folder.anchor_of(&object.name)).collect())
    }

    /// An anchor, if it was sealed with the cluster's secret for this place.
    pub(crate) async fn anchor(
        &self,
        id: &AnchorId,
        (secret, cluster): (&ClusterSecret, &NodeName),
    ) -> Result<Anchor, NoCopy> {
        let name = self.folder.anchor(id);
        let problem = |problem: &str| CopyProblem { name: name.clone(), problem: problem.into() };
        let sealed = match self.patient(&name, ANCHOR_BYTES_MAX).await {
            Err(EndpointError::Long(_)) => return Err(problem("is longer than any anchor").into()),
            outcome => outcome?,
        };
        let plain = secret.open_anchor(&id.binding(), &sealed);
        let plain =
            plain.map_err(|_| problem("does not prove itself: it was changed, or is another cluster's"))?;
        match record::decode::<Anchor>(&plain) {
            Ok(anchor) if anchor.cluster == *cluster => Ok(anchor),
            Err(error @ RecordError::Version { .. }) => Err(NoCopy::Later(error)),
            _ => Err(problem("is no anchor of this cluster").into()),
        }
    }

    /// Puts an anchor; what it names must be there.
    pub(super) async fn put_anchor(&self, id: &AnchorId, sealed: Vec<u8>) -> Result<(), EndpointError> {
        self.endpoint.put(&self.folder.anchor(id), sealed.into()).await
    }

    pub(super) async fn delete_anchor(&self, id: &AnchorId) -> Result<(), EndpointError> {
        self.endpoint.delete(&self.folder.anchor(id)).await
    }

    /// The pieces of a chain, and the bytes of each.
    pub(crate) async fn pieces(&self, chain: ChainId) -> Result<BTreeMap<SegmentId, u64>, EndpointError> {
        let listed = self.endpoint.list(&self.folder.chain(chain)).await?;
        let pieces = listed.into_iter();
        Ok(pieces
            .filter_map(|object| Some((self.folder.piece_of(chain, &object.name)?, object.bytes)))
            .collect())
    }

    /// The first piece of these parts that is not there as it should be.
    pub(crate) fn lacking(
        &self,
        (chain, there): (ChainId, &BTreeMap<SegmentId, u64>),
        parts: &[AnchorPart],
    ) -> Option<CopyProblem> {
        segments(parts).find_map(|segment| {
            let expected = u64::from(segment.sealed_bytes);
            let problem = match there.get(&segment.id) {
                Some(bytes) if *bytes == expected => return None,
                Some(bytes) => format!("has {bytes} bytes, and {expected} are expected"),
                None => "is missing".to_owned(),
            };
            Some(CopyProblem { name: self.piece_name(chain, segment), problem })
        })
    }

    /// A piece's sealed bytes, as many as there must be. Only its key proves them.
    pub(crate) async fn piece(&self, chain: ChainId, segment: &SegmentRef) -> Result<Bytes, NoCopy> {
        let (name, expected) = (self.piece_name(chain, segment), segment.sealed_bytes as usize);
        let problem = |problem: String| NoCopy::Copy(CopyProblem { name: name.clone(), problem });
        match self.patient(&name, expected).await {
            Ok(sealed) if sealed.len() == expected => Ok(sealed),
            Ok(sealed) => Err(problem(format!("has {} bytes, and {expected} are expected", sealed.len()))),
            Err(EndpointError::Long(_)) => Err(problem(format!("has more than {expected} bytes"))),
            Err(EndpointError::Missing(_)) => Err(problem("is missing".into())),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn piece_name(&self, chain: ChainId, segment: &SegmentRef) -> String {
        self.folder.piece(chain, &segment.id)
    }

    pub(super) async fn put_piece(
        &self,
        chain: ChainId,
        segment: &SegmentRef,
        sealed: Bytes,
    ) -> Result<(), EndpointError> {
        self.endpoint.put(&self.piece_name(chain, segment), sealed).await
    }

    pub(super) async fn delete_piece(
        &self,
        chain: ChainId,
        segment: &SegmentId,
    ) -> Result<(), EndpointError> {
        self.endpoint.delete(&self.folder.piece(chain, segment)).await
    }

    /// Chains of which pieces are there.
    pub(super) async fn chains(&self) -> Result<BTreeSet<ChainId>, EndpointError> {
        let folders = self.endpoint.folders(&self.folder.pieces()).await?;
        Ok(folders.iter().filter_map(|folder| self.folder.chain_of(folder)).collect())
    }

    /// Asks again where the answer is cut off.
    async fn patient(&self, name: &str, bytes_max: usize) -> Result<Bytes, EndpointError> {
        for _ in 1..TRIES {
            match self.endpoint.get(name, bytes_max).await {
                Err(EndpointError::Cut) => {}
                outcome => return outcome,
            }
        }
        self.endpoint.get(name, bytes_max).await
    }
}

/// All pieces of parts, in order.
pub(super) fn segments(parts: &[AnchorPart]) -> impl Iterator<Item = &SegmentRef> {
    parts.iter().flat_map(|part| &part.chunks).flat_map(|chunk| &chunk.segments)
}
