//! What changes in a folder, as the kernel tells it (inotify), gathered until it is quiet for a moment.

use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;

/// Without an event for this long, what came before is looked at: whoever writes files writes several.
const QUIET: Duration = Duration::from_millis(500);
/// After this long it is looked at although there is no quiet.
const LONGEST: Duration = Duration::from_secs(10);
/// Paths that are remembered; above, all of the folder is looked at.
const PATHS_MAX: usize = 10_000;
/// Bytes of events that are read at once.
const EVENT_BYTES: usize = 16 << 10;

/// What is to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// Paths below the folder, and what is below them.
    Paths(BTreeSet<String>),
    /// Changes were missed.
    Anything,
}

impl Changed {
    fn none() -> Self {
        Self::Paths(BTreeSet::new())
    }

    fn add(&mut self, path: String) {
        match self {
            Self::Paths(paths) if paths.len() < PATHS_MAX => drop(paths.insert(path)),
            _ => *self = Self::Anything,
        }
    }
}

/// Tells of changes until it is dropped.
pub(super) struct Watch {
    events: AsyncFd<OwnedFd>,
    top: PathBuf,
    folders: Folders,
}

/// The watched folders' paths below the top by their numbers. One that is moved keeps its number.
type Folders = HashMap<i32, String>;

/// Written files, what came, what went; that the volume goes is always told. A file is looked at when its writer closes it.
fn wanted() -> WatchFlags {
    WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW
}

impl Watch {
    /// # Errors
    /// When the system refuses: mostly too many folders for its limit.
    pub(super) fn of(folder: &Path) -> Result<Self, Failure> {
        let top = folder.canonicalize().map_err(Failure::file(folder))?;
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|error| Failure::file(folder)(error.into()))?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for the sake of types that change their descriptor; this one does not"
        )]
        let events = AsyncFd::new(events)?;
        let mut watch = Self { events, top, folders: Folders::new() };
        watch.follow(String::new())?;
        Ok(watch)
    }

    /// Watches a folder and all below it.
    fn follow(&mut self, below: String) -> Result<(), Failure> {
        let mut waiting = vec![below];
        while let Some(below) = waiting.pop() {
            let path = self.top.join(&below);
            match inotify::add_watch(self.events.get_ref(), &path, wanted()) {
                // Gone, or no folder any more, since it was told of.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !below.is_empty() => continue,
                Err(Errno::NOSPC) => return Err(too_many(&path)),
                Err(error) => return Err(Failure::file(path)(error.into())),
                Ok(number) => drop(self.folders.insert(number, below.clone())),
            }
            let Ok(entries) = std::fs::read_dir(&path) else { continue };
            let folders = entries
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
            waiting.extend(names.map(|name| joined(&below, &name)));
        }
        Ok(())
    }

    /// Waits for changes, and then until it is quiet.
    pub(super) async fn next(&mut self) -> Result<Changed, Failure> {
        let mut changed = Changed::none();
        while changed == Changed::none() {
            self.gather(&mut changed).await?;
        }
        let latest = Instant::now() + LONGEST;
        while let Ok(gathered) =
            timeout_at(latest.min(Instant::now() + QUIET), self.gather(&mut changed)).await
        {
            gathered?;
        }
        Ok(changed)
    }

    /// Forgets a folder that was moved, and all below it. Within the top it comes again under its new name.
    fn unfollow(&mut self, moved: &str) {
        let is_below = |path: &str| {
            path.strip_prefix(moved).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for (number, _) in self.folders.extract_if(|_, path| is_below(path)) {
            // If it is gone by now, so is its watch.
            let _ = inotify::remove_watch(self.events.get_ref(), number);
        }
    }

    /// Waits for events and adds what they are about.
    async fn gather(&mut self, changed: &mut Changed) -> Result<(), Failure> {
        let mut folders = Vec::new();
        {
            let mut ready = self.events.readable().await?;
            let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
            let mut events = inotify::Reader::new(self.events.get_ref(), &mut buffer);
            loop {
                match events.next() {
                    Ok(event) => folders.extend(seen(&self.top, &mut self.folders, &event, changed)?),
                    Err(Errno::AGAIN) => break,
                    Err(error) => return Err(Failure::Io(error.into())),
                }
            }
            ready.clear_ready();
        }
        // Before anybody looks at it: what is written there from now on is told, what was written before is found.
        folders.into_iter().try_for_each(|folder| match folder {
            Folder::Came(path) => self.follow(path),
            Folder::Left(path) => {
                self.unfollow(&path);
                Ok(())
            }
        })
    }
}

/// What is to be done about a folder.
#[derive(Debug, PartialEq, Eq)]
enum Folder {
    Came(String),
    Left(String),
}

