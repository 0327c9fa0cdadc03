//! Does the steps. Each first looks whether what it expects is still there, so that nothing is written over that the plan did not see.

use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use tokio::io::{AsyncReadExt as _, BufReader};

use super::plan::{Known, Step};
use crate::client::Only;
use crate::commands::Session;
use crate::commands::get::{self, Partial};
use crate::commands::put::{Identity, put_file};
use crate::failure::Failure;

/// The two sides.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) session: &'a Session,
    pub(super) folder: &'a Path,
    /// Empty or ends with `/`.
    pub(super) prefix: &'a str,
}

/// What is known of files after a step.
pub(super) type Notes = Vec<(String, Option<Known>)>;

impl Sides<'_> {
    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Does one step.
    ///
    /// # Errors
    /// [`Failure::Changed`] and refused preconditions where something else is there than was planned for.
    pub(super) async fn act(self, step: &Step) -> Result<Notes, Failure> {
        match step {
            Step::Upload { path, only } => self.upload(path, only).await.map(|known| vec![known]),
            Step::Download { path, replaces } => {
                self.download(path, *replaces).await.map(|known| vec![known])
            }
            Step::DeleteRemote { path, etag } => {
                self.session.client.delete(&self.key(path), &Only::IfMatch(etag.clone())).await?;
                Ok(vec![(path.clone(), None)])
            }
            Step::DeleteLocal { path, was } => {
                self.expect(path, Some(*was))?;
                std::fs::remove_file(self.file(path)).map_err(Failure::file(self.file(path)))?;
                self.remove_empty_folders(path);
                Ok(vec![(path.clone(), None)])
            }
            Step::KeepBoth { path, was, becomes } => {
                self.expect(path, Some(*was))?;
                self.expect(becomes, None)?;
                std::fs::rename(self.file(path), self.file(becomes))
                    .map_err(Failure::file(self.file(becomes)))?;
                Ok(vec![self.download(path, None).await?, self.upload(becomes, &Only::IfAbsent).await?])
            }
            Step::Remember { path, known } => Ok(vec![(path.clone(), Some(known.clone()))]),
            Step::Forget { path } => Ok(vec![(path.clone(), None)]),
        }
    }

    /// The file as it is now; `None`: there is nothing.
    fn now(&self, path: &str) -> Result<Option<Identity>, Failure> {
        match std::fs::symlink_metadata(self.file(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            // A link or a folder is there now: nothing that may be read or replaced.
            Ok(meta) if !meta.is_file() => Err(Failure::Changed(self.file(path))),
            meta => Ok(Some(Identity::of(&meta.map_err(Failure::file(self.file(path)))?))),
        }
    }

    fn expect(&self, path: &str, expected: Option<Identity>) -> Result<(), Failure> {
        if self.now(path)? == expected { Ok(()) } else { Err(Failure::Changed(self.file(path))) }
    }

    /// What is above a path must be folders, if anything: a link would lead elsewhere.
    fn expect_folders(&self, path: &str) -> Result<(), Failure> {
        let above = path.match_indices('/').map(|(at, _)| self.file(&path[..at]));
        let is_other = |folder: &PathBuf| std::fs::symlink_metadata(folder).is_ok_and(|meta| !meta.is_dir());
        above.into_iter().find(is_other).map_or(Ok(()), |folder| Err(Failure::Changed(folder)))
    }

    async fn upload(&self, path: &str, only: &Only) -> Result<(String, Option<Known>), Failure> {
        // Taken before the file is read: whatever is written to it from now on makes it another one.
        let local = self.now(path)?.ok_or_else(|| Failure::Changed(self.file(path)))?;
        let stored = put_file(self.session, &self.file(path), &self.key(path), only).await?;
        Ok((path.to_owned(), Some(Known { local, etag: stored.info.etag })))
    }

    async fn download(
        &self,
        path: &str,
        replaces: Option<Identity>,
    ) -> Result<(String, Option<Known>), Failure> {
        let target = self.file(path);
        self.expect_folders(path)?;
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(Failure::file(folder))?;
        }
        let partial = Partial::of(&target);
        let fetched = get::fetch(self.session, &self.key(path), &partial).await?;
        self.expect(path, replaces)?;
        partial.finish(&target).await?;
        let local = self.now(path)?.ok_or_else(|| Failure::Changed(target))?;
        Ok((path.to_owned(), Some(Known { local, etag: fetched.etag })))
    }

    /// Removes the folders above a deleted file that have nothing in them any more.
    fn remove_empty_folders(&self, path: &str) {
        let folders = Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        for folder in folders {
            if std::fs::remove_dir(self.folder.join(folder)).is_err() {
                return;
            }
        }
    }

    /// Whether a file and its object have the same bytes.
    pub(super) async fn are_alike(self, path: &str) -> Result<bool, Failure> {
        let attempt = || async {
            let file =
                tokio::fs::File::open(self.file(path)).await.map_err(Failure::file(self.file(path)))?;
            let mut file = BufReader::new(file);
            let mut pieces = self.session.client.get(&self.key(path), 0, None).await?.bytes_stream();
            let mut here = Vec::new();
            while let Some(there) = pieces.try_next().await? {
                here.resize(there.len(), 0);
                match file.read_exact(&mut here).await {
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                    read => read.map_err(Failure::file(self.file(path)))?,
                };
                if here != there {
                    return Ok(false);
                }
            }
            Ok(file.read_u8().await.is_err())
        };
        self.session.client.patience.retried(attempt).await
    }
}
