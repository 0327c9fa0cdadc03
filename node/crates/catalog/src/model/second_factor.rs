use std::fmt;

use serde::{Deserialize, Serialize};

/// What a user shows at sign-in besides the password: codes of the time (RFC 6238), each once, or one of a few recovery codes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// The sealed secret that codes are made of.
    pub sealed: Vec<u8>,
    /// When its owner showed that they have it; 0: not yet, and it is asked for by nobody.
    pub since_unix_ms: u64,
    /// The time step whose code was taken last: neither it nor one before is taken again. Of one that does not count yet: the last step
    /// before it was offered whose code is not taken.
    pub used_step: u64,
    /// Codes of the time that were wrong, or are being looked at. A right one halves them, a recovery code forgives
    /// them.
    pub wrong: u32,
    /// When the last of them came.
    pub last_wrong_unix_ms: u64,
    /// Hashes of the recovery codes that are left.
    pub recovery: Vec<[u8; 32]>,
}

impl fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecondFactor(since {}, …)", self.since_unix_ms)
    }
}

/// What was shown of a second factor, and is right.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// The code of a time step, made with this sealed secret and no other.
    Step {
        /// The step.
        step: u64,
        /// The secret, sealed, as the row had it.
        sealed: Vec<u8>,
    },
    /// The recovery code of this hash.
    Recovery([u8; 32]),
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step { .. } => "Step(…)",
            Self::Recovery(_) => "Recovery(…)",
        })
    }
}

impl SecondFactor {
    /// Whether sign-in asks for it.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.since_unix_ms > 0
    }

    /// As it is once this was used; `None` when it was used before.
    #[must_use]
    pub fn spent(mut self, shown: &Shown) -> Option<Self> {
        match shown {
            // Not forgiven: the owner's sign-ins must not give a patient guesser new tries for ever.
            Shown::Step { step, sealed } if *step > self.used_step && *sealed == self.sealed => {
                (self.used_step, self.wrong) = (*step, self.wrong / 2)
            }
            Shown::Step { .. } => return None,
            Shown::Recovery(hash) => {
                let at = self.recovery.iter().position(|left| left == hash)?;
                self.recovery.remove(at);
                self.wrong = 0;
            }
        }
        self.last_wrong_unix_ms = 0;
        Some(self)
    }
}
