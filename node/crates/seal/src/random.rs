use crate::secret::stop;

/// Where keys, secrets and salts come from.
///
/// All that this crate promises of them rests on the source, and whoever passes one in answers for it: its bytes must be
/// such that nobody can foresee them, and must never come twice, not in this process nor in another that works for the
/// same cluster. [`SystemRandom`] is the one source for real data. A simulation, whose keys guard nothing, may give up
/// the first (it draws from a seed), but not the second.
pub trait Random: Send + Sync {
    /// Fills `bytes`, all of them.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// A system that cannot give random bytes can make no key: the process stops rather than go on with a weak one.
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            stop(&format!("the operating system gives no random bytes: {error}"));
        }
    }
}
