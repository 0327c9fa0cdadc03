//! Does the steps. Each first looks whether what it expects is still there, so that nothing is written over that the plan did not see.
//! Between that look and what is done to the folder nothing is waited for.

use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt as _, BufReader};

use super::guard::Top;
use super::local::is_gone;
use super::plan::{Known, Step};
use crate::client::Only;
use crate::commands::Session;
use crate::commands::get::{self, Partial};
use crate::commands::put::{Identity, put_file};
use crate::failure::Failure;
use crate::progress::Moving;

/// The two sides.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) session: &'a Session,
    pub(super) top: &'a Top,
    /// Empty or ends with `/`.
    pub(super) prefix: &'a str,
}

/// The shares that a step has of the bar of all, by what it moves.
pub(super) struct Bars {
    pub(super) up: Moving,
    pub(super) down: Moving,
}

/// What is known of files after a step.
pub(super) type Notes = Vec<(String, Option<Known>)>;

impl Sides<'_> {
    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.top.path().join(path)
    }

    /// Does one step.
    ///
    /// # Errors
    /// [`Failure::Changed`] and refused preconditions where something else is there than was planned for.
    pub(super) async fn act(self, step: &Step, Bars { up, down }: Bars) -> Result<Notes, Failure> {
        match step {
            Step::Upload { path, only } => self.upload(path, only, up).await.map(|known| vec![known]),
            Step::Download { path, replaces } => {
                self.download(path, *replaces, down).await.map(|known| vec![known])
            }
            Step::DeleteRemote { path, etag } => {
                // It may be back since it was found gone: then nobody wants the object deleted.
                self.expect_no_file(path)?;
                self.top.check()?;
                self.session.client.delete_version(&self.key(path), etag).await?;
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
                rename(&self.file(path), &self.file(becomes), Target::MustBeFree)?;
                let fetched = self.download(path, None, down).await?;
                Ok(vec![fetched, self.upload(becomes, &Only::IfAbsent, up).await?])
            }
            Step::Remember { path, known } => Ok(vec![(path.clone(), Some(known.clone()))]),
            Step::Forget { path } => Ok(vec![(path.clone(), None)]),
        }
    }

    /// The file as it is now; `None`: there is nothing.
    fn now(&self, path: &str) -> Result<Option<Identity>, Failure> {
        match std::fs::symlink_metadata(self.file(path)) {
            Err(error) if is_gone(&error) => Ok(None),
            // A link or a folder is there now: nothing that may be read or replaced.
            Ok(meta) if !meta.is_file() => Err(Failure::Changed(self.file(path))),
            meta => Ok(Some(Identity::of(&meta.map_err(Failure::file(self.file(path)))?))),
        }
    }

    fn expect(&self, path: &str, expected: Option<Identity>) -> Result<(), Failure> {
        self.expect_folders(path)?;
        if self.now(path)? == expected { Ok(()) } else { Err(Failure::Changed(self.file(path))) }
    }

    /// A folder may be there: it is not the file that was deleted.
    fn expect_no_file(&self, path: &str) -> Result<(), Failure> {
        self.expect_folders(path)?;
        match std::fs::symlink_metadata(self.file(path)) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            _ => Err(Failure::Changed(self.file(path))),
        }
    }

    /// A link above a path would lead elsewhere.
    fn expect_folders(&self, path: &str) -> Result<(), Failure> {
        if self.top.leads_out(path) { Err(Failure::Changed(self.file(path))) } else { Ok(()) }
    }

    async fn upload(&self, path: &str, only: &Only, bar: Moving) -> Result<(String, Option<Known>), Failure> {
        self.expect_folders(path)?;
        // Taken before the file is read: whatever is written to it from now on makes it another one.
        let local = self.now(path)?.ok_or_else(|| Failure::Changed(self.file(path)))?;
        let stored = put_file(self.session, (&self.file(path), &self.key(path)), only, bar).await?;
        Ok((path.to_owned(), Some(Known { local, etag: stored.info.etag })))
    }

    async fn download(
        &self,
        path: &str,
        replaces: Option<Identity>,
        bar: Moving,
    ) -> Result<(String, Option<Known>), Failure> {
        let target = self.file(path);
        // Folders are made below: not in place of a volume that went.
        self.top.check()?;
        self.expect_folders(path)?;
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(Failure::file(folder))?;
        }
        let partial = Partial::among_others(&target);
        let fetched = get::fetch(self.session, &self.key(path), &partial, bar).await?;
        // Taken before others see the file: what they write to it makes it another one. Its name is no part of its identity.
        let data = partial.data();
        let local = Identity::of(&std::fs::symlink_metadata(data).map_err(Failure::file(data))?);
        if local.size != fetched.bytes {
            // Somebody else wrote to it.
            partial.discard().await;
            return Err(Failure::Changed(data.to_owned()));
        }
        self.expect(path, replaces)?;
        rename(data, &target, if replaces.is_some() { Target::IsReplaced } else { Target::MustBeFree })?;
        partial.forget_tag().await;
        Ok((path.to_owned(), Some(Known { local, etag: fetched.etag })))
    }

    /// Removes the folders above a deleted file that have nothing in them any more.
    fn remove_empty_folders(&self, path: &str) {
        let folders = Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        for folder in folders {
            if std::fs::remove_dir(self.top.path().join(folder)).is_err() {
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

/// What is at the name that a file is to get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    IsReplaced,
    MustBeFree,
}

/// # Errors
/// [`Failure::Changed`] where something is at a name that must be free.
fn rename(from: &Path, to: &Path, target: Target) -> Result<(), Failure> {
    if target == Target::MustBeFree {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Err(Failure::Changed(to.to_owned())),
            // Some network file systems cannot; it was free a moment ago.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return renamed.map_err(|error| Failure::file(to)(error.into())),
        }
    }
    std::fs::rename(from, to).map_err(Failure::file(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_must_be_free_is_not_taken_from_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("new"), "new").unwrap();
        std::fs::write(at("there"), "there").unwrap();
        assert!(matches!(rename(&at("new"), &at("there"), Target::MustBeFree), Err(Failure::Changed(_))));
        assert_eq!(std::fs::read(at("there")).unwrap(), b"there");
        let before = Identity::of(&std::fs::metadata(at("new")).unwrap());
        rename(&at("new"), &at("free"), Target::MustBeFree).unwrap();
        assert_eq!(
            Identity::of(&std::fs::metadata(at("free")).unwrap()),
            before,
            "its name is no part of it"
        );
        rename(&at("free"), &at("there"), Target::IsReplaced).unwrap();
        assert_eq!(std::fs::read(at("there")).unwrap(), b"new");
    }
}
