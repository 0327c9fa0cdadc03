//! What a member's data folder has, and which of it counts. Two small files stand beside the database: the replica that it is, written
//! before it says anything to others, so that a database that was lost is not begun anew under the same id; and this gateway's
//! incarnation.

use std::io;
use std::path::{Path, PathBuf};

use datamesh_catalog::engine::RocksOptions;
use datamesh_catalog::engine::raft::{ReplicaId, import};
use datamesh_mesh::now_unix;
use datamesh_shard::Incarnation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::GroupError;
use crate::server::{CATALOG_DIR, write_synced};

/// Folder of the replica's database.
const REPLICA_DIR: &str = "replica";
/// What was the catalog of a single gateway, until it is removed.
const TAKEN_DIR: &str = "catalog.taken";
/// Says which replica takes part.
const MARK_FILE: &str = "catalog.replica";
const INCARNATION_FILE: &str = "incarnation";
/// The files' format.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
    replica: ReplicaId,
}

#[derive(Serialize, Deserialize)]
struct Count {
    version: u32,
    incarnation: Incarnation,
}

/// What is on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing that counts.
    Nothing,
    /// The catalog of a single gateway.
    Alone,
    /// A replica that takes part, or is about to.
    Replica,
}

/// A member's data folder.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) id: ReplicaId,
}

impl Folder {
    pub(crate) fn replica(&self) -> PathBuf {
        self.dir.join(REPLICA_DIR)
    }

    /// Looks. Blocking.
    pub(crate) fn look(&self) -> Result<Found, GroupError> {
        let (mark, single) = (self.dir.join(MARK_FILE), self.dir.join(CATALOG_DIR));
        match read::<Mark>(&mark)? {
            Some(found) if found.replica != self.id => {
                Err(GroupError::OtherReplica { path: mark, found: found.replica, own: self.id })
            }
            Some(_) if single.exists() => Err(GroupError::TwoHere(single)),
            Some(_) => Ok(Found::Replica),
            None if single.exists() => Ok(Found::Alone),
            // Its rows are in the replica, and it was moved aside after that.
            None if self.dir.join(TAKEN_DIR).exists() => Ok(Found::Replica),
            None => Ok(Found::Nothing),
        }
    }

    /// From here on the replica takes part, and must not be begun anew. Blocking.
    pub(crate) fn mark(&self) -> Result<(), GroupError> {
        write(&self.dir.join(MARK_FILE), &Mark { version: VERSION, replica: self.id })?;
        let taken = self.dir.join(TAKEN_DIR);
        match std::fs::remove_dir_all(&taken) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(GroupError::File { path: taken, source })
            }
            _ => Ok(()),
        }
    }

    /// Makes the catalog of a single gateway the replica's. Wherever that is cut off, the next call goes on.
    pub(crate) async fn take_over(&self) -> Result<(), GroupError> {
        let single = self.dir.join(CATALOG_DIR);
        import(&single, &self.replica(), self.id, RocksOptions::default()).await?;
        let taken = self.dir.join(TAKEN_DIR);
        let failed = |source| GroupError::File { path: single.clone(), source };
        std::fs::rename(&single, &taken).map_err(failed)?;
        sync(&self.dir).map_err(failed)?;
        Ok(())
    }
}

/// A gateway that keeps its catalog alone must not do so on a volume that has another's part. Blocking.
pub(crate) fn check_alone(dir: &Path) -> Result<(), GroupError> {
    let mark = dir.join(MARK_FILE);
    if mark.exists() { Err(GroupError::NotAlone(mark)) } else { Ok(()) }
}

/// This gateway's next incarnation, before a catalog can count them: above all of this file and, by the clock, above what a catalog
/// of a single gateway has counted. Blocking.
pub(crate) fn next_incarnation(dir: &Path) -> Result<Incarnation, GroupError> {
    let path = dir.join(INCARNATION_FILE);
    let before = read::<Count>(&path)?.map(|count| count.incarnation).unwrap_or_default();
    let incarnation = before.next().max(Incarnation(now_unix()));
    write(&path, &Count { version: VERSION, incarnation })?;
    Ok(incarnation)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, GroupError> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let read = serde_json::from_slice(&bytes);
            Ok(Some(read.map_err(|source| GroupError::Unread { path: path.into(), source })?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GroupError::File { path: path.into(), source }),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), GroupError> {
    let failed = |source| GroupError::File { path: path.into(), source };
    let text = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
    write_synced(path, &text).map_err(failed)
}

fn sync(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { dir: dir.path().to_owned(), id: 7 };
        (dir, folder)
    }

    #[test]
    fn what_counts_is_told_by_the_mark() {
        let (dir, folder) = folder();
        assert_eq!(folder.look().unwrap(), Found::Nothing);
        std::fs::create_dir(dir.path().join(CATALOG_DIR)).unwrap();
        assert_eq!(folder.look().unwrap(), Found::Alone);
        check_alone(dir.path()).unwrap();
        std::fs::rename(dir.path().join(CATALOG_DIR), dir.path().join(TAKEN_DIR)).unwrap();
        assert_eq!(folder.look().unwrap(), Found::Replica, "cut off before the mark");
        folder.mark().unwrap();
        assert!(!dir.path().join(TAKEN_DIR).exists());
        assert_eq!(folder.look().unwrap(), Found::Replica);
        assert!(check_alone(dir.path()).unwrap_err().to_string().contains("catalogMembers is empty"));
        std::fs::create_dir(dir.path().join(CATALOG_DIR)).unwrap();
        assert!(matches!(folder.look(), Err(GroupError::TwoHere(_))));
        let other = Folder { id: 8, ..folder };
        assert!(matches!(other.look(), Err(GroupError::OtherReplica { found: 7, own: 8, .. })));
    }

    #[test]
    fn golden_version_1() {
        let (dir, folder) = folder();
        folder.mark().unwrap();
        let golden = include_bytes!("../../tests/golden/catalog-replica-v1.json");
        assert_eq!(std::fs::read(dir.path().join(MARK_FILE)).unwrap(), golden.trim_ascii_end());
        let golden = include_bytes!("../../tests/golden/incarnation-v1.json");
        std::fs::write(dir.path().join(INCARNATION_FILE), golden).unwrap();
        assert_eq!(
            next_incarnation(dir.path()).unwrap(),
            Incarnation(1 << 40 | 1),
            "though the clock is behind"
        );
        std::fs::write(dir.path().join(INCARNATION_FILE), "{").unwrap();
        assert!(matches!(next_incarnation(dir.path()), Err(GroupError::Unread { .. })));
    }

    #[test]
    fn incarnations_begin_above_what_anybody_counted_and_rise() {
        let (dir, _) = folder();
        let first = next_incarnation(dir.path()).unwrap();
        assert!(first > Incarnation(1_700_000_000));
        assert!(next_incarnation(dir.path()).unwrap() > first);
    }
}
