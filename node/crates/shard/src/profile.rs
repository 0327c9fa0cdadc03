use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX};

/// k data and m parity shards: any k of the k+m bring a segment back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct ErasureProfile {
    #[schemars(range(min = 1, max = DATA_SHARDS_MAX))]
    data: u8,
    #[schemars(range(min = 1, max = PARITY_SHARDS_MAX))]
    parity: u8,
}

/// Why a pair of numbers is no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// k is 0 or too large.
    #[error("data shards must be 1 to {DATA_SHARDS_MAX}, not {0}")]
    Data(u8),
    /// m is 0 or too large.
    #[error("parity shards must be 1 to {PARITY_SHARDS_MAX}, not {0}")]
    Parity(u8),
}

impl ErasureProfile {
    /// A checked profile.
    ///
    /// # Errors
    /// Says which of the two is out of its range.
    pub const fn new(data: u8, parity: u8) -> Result<Self, ProfileError> {
        if data == 0 || data > DATA_SHARDS_MAX {
            return Err(ProfileError::Data(data));
        }
        if parity == 0 || parity > PARITY_SHARDS_MAX {
            return Err(ProfileError::Parity(parity));
        }
        Ok(Self { data, parity })
    }

    /// k, the shards that suffice.
    #[must_use]
    pub const fn data(self) -> u8 {
        self.data
    }

    /// m, the shards that may be lost.
    #[must_use]
    pub const fn parity(self) -> u8 {
        self.parity
    }

    /// k as an index bound.
    #[must_use]
    pub const fn k(self) -> usize {
        self.data as usize
    }

    /// m as an index bound.
    #[must_use]
    pub const fn m(self) -> usize {
        self.parity as usize
    }

    /// k + m.
    #[must_use]
    pub const fn total(self) -> usize {
        self.k() + self.m()
    }
}

impl std::fmt::Display for ErasureProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

impl<'de> Deserialize<'de> for ErasureProfile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "ErasureProfile")]
        struct Raw {
            data: u8,
            parity: u8,
        }
        let Raw { data, parity } = Raw::deserialize(deserializer)?;
        Self::new(data, parity).map_err(serde::de::Error::custom)
    }
}

/// The AEAD that seals a segment's frames. The number is the suite byte of the seal header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Cipher {
    /// AES-256-GCM: the faster one on machines with AES instructions.
    #[default]
    #[serde(rename = "AES-256-GCM")]
    Aes256Gcm = 1,
    /// ChaCha20-Poly1305: the faster one elsewhere.
    #[serde(rename = "ChaCha20-Poly1305")]
    ChaCha20Poly1305 = 2,
}

impl Cipher {
    /// The suite byte on disk and wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The cipher of a suite byte, if this version knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }
}
