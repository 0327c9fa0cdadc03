//! How large a zip may be, and how long it may take: others wait for its turn, and what it says of its files at its end is in memory.

use std::time::Duration;

use datamesh_catalog::Entry;

use crate::limits::{
    ARCHIVE_BYTES_PER_SECOND, ARCHIVE_ENTRIES_MAX, ARCHIVE_FILE_WAIT, ARCHIVE_NAMES_BYTES_MAX, ARCHIVE_WAIT,
    ARCHIVE_WAIT_MAX,
};
use crate::problem::{Kind, Problem};

/// What there is of a folder so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    files: u32,
    names_bytes: usize,
    bytes: u64,
}

impl Size {
    /// One more object, named without the folder's prefix.
    ///
    /// # Errors
    /// `conflict` where that is too much for a zip.
    pub(super) fn add(&mut self, entry: &Entry, prefix: &str) -> Result<(), Problem> {
        self.files = self.files.saturating_add(1);
        self.names_bytes += entry.key.as_bytes().len().saturating_sub(prefix.len());
        self.bytes = self.bytes.saturating_add(entry.size_bytes);
        let is_too_many = usize::try_from(self.files).map_or(true, |files| files > ARCHIVE_ENTRIES_MAX);
        if !is_too_many && self.names_bytes <= ARCHIVE_NAMES_BYTES_MAX {
            return Ok(());
        }
        let detail = format!(
            "a zip has at most {ARCHIVE_ENTRIES_MAX} files, and {ARCHIVE_NAMES_BYTES_MAX} bytes of names: ask for a part of the \
             folder"
        );
        Err(Problem::new(Kind::Conflict, detail).in_parameter("prefix"))
    }

    /// How long a client may take for it.
    pub(super) fn patience(self) -> Duration {
        let of_bytes = Duration::from_secs(self.bytes / ARCHIVE_BYTES_PER_SECOND);
        let of_files = ARCHIVE_FILE_WAIT.saturating_mul(self.files);
        ARCHIVE_WAIT.saturating_add(of_files).saturating_add(of_bytes).min(ARCHIVE_WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use datamesh_catalog::{ObjectKey, UploadId};

    use super::*;

    fn entry(key: String, size_bytes: u64) -> Entry {
        Entry {
            key: ObjectKey::new(key).unwrap(),
            upload: UploadId([0; 16]),
            size_bytes,
            content_type: String::new(),
            etag: String::new(),
            created_unix_ms: 0,
        }
    }

    #[test]
    fn a_zip_is_bounded_in_files_and_names() {
        let (mut short, mut long) = (Size::default(), Size::default());
        let (a, b) = (entry("in/a".into(), 1), entry(format!("in/{}", "b".repeat(1000)), 1));
        assert_eq!((0..20_000).take_while(|_| short.add(&a, "in/").is_ok()).count(), ARCHIVE_ENTRIES_MAX);
        assert_eq!((0..20_000).take_while(|_| long.add(&b, "in/").is_ok()).count(), 2097);
    }

    #[test]
    fn who_takes_long_has_time_by_what_there_is() {
        let of = |bytes| {
            let mut size = Size::default();
            size.add(&entry("a".into(), bytes), "").unwrap();
            size.patience().as_secs()
        };
        assert_eq!((of(0), of(14 << 20), of(u64::MAX)), (600, 600 + 1024, 24 * 3600));
    }
}
