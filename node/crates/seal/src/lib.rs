//! Keys, framed authenticated encryption of segments, sealed records, and what the cluster's key signs. Pure: no I/O,
//! no clock; randomness comes from the operating system, or from a [`Random`] that the caller answers for.
//!
//! Invariants, each held by a test:
//! * **No key seals two messages.** A segment's key is fresh, or derived from the content; its AEAD key depends on every
//!   field of the header too. A record's key depends on its content. So nonces can be counters.
//! * **A sealed thing opens in its place only.** Splices between frames, segments, buckets and records are refused, and
//!   the error names the part that is wrong.
//! * **Nothing secret is printed.** Keys have no `Display`, their `Debug` shows the type alone, errors carry no bytes.
//!
//! Formats are fixed by golden files under `tests/golden`. Engines: `ring` for AEAD and Ed25519, `blake3` for hashes and
//! key derivation, `zstd`.

mod aead;
mod certificate;
mod chain;
mod cluster;
mod compress;
mod context;
mod customer;
mod error;
mod header;
mod private;
mod random;
mod record;
mod secret;
mod segment;
mod signing;

pub use certificate::{Certificate, CertificateError, MemberRole, SignedCertificate};
pub use chain::{ChainCheck, Link, sign_cut, sign_head, verify_head};
pub use cluster::{
    ClusterSecret, ClusterSecretError, JoinToken, JoinTokenError, RequestKey, UnwrapError,
    WrappedBucketSecret,
};
pub use compress::{Compression, ZSTD_LEVEL, pays_to_compress};
pub use customer::{CustomerKey, KeyMark, KeyMarkError};
pub use error::{OpenError, SealError};
pub use header::{SealHeader, SealHeaderError};
pub use private::{BucketMark, BucketMarkError, MARK_BYTES, PRIVATE_SEGMENT_BYTES_MAX, private_bytes_of};
pub use random::{Random, SystemRandom};
pub use record::{open_record, record_bytes_of, seal_record};
pub use secret::{BucketSecret, SegmentKey};
pub use segment::{
    Derived, Prepared, open_derived_segment, open_frame, open_segment, seal_segment, sealed_bytes_of,
};
pub use signing::{BadSignature, ClusterSigningKey, verify};

/// Whether this build seals nothing (cargo feature `unsealed-for-blindness-test`). A program must say so loudly.
pub const UNSEALED: bool = cfg!(feature = "unsealed-for-blindness-test");
