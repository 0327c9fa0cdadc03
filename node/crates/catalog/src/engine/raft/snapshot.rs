//! A snapshot is the rows of a replica, in parts: read from one moment of them, written beside those of another replica
//! and adopted when the last part is there. Neither side has more than one part in memory, and none is a file.

use std::io;
use std::sync::Arc;

use openraft::type_config::alias::SnapshotOf;
use rocksdb::{WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

use super::changes_rows::EngineRow;
use super::limits::PART_BYTES_MAX;
use super::record::AppliedRecord;
use super::types::{SnapshotMeta, Types};
use super::volume::Volume;
use crate::engine::RocksView;
use crate::engine::rocks::{Rows, row};
use crate::keyspace::{KeyRange, RangeLimits, Revision, Row};

/// A snapshot as openraft hands it around.
pub(super) type StateSnapshot = SnapshotOf<Types, SnapshotData>;

/// Rows that a snapshot is, or is made from.
#[derive(Clone)]
pub enum SnapshotData {
    /// The rows of this volume when they are asked for: at least as new as the snapshot says.
    Of(Arc<Volume>),
    /// Rows that lie ready beside those that count.
    Staged(u64),
}

/// A row on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRecord {
    /// Its key.
    #[serde(with = "crate::record::bytes")]
    pub key: Vec<u8>,
    /// The commit that wrote it.
    pub version: Revision,
    /// Its value.
    #[serde(with = "crate::record::bytes")]
    pub value: Vec<u8>,
}

impl From<Row> for RowRecord {
    fn from(Row { key, version, value }: Row) -> Self {
        Self { key, version, value }
    }
}

/// Reads the parts of one moment, one after the other.
pub(super) struct Parts<'a> {
    view: RocksView<'a>,
    rest: Option<KeyRange>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(volume: &'a Volume) -> io::Result<Self> {
        Ok(Self::of_rows(&volume.rows().map_err(io::Error::other)?))
    }

    pub(super) fn of_rows(rows: &Rows<'a>) -> Self {
        Self { view: rows.view(), rest: Some(KeyRange { start: Vec::new(), end: None }) }
    }

    /// The next rows, and whether they are the last; absent after these.
    pub(super) fn next(&mut self) -> io::Result<Option<(Vec<RowRecord>, bool)>> {
        let Some(range) = self.rest.take() else { return Ok(None) };
        let limits = RangeLimits { rows: usize::MAX, bytes: PART_BYTES_MAX };
        let page = self.view.all_in(&range, limits).map_err(io::Error::other)?;
        if page.more {
            self.rest = page.rows.last().map(|row| range.after(&row.key));
        }
        let last = self.rest.is_none();
        Ok(Some((page.rows.into_iter().map(RowRecord::from).collect(), last)))
    }
}

impl SnapshotData {
    /// Waits until the rows of now are durable, so that the log before them can go.
    pub(super) async fn durable(&self) -> io::Result<()> {
        match self {
            Self::Of(volume) => volume.flusher().durable().await,
            Self::Staged(_) => Ok(()),
        }
    }

    /// The rows, ready in this volume, and proven to be those that the snapshot says.
    pub(super) fn staged_in(self, volume: &Volume, meta: &SnapshotMeta) -> io::Result<u64> {
        let generation = match self {
            Self::Staged(generation) => generation,
            Self::Of(source) => copy(&source, volume)?,
        };
        if staged_meta(volume, generation)? == *meta {
            return Ok(generation);
        }
        volume.drop_staged(generation)?;
        Err(io::Error::other("the rows of a snapshot are not those it names"))
    }
}

fn copy(source: &Volume, target: &Volume) -> io::Result<u64> {
    let (mut parts, generation) = (Parts::of(source)?, target.stage()?);
    while let Some((rows, _)) = parts.next()? {
        add(target, generation, &rows)?;
    }
    Ok(generation)
}

/// Adds rows to a staged state. They become durable when it is adopted.
pub(super) fn add(volume: &Volume, generation: u64, rows: &[RowRecord]) -> io::Result<()> {
    let staged = volume.staged_rows(generation)?;
    let mut batch = WriteBatch::default();
    for RowRecord { key, version, value } in rows {
        batch.put_cf(staged.family(), key, row::encode(*version, value));
    }
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    volume.db().write_opt(batch, &options).map_err(io::Error::other)
}

/// How far a staged state is.
pub(super) fn staged_meta(volume: &Volume, generation: u64) -> io::Result<SnapshotMeta> {
    let row = volume.staged_rows(generation)?.get(AppliedRecord::KEY).map_err(io::Error::other)?;
    let applied = AppliedRecord::read(row)?.unwrap_or_default();
    let meta = applied.meta().ok_or_else(|| io::Error::other("a snapshot without its place"))?;
    Ok(meta)
}
