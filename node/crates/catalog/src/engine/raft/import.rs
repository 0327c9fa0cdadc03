//! Makes the catalog of a single volume that of a replica, which is a group of one then. The volume it comes from is only read.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rocksdb::DB;

use super::changes_rows::EngineRow;
use super::flush::FlushOn;
use super::log::VOTE_KEY;
use super::record::{AppliedRecord, MembersRecord, Place, VoteRecord};
use super::snapshot::{Parts, RowRecord, add};
use super::types::ReplicaId;
use super::volume::{OpenError, Volume};
use crate::engine::rocks::{RocksOptions, Rows, SINGLE_FAMILY, locked_or_other};
use crate::keyspace::ReadError;
use crate::record;

/// Where the rows stand in the new group's log: as if a first leader had written them there. Replicas that come later find nothing
/// before it, and are sent the rows.
const AT: Place = Place { term: 1, index: 1 };

/// Why a catalog did not become a replica's. What it comes from is as it was, and it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// One of the two volumes did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Rows were not read or not written.
    #[error("the catalog's rows were not copied to the replica's volume: {0}")]
    Copy(#[from] io::Error),
    /// Its newest revision does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The replica has rows already, perhaps older ones.
    #[error(
        "replica {0} has rows already, which an import would not replace: remove its folder if it never took part, and import again"
    )]
    NotBlank(ReplicaId),
}

/// Copies the catalog in `from` to the replica `id` in `to`. Its rows count there all at once, when they are durable. A replica
/// that has rows is refused: whether those are the newer ones is not known here.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(from: &Path, to: &Path, id: ReplicaId, options: RocksOptions) -> Result<(), ImportError> {
    let volume = Volume::open(to, (id, false), options, FlushOn::Thread)?;
    if volume.rows()?.get(AppliedRecord::KEY)?.is_some() {
        return Err(ImportError::NotBlank(id));
    }
    let (source, target) = (from.to_owned(), Arc::clone(&volume));
    let copying = tokio::task::spawn_blocking(move || copy(&source, &target, (id, options)));
    let generation = copying.await.map_err(io::Error::other)??;
    // In one log with what makes the rows count, and before it.
    volume.put_meta(VOTE_KEY, &VoteRecord { term: AT.term, candidate: id, won: true })?;
    volume.adopt(generation).await?;
    Ok(())
}

fn copy(from: &Path, volume: &Volume, (id, options): (ReplicaId, RocksOptions)) -> Result<u64, ImportError> {
    let families = [(SINGLE_FAMILY, options.database())];
    // Not for reading alone: so nobody else has it open.
    let source = DB::open_cf_with_opts(&options.database(), from, families);
    let source = source.map_err(|error| OpenError::from(locked_or_other(error)))?;
    let rows = Rows::of(&source, SINGLE_FAMILY)?;
    let (newest, generation) = (rows.newest_revision()?, volume.stage()?);
    let mut parts = Parts::of_rows(&rows);
    while let Some((part, _)) = parts.next()? {
        add(volume, generation, &part)?;
    }
    // It remembers no changes: checks of ranges that are older than this are refused, and made anew by their callers.
    let members = MembersRecord { voters: vec![[id].into()], learners: [].into() };
    let applied = AppliedRecord { at: Some(AT), members_at: Some(AT), members, floor: newest };
    let value = record::encode(&applied).map_err(io::Error::other)?;
    add(volume, generation, &[RowRecord { key: AppliedRecord::KEY.to_vec(), version: newest, value }])?;
    Ok(generation)
}
