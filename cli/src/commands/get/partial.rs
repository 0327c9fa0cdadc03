//! What of a download is there, beside the file it will become.

use std::ffi::OsStr;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncSeekExt as _;

use crate::failure::Failure;

const DATA: &str = ".datamesh-part";
const TAG: &str = ".datamesh-part-etag";
/// Bytes that file systems take as a name.
const NAME_BYTES_MAX: usize = 255;

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
    /// Named after the file that it becomes, if there is room for that.
    pub(crate) fn of(target: &Path) -> Self {
        match target.file_name() {
            Some(name) if name.len() + TAG.len() > NAME_BYTES_MAX => Self::among_others(target),
            name => Self::beside(target, name.unwrap_or_default()),
        }
    }

    /// Named by a hash: of any length, and another one for each name, also where the file system takes `A` for `a`.
    pub(crate) fn among_others(target: &Path) -> Self {
        let name = target.file_name().unwrap_or_default();
        let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
        Self::beside(target, OsStr::new(&hash[..32]))
    }

    fn beside(target: &Path, name: &OsStr) -> Self {
        let ending = |ending: &str| {
            let mut name = name.to_owned();
            name.push(ending);
            target.with_file_name(name)
        };
        Self { data: ending(DATA), tag: ending(TAG) }
    }

    /// What is there of the object.
    pub(crate) fn data(&self) -> &Path {
        &self.data
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
        self.forget_tag().await;
        Ok(())
    }

    /// When the file became what it was to become.
    pub(crate) async fn forget_tag(&self) {
        let _ = tokio::fs::remove_file(&self.tag).await;
    }

    pub(crate) async fn discard(&self) {
        let _ = tokio::fs::remove_file(&self.data).await;
        let _ = tokio::fs::remove_file(&self.tag).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_file_has_a_name_of_its_own_that_file_systems_take() {
        let names = |partial: &Partial| {
            [&partial.data, &partial.tag].map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(
            names(&Partial::of(Path::new("d/copy"))),
            ["copy.datamesh-part", "copy.datamesh-part-etag"]
        );
        let long = format!("d/{}", "x".repeat(NAME_BYTES_MAX));
        for partial in [Partial::of(Path::new(&long)), Partial::among_others(Path::new(&long))] {
            assert!(names(&partial).iter().all(|name| name.len() < 64 && is_unfinished(name)), "{long}");
            assert_eq!(partial.data().parent(), Some(Path::new("d")));
        }
        let lower =
            |name: &str| names(&Partial::among_others(Path::new(name))).map(|name| name.to_lowercase());
        assert_ne!(lower("A"), lower("a"));
    }
}
