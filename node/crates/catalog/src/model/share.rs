use std::fmt;

use datamesh_shard::BucketName;
use serde::{Deserialize, Serialize};

use super::{BucketId, ObjectKey, PasswordHash};
use crate::limits::SHARE_UNDER_WAY_MAX;

/// How long ranges belong to a download that began.
const DOWNLOAD_MS: u64 = 24 * 3600 * 1000;
/// Under one count an object is sent so many times at most: once, and as much again for what broke off.
const TIMES_SENT_MAX: u64 = 2;

/// What a user lets everybody have who has a link. The catalog has a keyed hash of the link's secret, never the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The hash.
    pub hash: [u8; 32],
    /// The bucket.
    pub bucket: BucketId,
    /// What it is called. Another bucket of this name is not shared.
    pub bucket_name: BucketName,
    /// What of it.
    pub what: Shared,
    /// What a password is held against, where one is asked for.
    pub password: Option<PasswordHash>,
    /// When it was made.
    pub created_unix_ms: u64,
    /// It counts before this.
    pub until_unix_ms: u64,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({:?} of {}, until {}, …)", self.what, self.bucket, self.until_unix_ms)
    }
}

/// What of a bucket is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shared {
    /// The object of a key, whichever it is at the time.
    Object {
        /// The key.
        key: ObjectKey,
        /// Downloads at most; absent: they are not counted.
        downloads_max: Option<u32>,
    },
    /// All objects whose keys begin so.
    Prefix {
        /// The beginning.
        prefix: String,
        /// Downloads at most, of whatever object; absent: they are not counted.
        downloads_max: Option<u32>,
    },
    /// Room for files of others, which they cannot see afterwards.
    Drop {
        /// How the keys of what comes begin.
        prefix: String,
        /// Files at most.
        files_max: u32,
        /// Bytes of all of them at most.
        bytes_max: u64,
    },
}

/// How much of a share was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareUse {
    /// Downloads that began.
    pub downloads: u32,
    /// Files that came, or are coming.
    pub files: u32,
    /// Bytes of them.
    pub bytes: u64,
    /// Downloads that may go on, the oldest first.
    pub under_way: Vec<UnderWay>,
}

/// A download that may go on without being counted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// A hash of who downloads which version of which object.
    pub whose: [u8; 16],
    /// It may go on before this.
    pub until_unix_ms: u64,
    /// Bytes that are still sent under its count.
    pub bytes_left: u64,
}

/// A request for bytes of something that is shared.
#[derive(Clone, Copy, Debug)]
pub struct AskedDownload {
    /// A hash of who asks for which version of which object.
    pub whose: [u8; 16],
    /// Bytes that are asked for.
    pub bytes: u64,
    /// Bytes of the object; the same as `bytes` where all of it is asked for, which always begins a download.
    pub of: u64,
}

impl ShareUse {
    /// The use once this was sent; `None` where that would be a download too many.
    #[must_use]
    pub fn with_download(mut self, asked: AskedDownload, max: u32, now_unix_ms: u64) -> Option<Self> {
        let AskedDownload { whose, bytes, of } = asked;
        self.under_way.retain(|known| known.until_unix_ms > now_unix_ms);
        let known = self.under_way.iter().position(|known| known.whose == whose);
        if let Some(known) = known.map(|at| &mut self.under_way[at])
            && bytes < of
            && let Some(left) = known.bytes_left.checked_sub(bytes)
        {
            known.bytes_left = left;
            return Some(self);
        }
        if self.downloads >= max {
            return None;
        }
        self.downloads += 1;
        self.under_way.retain(|known| known.whose != whose);
        if self.under_way.len() >= SHARE_UNDER_WAY_MAX {
            self.under_way.remove(0);
        }
        let until_unix_ms = now_unix_ms.saturating_add(DOWNLOAD_MS);
        let bytes_left = of.saturating_mul(TIMES_SENT_MAX).saturating_sub(bytes);
        self.under_way.push(UnderWay { whose, until_unix_ms, bytes_left });
        Some(self)
    }

    /// The use once a file of so many bytes has come; `None` where there is no room for it.
    #[must_use]
    pub fn with_file(mut self, bytes: u64, (files_max, bytes_max): (u32, u64)) -> Option<Self> {
        self.files = self.files.checked_add(1).filter(|files| *files <= files_max)?;
        self.bytes = self.bytes.checked_add(bytes).filter(|bytes| *bytes <= bytes_max)?;
        Some(self)
    }

    /// The use without a file that did not come after all.
    #[must_use]
    pub fn without_file(mut self, bytes: u64) -> Self {
        self.files = self.files.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn asked(who: u8, bytes: u64) -> AskedDownload {
        AskedDownload { whose: [who; 16], bytes, of: 100 }
    }

    #[test]
    fn ranges_of_one_download_are_one_download() {
        let mut used = ShareUse::default();
        for _ in 0..20 {
            used = used.with_download(asked(1, 10), 1, NOW).unwrap();
        }
        assert_eq!(used.downloads, 1);
        assert_eq!(used.clone().with_download(asked(1, 10), 1, NOW), None, "twice its bytes were sent");
        assert_eq!(used.clone().with_download(asked(2, 10), 1, NOW), None, "somebody else");
        assert_eq!(used.with_download(asked(1, 10), 2, NOW).unwrap().downloads, 2);
    }

    #[test]
    fn a_whole_download_is_another_and_what_broke_off_goes_on() {
        let used = ShareUse::default().with_download(asked(1, 100), 2, NOW).unwrap();
        let used = used.with_download(asked(1, 60), 2, NOW + 1).unwrap();
        assert_eq!(used.downloads, 1, "it went on");
        let used = used.with_download(asked(1, 100), 2, NOW + 2).unwrap();
        assert_eq!((used.downloads, used.under_way.len()), (2, 1));
        assert_eq!(used.clone().with_download(asked(1, 100), 2, NOW), None);
        assert_eq!(used.with_download(asked(1, 60), 2, NOW + 2 + DOWNLOAD_MS), None, "after a day");
    }

    #[test]
    fn no_requests_get_more_than_twice_the_bytes_of_what_is_counted() {
        let mut state = 7_u64;
        for _ in 0..200 {
            let (mut used, mut sent) = (ShareUse::default(), 0_u64);
            for _ in 0..300 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (who, bytes) = (u8::try_from(state >> 61).unwrap() % 3, (state >> 33) % 101);
                if let Some(now) = used.clone().with_download(asked(who, bytes), 5, NOW) {
                    (used, sent) = (now, sent + bytes);
                }
            }
            assert!(used.downloads <= 5 && sent <= 5 * 100 * TIMES_SENT_MAX, "{sent} bytes");
        }
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut used = ShareUse::default();
        for who in 0..200 {
            used = used.with_download(asked(who, 50), 1000, NOW).unwrap();
        }
        assert_eq!((used.downloads, used.under_way.len()), (200, SHARE_UNDER_WAY_MAX));
        assert_eq!(used.under_way.last().unwrap().whose, [199; 16], "the newest stay");
    }

    #[test]
    fn a_drop_box_has_room_for_so_much() {
        let bounds = (2, 100);
        let used = ShareUse::default().with_file(60, bounds).unwrap();
        assert_eq!(used.clone().with_file(41, bounds), None, "too many bytes");
        let used = used.with_file(40, bounds).unwrap();
        assert_eq!(used.clone().with_file(0, bounds), None, "too many files");
        assert_eq!(used.without_file(40).with_file(40, bounds).unwrap().files, 2);
    }
}
