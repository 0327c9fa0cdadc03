use datamesh_shard::limits::SEGMENT_BYTES_MAX;

use crate::header::SealHeaderError;

/// Why a segment was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No plaintext, or more than a segment holds.
    #[error("a segment of {0} bytes is not within 1 and {SEGMENT_BYTES_MAX}")]
    PlainLength(usize),
    /// The output is too short.
    #[error("room for {have} sealed bytes where up to {need} may be needed")]
    Room {
        /// Bytes the plaintext needs uncompressed.
        need: usize,
        /// Bytes given.
        have: usize,
    },
}

/// Why sealed bytes do not open. Says which part is wrong; tells nothing of key or content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not begin with the bucket's mark.
    #[error("the segment is of another bucket: it does not begin with the mark")]
    Mark,
    /// The header is none.
    #[error(transparent)]
    Header(#[from] SealHeaderError),
    /// Fewer bytes than the header says.
    #[error("truncated: {got} sealed bytes of {expected}")]
    Truncated {
        /// Bytes of the whole.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// More bytes than the header says.
    #[error("extended: {got} sealed bytes of {expected}")]
    Extended {
        /// Bytes of the whole.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The key is not the one that was committed to, or the commitment is not the one that was written.
    #[error("the key commitment does not match: the key is of something else, or the commitment was altered")]
    Commitment,
    /// A frame is not what was sealed at its place.
    #[error("frame {frame} is altered or out of place")]
    Frame {
        /// Which frame, from 0.
        frame: u32,
    },
    /// A frame number beyond the last.
    #[error("frame {frame} of {frames}")]
    NoSuchFrame {
        /// The frame asked for.
        frame: u32,
        /// How many there are.
        frames: u32,
    },
    /// What was sealed does not decompress to what the header says: a fault of whoever sealed it.
    #[error("the sealed content does not decompress to what its header says")]
    Decompress,
    /// The key was derived from the content: it opens with the bucket's secret at hand, which proves it.
    #[error("the key is derived from the content and must be proven with the bucket's secret")]
    DerivedKey,
    /// The key was derived from other content, under another secret, or not at all.
    #[error("the content is not the one its key was derived from")]
    NotDerivedFromContent,
    /// A record of a later version, or of another cipher.
    #[error("record version {version}, cipher suite {suite}: not known to this version")]
    RecordVersion {
        /// Its version byte.
        version: u8,
        /// Its suite byte.
        suite: u8,
    },
    /// A record sealed under another version of the bucket's secret.
    #[error("the record is sealed under version {need} of the bucket's secret, not {have}")]
    SecretVersion {
        /// The version at hand.
        have: u32,
        /// The version it was sealed under.
        need: u32,
    },
    /// The record, or what it is bound to, is not what was sealed.
    #[error("the record is altered or out of place")]
    Record,
}
