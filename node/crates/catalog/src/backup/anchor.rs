//! What an anchor says, once it is opened: which segments have the parts of a chain, and what opens them.

use datamesh_shard::{NodeName, PoolName};
use serde::{Deserialize, Serialize};

use crate::limits::PAGE_SEGMENTS_MAX;
use crate::model::{SegmentRef, UploadId};
use crate::record::{Record, WISH_BYTES_MAX};

/// Bytes of an anchor at most: what nodes keep, less what sealing adds.
pub const ANCHOR_RECORD_BYTES_MAX: usize = (512 << 10) - 1024;

/// A chain of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The cluster, for people: the key it is sealed with says the same.
    pub cluster: NodeName,
    /// The gateway that wrote it.
    pub gateway: NodeName,
    /// That of the catalog: see [`crate::record::RestoredRecord`].
    pub generation: u64,
    /// What the catalog itself was restored by, if it was.
    pub wish: Option<String>,
    /// The pools that had a layout, by name: nodes of each keep the anchor, too.
    pub pools: Vec<PoolName>,
    /// So far before the newest anchor a point may be to come back to: what was deleted since is there.
    pub reach_ms: u64,
    /// The upload that keeps the segments from being deleted.
    pub upload: UploadId,
    /// When it was last known that nothing else had changed since the last part.
    pub at_unix_ms: u64,
    /// First the snapshot, then what changed, in order.
    pub parts: Vec<AnchorPart>,
}

/// A part: with all before it, the catalog as it was at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorPart {
    /// That revision.
    pub revision: u64,
    /// What was acknowledged by then is in it.
    pub at_unix_ms: u64,
    /// Its pieces, in order.
    pub chunks: Vec<Chunk>,
}

/// Up to 256 pieces.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Their segments.
    pub segments: Vec<SegmentRef>,
    /// What opens those; opaque here.
    #[serde(with = "crate::record::bytes")]
    pub secrets: Vec<u8>,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Everything but the keys.
        f.debug_struct("Chunk").field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secrets);
    }
}

impl Record for Anchor {
    const NAME: &'static str = "anchor";
    const BYTES_MAX: usize = ANCHOR_RECORD_BYTES_MAX;

    fn check(&self) -> Result<(), &'static str> {
        if self.parts.is_empty() {
            return Err("no part");
        }
        if !self.parts.is_sorted_by(|one, next| one.revision < next.revision) {
            return Err("parts out of order");
        }
        if self.wish.as_ref().is_some_and(|wish| wish.len() > WISH_BYTES_MAX) {
            return Err("the wish is too long");
        }
        let mut chunks = self.parts.iter().flat_map(|part| &part.chunks);
        match chunks.all(|chunk| chunk.segments.len() <= PAGE_SEGMENTS_MAX) {
            true => Ok(()),
            false => Err("too many segments in a chunk"),
        }
    }
}

impl Anchor {
    /// The chain's name: the generation, and the revision of the snapshot that it begins with.
    #[must_use]
    pub fn chain(&self) -> (u64, u64) {
        (self.generation, self.parts.first().map_or(0, |part| part.revision))
    }

    /// The last part that has nothing of what came after that time, and those before it. None where the chain begins later.
    #[must_use]
    pub fn until(&self, unix_ms: u64) -> &[AnchorPart] {
        let parts = self.parts.iter().take_while(|part| part.at_unix_ms <= unix_ms).count();
        &self.parts[..parts]
    }

    /// Segments of all parts.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.parts.iter().flat_map(|part| &part.chunks).map(|chunk| chunk.segments.len()).sum()
    }

    /// Their sealed bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let chunks = self.parts.iter().flat_map(|part| &part.chunks);
        chunks.flat_map(|chunk| &chunk.segments).map(|segment| u64::from(segment.sealed_bytes)).sum()
    }
}
