//! Whether what a gateway shall have fits its memory. Pure.

use datamesh_crds::{GatewaySpec, Size};
use datamesh_settings::{MEMORY_BYTES_BESIDES, S3_INTAKE_BYTES_MIN};

/// It does not.
#[derive(Debug, thiserror::Error)]
#[error(
    "gateway.bufferBytes {buffers} with gateway.cacheBytes {cache} leaves less than {besides}Mi of the memory limit {limit}Mi: lower one of \
     them or raise gateway.resources.limits.memory{s3}"
)]
pub(crate) struct MemoryProblem {
    buffers: Size,
    cache: Size,
    /// In MiB.
    besides: u64,
    limit: u64,
    /// What S3 has to do with it.
    s3: &'static str,
}

/// Buffers and cache are these `budgets`, in bytes.
pub(super) fn check(gateway: &GatewaySpec, budgets: u64) -> Result<(), MemoryProblem> {
    let (for_s3, s3) = match gateway.s3 {
        Some(_) => (S3_INTAKE_BYTES_MIN, ", or remove gateway.s3, which needs 32Mi of these"),
        None => (0, ""),
    };
    let besides = MEMORY_BYTES_BESIDES + for_s3;
    match gateway.resources.memory_limit_bytes() {
        Some(limit) if budgets.saturating_add(besides) > limit => Err(MemoryProblem {
            buffers: gateway.buffer_bytes.clone(),
            cache: gateway.cache_bytes.clone(),
            besides: besides >> 20,
            limit: limit >> 20,
            s3,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cluster;
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn buffers_and_cache_leave_memory() {
        let mut gateway = cluster().spec.gateway;
        assert!(check(&gateway, 160 * MIB).is_ok());
        let told = check(&gateway, 161 * MIB).unwrap_err().to_string();
        let words = "gateway.bufferBytes 96Mi with gateway.cacheBytes 32Mi leaves less than 96Mi of the memory limit 256Mi: lower one of them or \
             raise gateway.resources.limits.memory";
        assert_eq!(told, words);
        gateway.resources.limits.clear();
        assert!(check(&gateway, u64::MAX).is_ok());
    }

    #[test]
    fn what_s3_must_have_whole_is_of_the_same_memory() {
        let mut gateway = cluster().spec.gateway;
        gateway.s3 = Some(serde_json::from_str("{}").unwrap());
        assert!(check(&gateway, 128 * MIB).is_ok(), "by default it fits 256Mi");
        let told = check(&gateway, 129 * MIB).unwrap_err().to_string();
        assert!(told.contains("leaves less than 128Mi") && told.ends_with("needs 32Mi of these"), "{told}");
    }
}
