//! What of a download is there, beside the file it will become.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncSeekExt as _;

use crate::failure::Failure;

const DATA: &str = ".datamesh-part";
const TAG: &str = ".datamesh-part-etag";

/// Whether a file of this name is what is there of a download.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(DATA) || name.ends_with(TAG)
}

/// The half file and the note of which version it is half of.
pub(crate) struct Partial {
    data: PathBuf,
    tag: PathBuf,
}

impl Partial {
    pub(crate) fn of(target: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { data: beside(DATA), tag: beside(TAG) }
    }

    /// Bytes that are there.
    pub(crate) async fn bytes(&self) -> u64 {
        tokio::fs::metadata(&self.data).await.map_or(0, |meta| meta.len())
    }

    /// Where to go on, and of which version.
    pub(crate) async fn resume_point(&self) -> (u64, Option<String>) {
        let bytes = self.bytes().await;
        match tokio::fs::read_to_string(&self.tag).await {
            Ok(tag) if bytes > 0 => (bytes, Some(tag)),
            _ => (0, None),
        }
    }

    /// The file to write from `offset` on. Bytes of another version are cut off before the new one is noted.
    pub(crate) async fn open(&self, offset: u64, tag: &str) -> Result<File, Failure> {
        let mut options = File::options();
        let opened = options.create(true).write(true).truncate(false).open(&self.data).await;
        let mut file = opened.map_err(Failure::file(&self.data))?;
        file.set_len(offset).await?;
        tokio::fs::write(&self.tag, tag).await.map_err(Failure::file(&self.tag))?;
        file.seek(SeekFrom::Start(offset)).await?;
        Ok(file)
    }

    pub(crate) async fn finish(&self, target: &Path) -> Result<(), Failure> {
        tokio::fs::rename(&self.data, target).await.map_err(Failure::file(target))?;
        let _ = tokio::fs::remove_file(&self.tag).await;
        Ok(())
    }

    pub(crate) async fn discard(&self) {
        let _ = tokio::fs::remove_file(&self.data).await;
        let _ = tokio::fs::remove_file(&self.tag).await;
    }
}
