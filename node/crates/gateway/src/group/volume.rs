//! What a member's data folder has, and which of it counts. Two small files stand beside the database: the replica that it is, written
//! before it says anything to others, so that a database that was lost is not begun anew under the same id; and this gateway's
//! incarnation.

use std::io;
use std::path::{Path, PathBuf};

use datamesh_catalog::engine::RocksOptions;
use datamesh_catalog::engine::raft::{ReplicaId, import};
use datamesh_mesh::now_unix;
use datamesh_shard::{Incarnation, NodeName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::GroupError;
use crate::server::{CATALOG_DIR, write_synced};

/// What was a replica, until it is removed.
const LEFT_DIR: &str = "replica.left";
/// Folder of the replica's database.
const REPLICA_DIR: &str = "replica";
/// What was the catalog of a single gateway, until it is removed.
const TAKEN_DIR: &str = "catalog.taken";
/// Says which replica takes part.
const MARK_FILE: &str = "catalog.replica";
const INCARNATION_FILE: &str = "incarnation";
/// The mark's format: since 2 it says whose it is.
const MARK_VERSION: u32 = 2;
/// The count's format.
const COUNT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
    replica: ReplicaId,
    /// The gateway that wrote it. On a copy of the volume another would be the same replica.
    #[serde(default)]
    node: Option<NodeName>,
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
    pub(crate) node: NodeName,
}

impl Folder {
    pub(crate) fn replica(&self) -> PathBuf {
        self.dir.join(REPLICA_DIR)
    }

    /// Looks. Blocking.
    pub(crate) fn look(&self) -> Result<Found, GroupError> {
        let (mark, single) = (self.dir.join(MARK_FILE), self.dir.join(CATALOG_DIR));
        let taken = self.dir.join(TAKEN_DIR);
        match read::<Mark>(&mark)? {
            Some(found) if found.replica != self.id => {
                Err(GroupError::OtherReplica { path: mark, found: found.replica, own: self.id })
            }
            Some(Mark { node: Some(found), .. }) if found != self.node => {
                Err(GroupError::OtherGateway { path: mark, found, own: self.node.clone() })
            }
            Some(_) if single.exists() => Err(GroupError::TwoHere(single)),
            Some(_) => Ok(Found::Replica),
            None if single.exists() && taken.exists() => Err(GroupError::TwoAlone { single, taken }),
            None if single.exists() => Ok(Found::Alone),
            // Its rows are in the replica, and it was moved aside after that.
            None if taken.exists() => Ok(Found::Replica),
            None => Ok(Found::Nothing),
        }
    }

    /// From here on the replica takes part, and must not be begun anew. Blocking.
    pub(crate) fn mark(&self) -> Result<(), GroupError> {
        let node = Some(self.node.clone());
        write(&self.dir.join(MARK_FILE), &Mark { version: MARK_VERSION, replica: self.id, node })?;
        remove(self.dir.join(TAKEN_DIR))
    }

    /// Makes the catalog of a single gateway the replica's. Wherever that is cut off, the next call begins anew, or goes on where
    /// nothing can have been written to the former any more.
    pub(crate) async fn take_over(&self) -> Result<(), GroupError> {
        self.copy().await?;
        self.set_aside()
    }

    /// A replica without a mark has never answered, and the catalog beside it may be newer: it goes first.
    async fn copy(&self) -> Result<(), GroupError> {
        remove(self.replica())?;
        let single = self.dir.join(CATALOG_DIR);
        Ok(import(&single, &self.replica(), self.id, RocksOptions::default()).await?)
    }

    /// From here on the replica has it, and no gateway opens it alone.
    fn set_aside(&self) -> Result<(), GroupError> {
        let single = self.dir.join(CATALOG_DIR);
        let failed = |source| GroupError::File { path: single.clone(), source };
        std::fs::rename(&single, self.dir.join(TAKEN_DIR)).map_err(failed)?;
        sync(&self.dir).map_err(failed)
    }
}

/// A gateway that keeps its catalog alone must not do so on a volume that has another's part, nor begin with nothing where its
/// catalog was being taken over. Blocking.
pub(crate) fn check_alone(dir: &Path) -> Result<(), GroupError> {
    let (mark, taken) = (dir.join(MARK_FILE), dir.join(TAKEN_DIR));
    match (mark.exists(), taken.exists()) {
        (true, _) => Err(GroupError::NotAlone(mark)),
        (_, true) => Err(GroupError::Taken { taken, single: dir.join(CATALOG_DIR) }),
        _ => Ok(()),
    }
}

/// Whether a volume has a replica that took part in a group. Blocking.
pub(crate) fn is_marked(dir: &Path) -> bool {
    dir.join(MARK_FILE).exists()
}

/// Whether a volume has a part of a catalog that several keep, or had one. Blocking.
pub(crate) fn has_part(dir: &Path) -> bool {
    [MARK_FILE, TAKEN_DIR].iter().any(|name| dir.join(name).exists())
}

/// The replica that takes part, by its mark, and where it is. Blocking.
pub(crate) fn part(dir: &Path) -> Result<Option<(PathBuf, ReplicaId)>, GroupError> {
    let mark = read::<Mark>(&dir.join(MARK_FILE))?;
    Ok(mark.map(|mark| (dir.join(REPLICA_DIR), mark.replica)))
}

/// Takes part no more, as the group is none any more. Cut off anywhere, it is called again. Blocking.
pub(crate) fn leave(dir: &Path) -> Result<(), GroupError> {
    let (replica, left, mark) = (dir.join(REPLICA_DIR), dir.join(LEFT_DIR), dir.join(MARK_FILE));
    let failed = |source| GroupError::File { path: replica.clone(), source };
    if replica.exists() {
        remove(left.clone())?;
        std::fs::rename(&replica, &left).map_err(failed)?;
        sync(dir).map_err(failed)?;
    }
    // A mark without a replica is a volume that was lost, but for beside this one.
    if left.exists() {
        std::fs::remove_file(&mark).map_err(|source| GroupError::File { path: mark, source })?;
        sync(dir).map_err(failed)?;
    }
    remove(left)
}

/// This gateway's next incarnation, before a catalog can count them: above all of this file and, by the clock, above what a catalog
/// of a single gateway has counted. Blocking.
pub(crate) fn next_incarnation(dir: &Path) -> Result<Incarnation, GroupError> {
    let path = dir.join(INCARNATION_FILE);
    let before = read::<Count>(&path)?.map(|count| count.incarnation).unwrap_or_default();
    let incarnation = before.next().max(Incarnation(now_unix()));
    write(&path, &Count { version: COUNT_VERSION, incarnation })?;
    Ok(incarnation)
}

/// The incarnation of a gateway that keeps no replica: the catalog's, or above all that it had while it kept one. Others remember the
/// highest of its key. Blocking.
pub(crate) fn incarnation_alone(dir: &Path, of_catalog: Incarnation) -> Result<Incarnation, GroupError> {
    match dir.join(INCARNATION_FILE).exists() {
        true => Ok(next_incarnation(dir)?.max(of_catalog)),
        false => Ok(of_catalog),
    }
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

/// A folder, if it is there.
fn remove(dir: PathBuf) -> Result<(), GroupError> {
    match std::fs::remove_dir_all(&dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(GroupError::File { path: dir, source })
        }
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
