//! What the core takes from outside besides requests and answers: random bytes and the time of day. How long something
//! takes is told by tokio's clock, never by this one.

use std::time::{SystemTime, UNIX_EPOCH};

use datamesh_seal::{Random, SystemRandom};

/// Where a gateway's core stands. Whoever implements it answers for what [`Random`] asks for: keys are made of it.
pub trait Surroundings: Random + 'static {
    /// Milliseconds since 1970.
    fn now_unix_ms(&self) -> u64;
}

/// The operating system's generator and its clock: the surroundings of every gateway that keeps real data.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperatingSystem;

impl Random for OperatingSystem {
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom.fill(bytes);
    }
}

impl Surroundings for OperatingSystem {
    fn now_unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Random bytes that are no secret: ids.
pub(crate) fn random<const N: usize>(from: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    from.fill(&mut bytes);
    bytes
}
