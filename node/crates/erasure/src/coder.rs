use std::sync::{Arc, OnceLock};

use datamesh_shard::limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SEALED_BYTES_MAX, SHARD_BYTES_MAX};
use datamesh_shard::{ErasureProfile, SegmentHeader, ShardIndex};
use rusty_erasure::{Matrix, coder};

use crate::CodeError;

const K_MAX: usize = DATA_SHARDS_MAX as usize;
const M_MAX: usize = PARITY_SHARDS_MAX as usize;

/// The tables of one profile, or nothing where the engine refuses it (no profile within the limits).
type Tables = Option<rusty_erasure::Coder>;

/// One place per profile within the limits.
static TABLES: [OnceLock<Arc<Tables>>; K_MAX * M_MAX] = [const { OnceLock::new() }; K_MAX * M_MAX];

fn make_tables(profile: ErasureProfile) -> Arc<Tables> {
    Arc::new(Matrix::cauchy(profile.k(), profile.m()).and_then(coder).ok())
}

/// Encodes and rebuilds the shards of one profile. Cheap to clone; the tables are made once per profile and process.
#[derive(Clone)]
pub struct Coder {
    profile: ErasureProfile,
    tables: Arc<Tables>,
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Coder({}, {})", self.profile, self.kernel())
    }
}

impl Coder {
    /// The coder of a profile.
    #[must_use]
    pub fn new(profile: ErasureProfile) -> Self {
        let place = TABLES.get((profile.k() - 1) * M_MAX + profile.m() - 1);
        let tables = match place {
            Some(place) => Arc::clone(place.get_or_init(|| make_tables(profile))),
            None => make_tables(profile),
        };
        Self { profile, tables }
    }

    /// k and m.
    #[must_use]
    pub fn profile(&self) -> ErasureProfile {
        self.profile
    }

    /// The instruction set in use, for reports.
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        self.tables.as_ref().as_ref().map_or("none", |tables| tables.kernels().name)
    }

    fn engine(&self) -> Result<&rusty_erasure::Coder, CodeError> {
        self.tables.as_ref().as_ref().ok_or(CodeError::Engine(self.profile))
    }

    /// Makes the shards of a sealed segment that stands at the front of `buffer`: zeroes the padding up to k equal
    /// shards, fills the parity, and returns the bytes of each shard; the k+m shards are the buffer's first parts.
    ///
    /// # Errors
    /// The sealed length is 0 or above the limit, or the buffer is too short for k+m shards.
    pub fn encode_segment(&self, buffer: &mut [u8], sealed_bytes: usize) -> Result<usize, CodeError> {
        if sealed_bytes == 0 || sealed_bytes > SEALED_BYTES_MAX {
            return Err(CodeError::SealedBytes(sealed_bytes));
        }
        let shard_bytes = SegmentHeader::shard_bytes_of(self.profile, sealed_bytes);
        let expected = shard_bytes * self.profile.total();
        let got = buffer.len();
        let shards = buffer.get_mut(..expected).ok_or(CodeError::Buffer { expected, got })?;
        // Buffers are pooled: what an earlier segment left behind must enter neither shards nor the segment's id.
        if let Some(padding) = shards.get_mut(sealed_bytes..shard_bytes * self.profile.k()) {
            padding.fill(0);
        }
        self.encode_in_place(shards, shard_bytes)?;
        Ok(shard_bytes)
    }

    /// Fills the parity part of `shards` (k data shards, then m parity shards, each of `shard_bytes`) from its data
    /// part. The padding of the last data shard is the caller's to zero; [`Coder::encode_segment`] does it.
    ///
    /// # Errors
    /// `shard_bytes` is 0 or above the limit, or `shards` has another length than k+m shards.
    pub fn encode_in_place(&self, shards: &mut [u8], shard_bytes: usize) -> Result<(), CodeError> {
        check_shard_bytes(shard_bytes)?;
        let (k, m) = (self.profile.k(), self.profile.m());
        let expected = shard_bytes * (k + m);
        if shards.len() != expected {
            return Err(CodeError::Buffer { expected, got: shards.len() });
        }
        let (data, parity) = shards.split_at_mut(shard_bytes * k);
        let mut from: [&[u8]; K_MAX] = [&[]; K_MAX];
        for (place, shard) in from.iter_mut().zip(data.chunks_exact(shard_bytes)) {
            *place = shard;
        }
        let mut to: [&mut [u8]; M_MAX] = Default::default();
        for (place, shard) in to.iter_mut().zip(parity.chunks_exact_mut(shard_bytes)) {
            *place = shard;
        }
        let refused = CodeError::Engine(self.profile);
        let (from, to) = (from.get(..k).ok_or(refused)?, to.get_mut(..m).ok_or(refused)?);
        self.engine()?.encode(from, to).map_err(|_| refused)
    }

    /// Rebuilds shards. `present[i]` is shard i's payload where it survives; at least k are needed, the first k are
    /// used. Shard `wanted[n]` is written to `out[n]`; wanting a shard that is present, or one twice, is allowed.
    ///
    /// The survivors are believed: whoever fetched them has checked each against its leaf hash, or checks what comes out.
    ///
    /// # Errors
    /// Names what does not fit; the outputs are then as they were.
    pub fn rebuild(
        &self,
        present: &[Option<&[u8]>],
        wanted: &[ShardIndex],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodeError> {
        let shard_bytes = self.check_survivors(present)?;
        self.check_outputs(shard_bytes, wanted, out)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<usize> = wanted.iter().map(|index| index.at()).collect();
        self.engine()?.recover(present, &wanted, out).map_err(|_| CodeError::Engine(self.profile))
    }

    /// The bytes of each survivor, when they are enough and alike.
    fn check_survivors(&self, present: &[Option<&[u8]>]) -> Result<usize, CodeError> {
        if present.len() != self.profile.total() {
            return Err(CodeError::Places { expected: self.profile.total(), got: present.len() });
        }
        let survivors =
            || (0u8..).map(ShardIndex).zip(present).filter_map(|(index, at)| at.map(|at| (index, at)));
        let have = survivors().count();
        let Some((_, first)) = survivors().next().filter(|_| have >= self.profile.k()) else {
            return Err(CodeError::TooFew { have, need: self.profile.k() });
        };
        check_shard_bytes(first.len())?;
        for (index, payload) in survivors() {
            check_length(index, first.len(), payload.len())?;
        }
        Ok(first.len())
    }

    fn check_outputs(
        &self,
        shard_bytes: usize,
        wanted: &[ShardIndex],
        out: &[&mut [u8]],
    ) -> Result<(), CodeError> {
        if wanted.len() != out.len() {
            return Err(CodeError::Outputs { wanted: wanted.len(), outputs: out.len() });
        }
        for (index, out) in wanted.iter().zip(out) {
            if index.at() >= self.profile.total() {
                return Err(CodeError::Index(*index));
            }
            check_length(*index, shard_bytes, out.len())?;
        }
        Ok(())
    }
}

fn check_shard_bytes(shard_bytes: usize) -> Result<(), CodeError> {
    if shard_bytes == 0 || shard_bytes > SHARD_BYTES_MAX {
        return Err(CodeError::ShardBytes(shard_bytes));
    }
    Ok(())
}

fn check_length(index: ShardIndex, expected: usize, got: usize) -> Result<(), CodeError> {
    if got != expected {
        return Err(CodeError::Length { index, expected, got });
    }
    Ok(())
}
