//! How safe a pool's data is.

use std::time::Duration;

use datamesh_settings::admin::PoolSafety;
use datamesh_shard::PoolName;

use super::StatusSource;
use crate::pools::Pool;

/// For so long shards of what was acknowledged short may still arrive, and a count that began before may be under way: what is
/// counted later has all of it.
const PUT_TAIL: Duration = Duration::from_secs(60);

impl StatusSource {
    /// What the nodes counted, and what this gateway knows better: it has acknowledged it since.
    pub(super) fn safety(&self, name: &PoolName, pool: &Pool) -> Option<PoolSafety> {
        let counted = self.pools.counted(pool);
        let is_counted = |segment, ago: Duration| counted(segment, ago.saturating_sub(PUT_TAIL));
        let short_lately = self.damage.still_short(name, is_counted);
        self.pools.safety(pool).map(|safety| PoolSafety { short_lately, ..safety })
    }
}
