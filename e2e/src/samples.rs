//! What is stored in tests: real files of this machine, and random bytes that a seed brings back.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use bytes::Bytes;

/// Real files below `folder`, in the order of their names, until they sum up to `bytes`. Empty ones are among them.
///
/// # Errors
/// The folder has less than that.
pub fn real_files(folder: &Path, bytes: u64) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut sum, mut folders) = (Vec::new(), 0, vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                sum += entry.metadata()?.len();
                found.push(entry.path());
            }
            if sum >= bytes {
                return Ok(found);
            }
        }
    }
    ensure!(sum >= bytes, "{} holds {sum} bytes of files, {bytes} are needed", folder.display());
    Ok(found)
}

/// `len` bytes that never repeat and cannot be compressed, the same for the same seed and number.
#[must_use]
pub fn random_bytes(seed: u64, number: u64, len: usize) -> Bytes {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
    let mut bytes = vec![0; len];
    hasher.finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// A fresh seed. Print it.
///
/// # Errors
/// The operating system gives no randomness.
pub fn seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_the_same_bytes_back_and_numbers_differ() {
        assert_eq!(random_bytes(7, 1, 100), random_bytes(7, 1, 100));
        assert_ne!(random_bytes(7, 1, 100), random_bytes(7, 2, 100));
        assert_ne!(random_bytes(8, 1, 100), random_bytes(7, 1, 100));
    }

    #[test]
    fn files_are_taken_until_they_suffice() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), [0; 10]).unwrap();
        }
        assert_eq!(real_files(folder.path(), 15).unwrap().len(), 2);
        assert!(real_files(folder.path(), 31).is_err());
    }
}
