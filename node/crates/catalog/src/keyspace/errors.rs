use super::Revision;

/// Why a read gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The engine's own fault, in its words.
    #[error("the catalog's engine failed to read: {0}")]
    Engine(String),
    /// A stored row is not what this engine writes.
    #[error("the catalog's row {key} is damaged: {detail}")]
    Damaged {
        /// Its key, in hexadecimal.
        key: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Nobody could say in time what the newest state is: no leader, or no majority to ask. Try again.
    #[error("the catalog has no leader that answers: {0}; try again")]
    NoLeader(String),
}

/// Why a batch was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A check failed; nothing was written.
    #[error("check {check} of the batch failed")]
    Conflict {
        /// The first one that failed, by its position in the batch.
        check: usize,
    },
    /// Above a limit; nothing was written.
    #[error("a batch of {items} items and {bytes} bytes is above the limits")]
    TooLarge {
        /// Checks or writes.
        items: usize,
        /// Bytes of keys and values.
        bytes: usize,
    },
    /// A key that is empty, too long or the engine's own; nothing was written.
    #[error("a key of {bytes} bytes is empty, too long, or begins with the reserved byte")]
    BadKey {
        /// Its length.
        bytes: usize,
    },
    /// An add to a row that is no counter; nothing was written.
    #[error("write {write} of the batch adds to a row that is no counter")]
    NotACounter {
        /// Its position in the batch.
        write: usize,
    },
    /// A check could not be evaluated; nothing was written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine failed to write; the outcome is unknown.
    #[error("the catalog's engine failed to write: {0}")]
    Engine(String),
    /// No leader took it in time; nothing was written. Try again.
    #[error("the catalog has no leader that takes commits: {0}; try again")]
    NoLeader(String),
    /// The engine is closed; the outcome is unknown.
    #[error("the catalog is closed")]
    Closed,
}

/// Why there are no changes to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangesError {
    /// The log begins after that revision.
    #[error("changes before revision {through} are no longer kept: read anew")]
    Forgotten {
        /// The oldest revision that can still be asked from.
        through: Revision,
    },
    /// A revision of the future: the asker knows another keyspace than this.
    #[error("revision {newest} is the newest: the asked one is from another keyspace")]
    Future {
        /// The newest there is.
        newest: Revision,
    },
    /// It could not be made sure that they are the newest.
    #[error(transparent)]
    Read(#[from] ReadError),
}
