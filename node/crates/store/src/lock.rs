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
/// Bytes of the holder's note shown in an error at most.
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
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file, path }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if since.elapsed() < wait => std::thread::sleep(RETRY),
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

fn holder(file: &File) -> String {
    let mut note = [0; NOTE_BYTES_MAX];
    let read = file.read_at(&mut note, 0).unwrap_or(0);
    let note: String = String::from_utf8_lossy(&note[..read]).chars().filter(|c| !c.is_control()).collect();
    if note.is_empty() { "a process that left no note".into() } else { note }
}
