//! What pools have in which profile, and what of it was coded anew.

use datamesh_shard::ErasureProfile;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProfileLabels {
    pool: String,
    profile: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ProfileMetrics {
    bytes: Family<ProfileLabels, Gauge>,
    recoded: Family<PoolLabels, Counter>,
}

impl ProfileMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("pool_profile_bytes", "Sealed bytes a pool has in a profile", self.bytes.clone());
        let recoded = "Sealed bytes that were coded anew in the pool's present profile";
        registry.register("recoded_bytes", recoded, self.recoded.clone());
    }

    /// Sets what a pool has in each of its profiles.
    pub fn set(&self, pool: &str, usage: &[(ErasureProfile, u64)]) {
        for (profile, bytes) in usage {
            let labels = ProfileLabels { pool: pool.into(), profile: profile.to_string() };
            self.bytes.get_or_create_owned(&labels).set(i64::try_from(*bytes).unwrap_or(i64::MAX));
        }
    }

    /// Forgets what pools have: profiles that are gone must not stay.
    pub fn forget(&self) {
        self.bytes.clear();
    }

    /// Bytes of a pool that were coded anew so far.
    #[must_use]
    pub fn recoded_bytes(&self, pool: &str) -> u64 {
        self.recoded.get_or_create_owned(&PoolLabels { pool: pool.into() }).get()
    }

    /// Counts bytes that were coded anew.
    pub fn recoded(&self, pool: &str, bytes: u64) {
        self.recoded.get_or_create_owned(&PoolLabels { pool: pool.into() }).inc_by(bytes);
    }
}
