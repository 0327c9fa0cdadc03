use super::*;

/// Numbers from a seed.
pub(super) struct Chance(blake3::OutputReader);

impl Chance {
    pub(super) fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % end
    }

    /// From `least` to `most`, both included.
    pub(super) fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Another one that depends on this.
    pub(super) fn branch(&mut self) -> Self {
        Self::new(&self.below(usize::MAX).to_string())
    }
}

/// The seed in the environment's `variable`, else one from the clock; printed, so that a run can be had again.
pub(super) fn seed(variable: &str) -> String {
    let seed = std::env::var(variable).unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_nanos().to_string()
    });
    println!("run again with {variable}={seed}");
    seed
}

/// The same number gives the same shard.
pub(super) fn numbered(number: usize) -> (ShardKey, Bytes, Bytes) {
    let bytes = 100 + number * 397 % 900;
    let mut payload = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut payload);
    let profile = ErasureProfile::new(1, 1).unwrap();
    let leaves = vec![leaf_hash(&payload), [0; 32]];
    let header = SegmentHeader::new(profile, u32::try_from(bytes).unwrap(), leaves).unwrap();
    (ShardKey { segment: header.id(), index: ShardIndex(0) }, header.encode(), payload.into())
}
