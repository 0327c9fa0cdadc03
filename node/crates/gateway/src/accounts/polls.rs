//! How often a device may have its provider asked: whoever has a handle could have this cluster ask all the time. Pure: the time is
//! passed in.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Devices remembered at most; each for one pause.
const REMEMBERED_MAX: usize = 4_096;
/// So much too early is in time: pauses are measured where they begin, not where they are seen.
const EARLY_MS: u64 = 500;

/// When each device may ask next, by a hash of its code. Each gateway counts its own.
#[derive(Default)]
pub(super) struct Polls(Mutex<BTreeMap<[u8; 32], u64>>);

impl Polls {
    /// Whether it may ask now; it counts from here.
    pub(super) fn may(&self, device: [u8; 32], interval_ms: u64, now_unix_ms: u64) -> bool {
        let mut next = self.0.lock();
        if next.get(&device).is_some_and(|at| *at > now_unix_ms) {
            return false;
        }
        if next.len() >= REMEMBERED_MAX {
            next.retain(|_, at| *at > now_unix_ms);
        }
        if next.len() >= REMEMBERED_MAX {
            return false;
        }
        next.insert(device, now_unix_ms.saturating_add(interval_ms.saturating_sub(EARLY_MS)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_its_provider_asked_once_in_each_pause() {
        let polls = Polls::default();
        assert!(polls.may([1; 32], 5_000, 0));
        assert!(!polls.may([1; 32], 5_000, 4_499));
        assert!(polls.may([2; 32], 5_000, 4_499), "another");
        assert!(polls.may([1; 32], 5_000, 4_500));
        assert!(!polls.may([1; 32], 5_000, 8_999), "counted from the one that was let through");
    }

    #[test]
    fn memory_has_an_end() {
        let polls = Polls::default();
        let device = |number: usize| {
            let mut device = [0; 32];
            device[..8].copy_from_slice(&number.to_le_bytes());
            device
        };
        assert!((0..REMEMBERED_MAX).all(|number| polls.may(device(number), 5_000, 0)));
        assert!(!polls.may(device(REMEMBERED_MAX), 5_000, 0), "there is no room");
        assert!(polls.may(device(REMEMBERED_MAX), 5_000, 4_500), "who may ask again is forgotten");
        assert_eq!(polls.0.lock().len(), 1);
    }
}
