//! Chance that can be had again.

/// Numbers from a seed, which is printed.
pub(crate) struct Random(blake3::OutputReader);

impl Random {
    /// The seed is taken from the environment's `variable`, else from the clock.
    pub(crate) fn new(variable: &str) -> Self {
        let seed = std::env::var(variable).unwrap_or_else(|_| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos().to_string()
        });
        println!("run again with {variable}={seed}");
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % end
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}