/// Adds what an event is about; gives a folder that came or left.
///
/// # Errors
/// When the volume of a folder was unmounted: what is missing then was not deleted.
fn seen(
    top: &Path,
    folders: &mut Folders,
    event: &inotify::Event<'_>,
    changed: &mut Changed,
) -> Result<Option<Folder>, Failure> {
    let flags = event.events();
    if flags.contains(ReadFlags::UNMOUNT) {
        return Err(Failure::Gone(
            folders.get(&event.wd()).map_or_else(|| top.to_owned(), |folder| top.join(folder)),
        ));
    }
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        *changed = Changed::Anything;
        // Also of folders that came nothing was told: each is watched anew, under the path that it has now.
        return Ok(Some(Folder::Came(String::new())));
    }
    if flags.contains(ReadFlags::IGNORED) {
        if folders.remove(&event.wd()).is_some_and(|folder| folder.is_empty()) {
            return Err(Failure::Gone(top.to_owned()));
        }
        return Ok(None);
    }
    let (Some(folder), Some(Ok(name))) =
        (folders.get(&event.wd()), event.file_name().map(|name| name.to_str()))
    else {
        // Of a folder that left, or of a name that is not UTF-8.
        *changed = Changed::Anything;
        return Ok(None);
    };
    let path = joined(folder, name);
    let is_folder = flags.contains(ReadFlags::ISDIR);
    if is_folder || !flags.contains(ReadFlags::CREATE) || is_written(&top.join(&path)) {
        changed.add(path.clone());
    }
    Ok(match is_folder {
        true if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => Some(Folder::Came(path)),
        true if flags.contains(ReadFlags::MOVED_FROM) => Some(Folder::Left(path)),
        _ => None,
    })
}

/// Whether a file that came has bytes already. One that is opened anew has none, and is closed later; one that comes by `link(2)` has
/// all, and nobody closes it.
fn is_written(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path)
        .is_ok_and(|meta| !meta.is_dir() && (!meta.is_file() || meta.len() > 0 || meta.nlink() > 1))
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn too_many(path: &Path) -> Failure {
    Failure::Usage(format!(
        "{} cannot be watched: the system's limit is reached; raise the sysctl fs.inotify.max_user_watches, or run mirror \
         without --watch at intervals",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told once all of `expected` is.
    async fn told(watch: &mut Watch, expected: &[&str]) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        while !expected.iter().all(|path| all.contains(*path)) {
            match watch.next().await.unwrap() {
                Changed::Paths(paths) => all.extend(paths),
                Changed::Anything => unreachable!("nothing was lost"),
            }
        }
        all
    }

    #[tokio::test]
    async fn what_changes_is_told_also_in_folders_that_came_later_or_moved() {
        let top = tempfile::tempdir().unwrap();
        let at = |path: &str| top.path().join(path);
        std::fs::create_dir_all(at("old/deep")).unwrap();
        let mut watch = Watch::of(top.path()).unwrap();
        std::fs::write(at("old/deep/a"), "a").unwrap();
        assert_eq!(told(&mut watch, &["old/deep/a"]).await.len(), 1);
        std::fs::create_dir_all(at("new/deep")).unwrap();
        told(&mut watch, &["new"]).await;
        std::fs::write(at("new/deep/b"), "b").unwrap();
        told(&mut watch, &["new/deep/b"]).await;
        std::fs::rename(at("old"), at("moved")).unwrap();
        told(&mut watch, &["old", "moved"]).await;
        std::fs::remove_file(at("moved/deep/a")).unwrap();
        told(&mut watch, &["moved/deep/a"]).await;
    }

    /// As git, Maildir and all who write a file before it has its name.
    #[tokio::test]
    async fn files_that_come_by_link_are_told() {
        let top = tempfile::tempdir().unwrap();
        let at = |path: &str| top.path().join(path);
        let mut watch = Watch::of(top.path()).unwrap();
        std::fs::write(at("tmp"), "all").unwrap();
        told(&mut watch, &["tmp"]).await;
        std::fs::hard_link(at("tmp"), at("object")).unwrap();
        std::fs::remove_file(at("tmp")).unwrap();
        told(&mut watch, &["object"]).await;
    }

    #[tokio::test]
    async fn a_folder_that_left_is_not_followed_and_the_top_ends_it() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        std::fs::create_dir_all(at("top/a/deep")).unwrap();
        let mut watch = Watch::of(&at("top")).unwrap();
        std::fs::rename(at("top/a"), at("away")).unwrap();
        told(&mut watch, &["a"]).await;
        assert_eq!(watch.folders.values().collect::<Vec<_>>(), [""]);
        std::fs::remove_dir(at("top")).unwrap();
        assert!(matches!(watch.next().await, Err(Failure::Gone(_))));
    }

    /// A folder of which nothing was told is watched once the system says that it lost count.
    #[tokio::test]
    async fn after_lost_events_all_folders_are_watched() {
        let top = tempfile::tempdir().unwrap();
        let at = |path: &str| top.path().join(path);
        let mut watch = Watch::of(top.path()).unwrap();
        let queued = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        // Each is told twice at least: that it came, and that it went.
        for _ in 0..=queued.trim().parse::<u32>().unwrap() / 2 {
            std::fs::write(at("x"), "").unwrap();
            std::fs::remove_file(at("x")).unwrap();
        }
        std::fs::create_dir(at("unseen")).unwrap();
        assert_eq!(watch.next().await.unwrap(), Changed::Anything);
        std::fs::write(at("unseen/b"), "b").unwrap();
        told(&mut watch, &["unseen/b"]).await;
    }

    #[test]
    fn many_changes_are_looked_at_as_a_whole() {
        let mut changed = Changed::none();
        (0..PATHS_MAX).for_each(|number| changed.add(number.to_string()));
        assert!(matches!(changed, Changed::Paths(_)));
        changed.add("one more".into());
        assert_eq!(changed, Changed::Anything);
        changed.add("and another".into());
        assert_eq!(changed, Changed::Anything);
    }
}
