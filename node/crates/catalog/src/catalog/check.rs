//! Whether the catalog's rows agree with each other and with what the nodes have, and mending where what is right follows from
//! the rest. Everything is compared within one view, so what others write meanwhile is no flaw.

mod known;
mod objects;
mod references;
mod uploads;

use datamesh_shard::SegmentId;

pub use known::{KnownSegment, Span, UnknownSegment};
pub use objects::{BrokenObject, ObjectsPage};
pub use references::ReferencesPage;

use crate::model::{PageAt, UploadId};

/// Mended rows of one batch at most.
const MENDED_AT_ONCE: usize = 128;

/// What is wrong with the rows of an upload, or of the object it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The upload.
    pub upload: UploadId,
    /// What is wrong.
    pub kind: FlawKind,
    /// Whether it is right by now.
    pub mended: bool,
}

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlawKind {
    /// A segment is used and on the list of what is deleted. Mended by taking it off the list; what was deleted already is missing then.
    Condemned(SegmentId),
    /// Pages name a segment, and no row says that the upload uses it. Mended by writing one.
    Unused(SegmentId),
    /// A row says of how many pages a segment is, and that is another number. Mended by counting.
    Miscounted {
        /// The segment.
        segment: SegmentId,
        /// Pages that name it.
        named: u32,
        /// What the row says.
        counted: u32,
    },
    /// An upload uses a segment, and the row is missing that keeps it from being deleted with the last other use. Mended by writing it.
    Unreferenced(SegmentId),
    /// A row keeps a segment from being deleted for an upload that does not use it. Mended by deleting the row.
    Idle(SegmentId),
    /// A page that the part has is not there, and with it the keys of its segments. Not to be mended.
    PageMissing(PageAt),
}

impl FlawKind {
    /// The segment, if it is about one.
    #[must_use]
    pub fn segment(&self) -> Option<SegmentId> {
        match self {
            Self::Condemned(segment)
            | Self::Unused(segment)
            | Self::Miscounted { segment, .. }
            | Self::Unreferenced(segment)
            | Self::Idle(segment) => Some(*segment),
            Self::PageMissing(_) => None,
        }
    }
}

impl std::fmt::Display for FlawKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Condemned(_) => {
                f.write_str("a segment that is in use is on the list of what is to be deleted")
            }
            Self::Unused(_) => f.write_str("pages name a segment that no row says is in use"),
            Self::Miscounted { named, counted, .. } => {
                write!(f, "a segment of {named} pages is counted as of {counted}")
            }
            Self::Unreferenced(_) => {
                f.write_str("nothing keeps a segment in use from being deleted with its last other use")
            }
            Self::Idle(_) => f.write_str("a segment is kept for an upload that does not use it"),
            Self::PageMissing(PageAt { part, page }) => {
                write!(f, "page {page} of part {part} is missing, and with it the keys of its segments")
            }
        }
    }
}
