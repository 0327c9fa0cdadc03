//! Passwords of links that were right lately: a browser or player sends the password with each of many requests, and a hash for each
//! would cost more than what they ask for. Each use prolongs that. Who is in a pause has no use of it, for the pause is looked at first.

use std::collections::BTreeMap;

use datamesh_catalog::{CredentialId, PasswordHash};
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, MutexGuard};
use zeroize::Zeroizing;

use crate::surroundings::{Surroundings, random};

/// How long a password counts as proven.
const LATELY_MS: u64 = 300_000;
/// So many are remembered at most; beyond, all are forgotten and hashed again.
const REMEMBERED_MAX: usize = 4096;
/// Links that share a turn are few.
const TURNS: usize = 64;

/// Keyed hashes of what was right, and until when it counts. The key is this process's own and kept nowhere.
pub(in crate::accounts) struct ProvenLately {
    key: Zeroizing<[u8; 32]>,
    until: Mutex<BTreeMap<[u8; 32], u64>>,
    turns: [Turn<()>; TURNS],
}

impl ProvenLately {
    pub(in crate::accounts) fn new(surroundings: &dyn Surroundings) -> Self {
        Self {
            key: Zeroizing::new(random(surroundings)),
            until: Mutex::default(),
            turns: [const { Turn::const_new(()) }; TURNS],
        }
    }

    /// Waits until nobody else proves a password of this link.
    pub(super) async fn turn(&self, CredentialId([first, ..]): CredentialId) -> MutexGuard<'_, ()> {
        self.turns[usize::from(first) % TURNS].lock().await
    }

    /// The salt in its hash makes it this link's own.
    fn name(&self, (hash, password): (&PasswordHash, &str)) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&hash.0.len().to_le_bytes()).update(hash.0.as_bytes()).update(password.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Whether this was right lately.
    pub(super) fn knows(&self, proof: (&PasswordHash, &str), now_unix_ms: u64) -> bool {
        let name = self.name(proof);
        self.until.lock().get(&name).is_some_and(|until| *until > now_unix_ms)
    }

    /// It was right now.
    pub(super) fn remember(&self, proof: (&PasswordHash, &str), now_unix_ms: u64) {
        let name = self.name(proof);
        let mut until = self.until.lock();
        if until.len() >= REMEMBERED_MAX && !until.contains_key(&name) {
            until.clear();
        }
        until.insert(name, now_unix_ms.saturating_add(LATELY_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surroundings::OperatingSystem;

    #[test]
    fn what_was_right_is_known_for_a_while_and_of_its_link_alone() {
        let proven = ProvenLately::new(&OperatingSystem);
        let (one, other) = (PasswordHash("one".into()), PasswordHash("other".into()));
        proven.remember((&one, "secret"), 5);
        assert!(proven.knows((&one, "secret"), 4 + LATELY_MS));
        assert!(!proven.knows((&one, "secret"), 5 + LATELY_MS));
        assert!(!proven.knows((&other, "secret"), 5) && !proven.knows((&one, "Secret"), 5));
        for n in 0..2 * REMEMBERED_MAX {
            proven.remember((&one, &n.to_string()), 5);
        }
        assert!(proven.until.lock().len() <= REMEMBERED_MAX);
    }
}
