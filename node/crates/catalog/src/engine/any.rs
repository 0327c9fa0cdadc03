use super::moving::MovingKeyspace;
use super::raft::RaftKeyspace;
use super::{
    EngineError, MemoryKeyspace, MemoryView, PostgresKeyspace, PostgresView, RocksKeyspace, RocksView,
};
use crate::keyspace::{
    Batch, Changes, ChangesError, CommitError, KeyRange, Keyspace, RangeLimits, RangePage, ReadError,
    Revision, Versioned, View,
};

/// A keyspace of any engine: which one is chosen when it is opened, not when the program is built.
#[derive(Clone, Debug)]
pub enum AnyKeyspace {
    /// On this machine's disk.
    Rocks(RocksKeyspace),
    /// In a PostgreSQL database.
    Postgres(PostgresKeyspace),
    /// In memory: nothing is durable.
    Memory(MemoryKeyspace),
    /// On a group of replicas.
    Raft(RaftKeyspace),
    /// On one of them, and soon on another.
    Moving(MovingKeyspace),
}

/// Its state at one moment.
#[derive(Debug)]
pub enum AnyView<'a> {
    /// On this machine's disk, a replica's too.
    Rocks(RocksView<'a>),
    /// In a PostgreSQL database.
    Postgres(Box<PostgresView>),
    /// In memory.
    Memory(MemoryView),
}

impl From<RocksKeyspace> for AnyKeyspace {
    fn from(keyspace: RocksKeyspace) -> Self {
        Self::Rocks(keyspace)
    }
}

impl From<RaftKeyspace> for AnyKeyspace {
    fn from(keyspace: RaftKeyspace) -> Self {
        Self::Raft(keyspace)
    }
}

impl From<MemoryKeyspace> for AnyKeyspace {
    fn from(keyspace: MemoryKeyspace) -> Self {
        Self::Memory(keyspace)
    }
}

impl From<PostgresKeyspace> for AnyKeyspace {
    fn from(keyspace: PostgresKeyspace) -> Self {
        Self::Postgres(keyspace)
    }
}

impl From<MovingKeyspace> for AnyKeyspace {
    fn from(keyspace: MovingKeyspace) -> Self {
        Self::Moving(keyspace)
    }
}

impl AnyKeyspace {
    /// The one it is on now.
    #[must_use]
    pub fn current(&self) -> &Self {
        match self {
            Self::Moving(keyspace) => keyspace.current(),
            settled => settled,
        }
    }

    /// Whether it is in a database that others keep: neither its copies nor its files are ours to count and clean.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.current(), Self::Postgres(_))
    }

    /// Lets it count its commits from there on, at least. Nobody may have it open as a catalog. A database can; the others begin so when
    /// they are made.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn begin_above(&self, revision: Revision) -> Result<(), CommitError> {
        match self {
            Self::Postgres(keyspace) => keyspace.begin_above(revision).await,
            Self::Rocks(_) | Self::Memory(_) | Self::Raft(_) | Self::Moving(_) => Ok(()),
        }
    }

    /// Takes what was deleted or replaced in these ranges out of the engine's files, if it has any here. Blocks.
    ///
    /// # Errors
    /// The engine's faults.
    pub fn purge(&self, ranges: &[KeyRange]) -> Result<(), EngineError> {
        match self {
            Self::Rocks(keyspace) => keyspace.purge(ranges),
            Self::Postgres(_) | Self::Memory(_) => Ok(()),
            Self::Raft(keyspace) => keyspace.purge(ranges),
            Self::Moving(keyspace) => keyspace.current().purge(ranges),
        }
    }

    /// Waits until a write has failed: from then on no commit succeeds until the keyspace is opened again. In memory none
    /// ever fails.
    pub async fn write_failed(&self) {
        match self {
            Self::Rocks(keyspace) => keyspace.write_failed().await,
            Self::Postgres(_) | Self::Memory(_) => std::future::pending().await,
            Self::Raft(keyspace) => keyspace.write_failed().await,
            Self::Moving(keyspace) => keyspace.write_failed().await,
        }
    }
}

impl Keyspace for AnyKeyspace {
    type View<'a> = AnyView<'a>;

    async fn view(&self) -> Result<AnyView<'_>, ReadError> {
        Ok(match self {
            Self::Rocks(keyspace) => AnyView::Rocks(keyspace.view().await?),
            Self::Postgres(keyspace) => AnyView::Postgres(Box::new(keyspace.view().await?)),
            Self::Memory(keyspace) => AnyView::Memory(keyspace.view().await?),
            Self::Raft(keyspace) => AnyView::Rocks(keyspace.view().await?),
            Self::Moving(keyspace) => keyspace.view().await?,
        })
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        match self {
            Self::Rocks(keyspace) => keyspace.get(key).await,
            Self::Postgres(keyspace) => keyspace.get(key).await,
            Self::Memory(keyspace) => keyspace.get(key).await,
            Self::Raft(keyspace) => keyspace.get(key).await,
            Self::Moving(keyspace) => keyspace.get(key).await,
        }
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        match self {
            Self::Rocks(keyspace) => keyspace.commit(batch).await,
            Self::Postgres(keyspace) => keyspace.commit(batch).await,
            Self::Memory(keyspace) => keyspace.commit(batch).await,
            Self::Raft(keyspace) => keyspace.commit(batch).await,
            Self::Moving(keyspace) => keyspace.commit(batch).await,
        }
    }

    async fn changes_since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        match self {
            Self::Rocks(keyspace) => keyspace.changes_since(since, limit).await,
            Self::Postgres(keyspace) => keyspace.changes_since(since, limit).await,
            Self::Memory(keyspace) => keyspace.changes_since(since, limit).await,
            Self::Raft(keyspace) => keyspace.changes_since(since, limit).await,
            Self::Moving(keyspace) => keyspace.changes_since(since, limit).await,
        }
    }

    async fn past_fence(&self) -> bool {
        match self {
            Self::Moving(keyspace) => keyspace.past_fence().await,
            Self::Rocks(_) | Self::Postgres(_) | Self::Memory(_) | Self::Raft(_) => false,
        }
    }
}

impl View for AnyView<'_> {
    async fn revision(&self) -> Result<Revision, ReadError> {
        match self {
            Self::Rocks(view) => view.revision().await,
            Self::Postgres(view) => view.revision().await,
            Self::Memory(view) => view.revision().await,
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        match self {
            Self::Rocks(view) => view.get(key).await,
            Self::Postgres(view) => view.get(key).await,
            Self::Memory(view) => view.get(key).await,
        }
    }

    async fn range(&self, range: &KeyRange, limits: RangeLimits) -> Result<RangePage, ReadError> {
        match self {
            Self::Rocks(view) => view.range(range, limits).await,
            Self::Postgres(view) => view.range(range, limits).await,
            Self::Memory(view) => view.range(range, limits).await,
        }
    }
}
