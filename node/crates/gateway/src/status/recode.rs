//! What a pool has in which profile, and how far it is with coding anew what is of an earlier one.

use datamesh_catalog::catalog::CatalogError;
use datamesh_settings::admin::{ProfileStatus, RecodeState, RecodeStatus};
use datamesh_shard::PoolName;
use tokio::time::Instant;

use super::StatusSource;
use crate::pools::{Pool, Recoded};

/// What a pool has in each profile of its layout.
pub(super) async fn profiles(
    source: &StatusSource,
    name: &PoolName,
    pool: &Pool,
) -> Result<Vec<ProfileStatus>, CatalogError> {
    let mut all = Vec::new();
    for erasure in pool.layout().into_iter().flat_map(|layout| layout.profiles()) {
        let bytes = source.catalog.profile_usage(name, erasure).await?.bytes;
        all.push(ProfileStatus { erasure, bytes });
    }
    Ok(all)
}

/// `None` where all of it is in the present one.
pub(super) fn told(pool: &Pool, profiles: &[ProfileStatus], seen: Option<&Recoded>) -> Option<RecodeStatus> {
    let (_, earlier) = profiles.split_first().filter(|(_, earlier)| !earlier.is_empty())?;
    let left_bytes = earlier.iter().map(|profile| profile.bytes).sum();
    let state = state(pool, left_bytes, seen);
    let eta = seen.filter(|_| state == RecodeState::Running);
    Some(RecodeStatus {
        state,
        left_bytes,
        done_bytes: seen.map_or(0, |seen| seen.done_bytes),
        eta_seconds: eta.and_then(|seen| seen.progress.eta_seconds(Instant::now())),
        waits_for: waits_for(state, seen),
    })
}

fn state(pool: &Pool, left_bytes: u64, seen: Option<&Recoded>) -> RecodeState {
    match seen {
        _ if !pool.spec.recode.enabled => RecodeState::Off,
        _ if left_bytes == 0 => RecodeState::Ending,
        Some(seen) if seen.failure.is_some() => RecodeState::Stalled,
        Some(seen) if seen.is_through => RecodeState::Ending,
        _ => RecodeState::Running,
    }
}

fn waits_for(state: RecodeState, seen: Option<&Recoded>) -> Vec<String> {
    match state {
        RecodeState::Off => vec!["Set recode.enabled to have it coded anew.".to_owned()],
        RecodeState::Running => Vec::new(),
        RecodeState::Stalled => {
            let why = seen.and_then(|seen| seen.failure.clone()).unwrap_or_default();
            vec![format!("Some segments cannot be coded anew now and are tried again: {why}.")]
        }
        RecodeState::Ending => vec![
            "What is left belongs to uploads under way, or was deleted and is kept for readers until its retention ends."
                .to_owned(),
        ],
    }
}
