//! A file that is put: read as often as needed, and never mixed from two of its versions.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use futures::{Stream, TryStreamExt as _};
use reqwest::Body;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::bytes::Bytes;
use tokio_util::io::ReaderStream;

use crate::commands::put::{READ_BYTES, body};
use crate::failure::Failure;
use crate::progress::Moving;

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) size: u64,
    pub(crate) modified_ns: u128,
}

impl Identity {
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        let modified = meta.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Self { size: meta.len(), modified_ns: modified.map_or(0, |time| time.as_nanos()) }
    }
}

/// A file as it was when its put began.
#[derive(Clone, Debug)]
pub(super) struct Source {
    path: PathBuf,
    identity: Identity,
}

impl Source {
    pub(super) async fn of(path: &Path) -> Result<Self, Failure> {
        let meta = tokio::fs::metadata(path).await.map_err(Failure::file(path))?;
        // The size of anything else says nothing about how much can be read from it.
        if !meta.is_file() {
            return Err(Failure::Usage(format!(
                "{} is not a regular file: read it into `datamesh put - KEY`",
                path.display()
            )));
        }
        Ok(Self { path: path.into(), identity: Identity::of(&meta) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn size(&self) -> u64 {
        self.identity.size
    }

    /// The file as a body.
    pub(super) async fn whole(&self, bar: Moving) -> Result<Body, Failure> {
        let chunks = self.chunks().await?;
        Ok(Body::wrap_stream(chunks.inspect_ok(move |chunk| bar.inc(chunk.len() as u64))))
    }

    /// The file's bytes. The last are held back until it is seen that it did not change while it was read: a gateway
    /// that never gets them stores nothing.
    async fn chunks(&self) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + 'static, Failure> {
        let file = File::open(&self.path).await.map_err(Failure::file(&self.path))?;
        let mut left = self.size();
        let source = self.clone();
        Ok(ReaderStream::with_capacity(file.take(left), READ_BYTES).and_then(move |chunk| {
            left = left.saturating_sub(chunk.len() as u64);
            let last = (left == 0).then(|| source.clone());
            async move {
                if let Some(source) = last {
                    source.check().await.map_err(std::io::Error::other)?;
                }
                Ok(chunk)
            }
        }))
    }

    /// Some of the file as a body. Whether it changed is checked when all parts are sent.
    pub(super) async fn part(&self, offset: u64, bytes: u64, bar: Moving) -> Result<Body, Failure> {
        let mut file = File::open(&self.path).await.map_err(Failure::file(&self.path))?;
        file.seek(SeekFrom::Start(offset)).await.map_err(Failure::file(&self.path))?;
        Ok(body(file.take(bytes), bar))
    }

    /// # Errors
    /// When the file is not what it was.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let meta = tokio::fs::metadata(&self.path).await.map_err(Failure::file(&self.path))?;
        if Identity::of(&meta) == self.identity { Ok(()) } else { Err(Failure::Changed(self.path.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::pin::pin;

    use super::*;

    /// What would be sent of a file that is written to after its first bytes were read.
    async fn sent(path: &Path, write: impl FnOnce(&mut std::fs::File)) -> (usize, Result<(), Failure>) {
        let source = Source::of(path).await.unwrap();
        let mut chunks = pin!(source.chunks().await.unwrap());
        let mut bytes = chunks.try_next().await.unwrap().unwrap().len();
        write(&mut std::fs::File::options().append(true).open(path).unwrap());
        while let Ok(Some(chunk)) = chunks.try_next().await {
            bytes += chunk.len();
        }
        (bytes, source.check().await)
    }

    #[tokio::test]
    async fn the_end_of_a_file_that_changed_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let size = 2 * READ_BYTES + 1;
        std::fs::write(&path, vec![7; size]).unwrap();
        let (bytes, outcome) = sent(&path, |_| ()).await;
        assert!(bytes == size && outcome.is_ok());
        let (bytes, outcome) = sent(&path, |file| file.write_all(b"more").unwrap()).await;
        assert!(bytes < size && matches!(outcome, Err(Failure::Changed(_))));
        let (bytes, outcome) = sent(&path, |file| file.set_len(READ_BYTES as u64 + 1).unwrap()).await;
        assert!(bytes < size && matches!(outcome, Err(Failure::Changed(_))));
    }

    #[tokio::test]
    async fn only_regular_files_have_a_size_to_go_by() {
        assert!(matches!(Source::of(Path::new("/dev/null")).await, Err(Failure::Usage(_))));
    }
}
