//! k+m erasure coding of a sealed segment: any k of the k+m shards bring it back. Pure: no I/O, no clock, no keys.
//!
//! The code is fixed by golden vectors under `tests/golden`: systematic Reed-Solomon over GF(2^8) with the
//! polynomial 0x11d, whose parity row i (k <= i < k+m) has the Cauchy coefficients `1 / (i xor j)` for data shard j.
//! Every square submatrix of a Cauchy matrix is invertible, so every profile within the limits survives every loss
//! of m shards; the Vandermonde form does not promise that.

mod coder;
mod error;
mod name;

pub use coder::Coder;
pub use error::CodeError;
pub use name::{NameError, segment_id};
