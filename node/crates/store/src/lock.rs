//! One process per folder: an exclusive `flock` that the kernel drops with its holder.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datamesh_shard::Incarnation;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::OpenError;

const FILE_NAME: &str = "LOCK";
/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// A waiter says so after this long; then again after twice the pause before, as often as it waits.
const REMIND_FIRST: Duration = Duration::from_secs(1);
/// Bytes of the holder's note shown at most.
const NOTE_BYTES_MAX: usize = 200;

/// Held as long as it lives.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `dir`, waiting up to `wait` for its holder.
    pub(crate) fn acquire(dir: &Path, wait: Duration) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(OpenError::io(&path))?;
        let since = Instant::now();
        let mut reminder = Reminder::new();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file, path }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if since.elapsed() < wait => {
                    let waited = since.elapsed();
                    if reminder.is_due(waited) {
                        warn_of_waiting(&path, &holder(&file), waited, wait);
                    }
                    std::thread::sleep(RETRY);
                }
                Err(Errno::WOULDBLOCK) => {
                    let waited_seconds = since.elapsed().as_secs();
                    return Err(OpenError::Locked { path, holder: holder(&file), waited_seconds });
                }
                Err(errno) => return Err(OpenError::Io { path, source: errno.into() }),
            }
        }
    }

    /// Leaves a note for whoever waits: who holds the lock.
    pub(crate) fn note(&self, incarnation: Incarnation) -> Result<(), OpenError> {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let text = format!("process {} on {host}, incarnation {incarnation}\n", std::process::id());
        let write = || -> io::Result<()> {
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.set_len(u64::try_from(text.len()).unwrap_or(0))
        };
        write().map_err(OpenError::io(&self.path))
    }
}

/// When a waiter speaks: growing pauses, so that a long wait does not fill the log.
struct Reminder {
    due: Duration,
    pause: Duration,
}

impl Reminder {
    fn new() -> Self {
        Self { due: REMIND_FIRST, pause: REMIND_FIRST }
    }

    /// Whether it is time to speak, `waited` after the wait began.
    fn is_due(&mut self, waited: Duration) -> bool {
        if waited < self.due {
            return false;
        }
        self.pause *= 2;
        self.due = waited + self.pause;
        true
    }
}

fn warn_of_waiting(path: &Path, holder: &str, waited: Duration, wait: Duration) {
    tracing::warn!(
        path = %path.display(),
        holder,
        waited_seconds = waited.as_secs(),
        gives_up_after_seconds = wait.as_secs(),
        "the volume is in use by another process, waiting for it to let go: it opens by itself once that process has \
         ended. If it is not ending, stop it, or give this node a folder of its own"
    );
}

fn holder(file: &File) -> String {
    let mut note = [0; NOTE_BYTES_MAX];
    let read = file.read_at(&mut note, 0).unwrap_or(0);
    let note: String = String::from_utf8_lossy(&note[..read]).chars().filter(|c| !c.is_control()).collect();
    if note.is_empty() { "a process that left no note".into() } else { note }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What is logged while `act` runs on this thread.
    fn logged(act: impl FnOnce()) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let writer = Arc::new(file.reopen().unwrap());
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
        tracing::subscriber::with_default(log, act);
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn whoever_waits_says_so_and_for_whom() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::acquire(dir.path(), Duration::ZERO).unwrap();
        held.note(Incarnation(7)).unwrap();
        let try_for = |wait| logged(|| assert!(Lock::acquire(dir.path(), wait).is_err()));
        let text = try_for(REMIND_FIRST + 5 * RETRY);
        assert_eq!(text.matches("WARN").count(), 1, "{text}");
        let path = dir.path().join(FILE_NAME).display().to_string();
        let process = format!("process {} on ", std::process::id());
        for part in [path.as_str(), process.as_str(), "incarnation 7", "stop it"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(try_for(5 * RETRY), "", "a short wait is nothing to speak of");
    }

    #[test]
    fn reminders_come_at_growing_intervals() {
        let mut reminder = Reminder::new();
        let due: Vec<u64> = (0..40).filter(|second| reminder.is_due(Duration::from_secs(*second))).collect();
        assert_eq!(due, [1, 3, 7, 15, 31]);
    }
}
