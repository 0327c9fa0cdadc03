//! How a gateway's memory is split, beside the budgets of its settings.

use datamesh_settings::{MEMORY_BYTES_BESIDES, S3_INTAKE_BYTES_MIN};

use crate::limits::S3_INTAKE_BYTES_MAX;

/// Where Linux says how much memory a container may have, by the version of its control groups.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// For S3's bodies that must be whole before anything can be done with them.
    pub(super) s3_intake: u64,
    /// For connections, where there is a limit.
    pub(super) connections: Option<u64>,
}

impl Split {
    /// Of this machine, or container.
    pub(super) fn here(budgets: u64, serves_s3: bool) -> Self {
        let limit = LIMITS.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
        Self::of(limit, budgets, serves_s3)
    }

    /// S3 has what is left when half of [`MEMORY_BYTES_BESIDES`] is for connections, as far as it has use for it; these have the rest.
    fn of(limit: Option<u64>, budgets: u64, serves_s3: bool) -> Self {
        let left = limit.map(|limit| limit.saturating_sub(budgets));
        let spare = left.map_or(u64::MAX, |left| left.saturating_sub(MEMORY_BYTES_BESIDES));
        let s3_intake = if serves_s3 { spare.clamp(S3_INTAKE_BYTES_MIN, S3_INTAKE_BYTES_MAX) } else { 0 };
        let connections = left.map(|left| left.saturating_sub(MEMORY_BYTES_BESIDES / 2 + s3_intake));
        Self { s3_intake, connections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn all_parts_together_are_the_limit() {
        let split = |limit, budgets, serves_s3| {
            let Split { s3_intake, connections } = Split::of(Some(limit * MIB), budgets * MIB, serves_s3);
            (s3_intake / MIB, connections.unwrap() / MIB)
        };
        assert_eq!(split(256, 128, true), (32, 48), "what the smallest gateway has by default");
        assert_eq!(split(256, 128, false), (0, 80), "and without S3");
        assert_eq!(split(256, 160, false), (0, 48), "with the largest budgets it may have");
        assert_eq!(split(320, 128, true), (96, 48));
        assert_eq!(split(1024, 128, true), (96, 752));
        assert_eq!(split(64, 128, true), (32, 0), "the operator lets no such limit pass");
        let Split { s3_intake, connections } = Split::of(None, 128 * MIB, true);
        assert_eq!((s3_intake, connections), (96 * MIB, None));
    }
}
