//! What a pool has in which erasure profile, as its status says it. Pure.

use datamesh_crds::{PoolProfile, RecodeProgress};
use datamesh_settings::admin::PoolStatus;

/// Bytes of a status message at most.
const MESSAGE_BYTES_MAX: usize = 500;

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What it has in each.
pub(crate) fn profiles(pool: &PoolStatus) -> Vec<PoolProfile> {
    let told = pool.profiles.iter();
    told.map(|told| PoolProfile { profile: told.erasure.to_string(), bytes: signed(told.bytes) }).collect()
}

/// How far it is with what is not in the present one.
pub(crate) fn recode(pool: &PoolStatus) -> Option<RecodeProgress> {
    let told = pool.recode.as_ref()?;
    let message: String = told.waits_for.join(" ").chars().take(MESSAGE_BYTES_MAX / 4).collect();
    Some(RecodeProgress {
        state: format!("{:?}", told.state),
        bytes_left: signed(told.left_bytes),
        bytes_done: signed(told.done_bytes),
        estimated_seconds_left: told.eta_seconds.map(signed),
        message: Some(message).filter(|message| !message.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use datamesh_settings::admin::MemberState::Up;
    use datamesh_settings::admin::{ProfileStatus, RecodeState, RecodeStatus};
    use datamesh_shard::ErasureProfile;

    use super::*;
    use crate::report::tests::pool;

    #[test]
    fn what_is_in_an_earlier_profile_is_told_with_what_it_waits_for() {
        let of = |data, parity| ErasureProfile::new(data, parity).unwrap();
        let mut pool = pool(&[Up; 6]);
        assert_eq!((profiles(&pool), recode(&pool)), (vec![], None));
        pool.profiles = vec![
            ProfileStatus { erasure: of(4, 2), bytes: 7 },
            ProfileStatus { erasure: of(2, 1), bytes: 1 << 30 },
        ];
        pool.recode = Some(RecodeStatus {
            state: RecodeState::Stalled,
            left_bytes: 1 << 30,
            done_bytes: 5,
            eta_seconds: Some(60),
            waits_for: vec!["n3 is away.".into()],
        });
        assert_eq!(profiles(&pool)[1], PoolProfile { profile: "2+1".into(), bytes: 1 << 30 });
        let told = recode(&pool).unwrap();
        assert_eq!(
            (told.state.as_str(), told.bytes_left, told.estimated_seconds_left),
            ("Stalled", 1 << 30, Some(60))
        );
        assert_eq!(told.message.as_deref(), Some("n3 is away."));
        // What is said of losses holds for the data that bears the least.
        assert_eq!(pool.weakest(), of(2, 1));
    }
}
