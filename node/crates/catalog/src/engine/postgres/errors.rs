use std::error::Error;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::keyspace::{CommitError, ReadError};

/// Why the keyspace could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The connection string does not read. It is not shown: it may hold a password.
    #[error("the connection string of the catalog's database does not read: {0}")]
    Uri(&'static str),
    /// The certificates do not read.
    #[error("the CA certificates of the catalog's database do not read: {0}")]
    Certificates(String),
    /// Encryption is neither possible nor renounced.
    #[error(
        "the catalog's database would be reached unencrypted: give the certificate of its CA (`ca.crt`), or write \
         `sslmode=disable` into the connection string where the network is trusted"
    )]
    Unencrypted,
    /// The server gives no durability.
    #[error(
        "the catalog's database runs with {setting} = {value}, so a crash of it loses acknowledged writes: set it to on"
    )]
    NotDurable {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The tables were made by a later version.
    #[error(
        "the catalog's tables have format {found}, this version knows {known}: use the version that made them, or a later one"
    )]
    Format {
        /// Theirs.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// The database cannot be reached, or refuses.
    #[error("the catalog's database: {0}")]
    Database(String),
}

/// What went wrong between here and the database.
#[derive(Debug)]
pub(super) enum Fault {
    Pool(PoolError),
    Database(tokio_postgres::Error),
    /// No answer in time.
    Silent,
    /// The head is older than one that was seen: another server took over that has not all of it.
    WentBack {
        seen: u64,
        found: u64,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The driver's own text leaves out what the server said.
        let said = |error: &tokio_postgres::Error| match error.as_db_error() {
            Some(server) => format!("{} ({})", server.message(), server.code().code()),
            None => error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
        };
        match self {
            Self::Pool(PoolError::Backend(error)) | Self::Database(error) => f.write_str(&said(error)),
            Self::Pool(error) => error.fmt(f),
            Self::Silent => f.write_str("no answer in time"),
            Self::WentBack { seen, found } => write!(
                f,
                "revision {found} is its newest, and {seen} was acknowledged before: a server took over that has not all of it. \
                 Bring the right one back, or accept the loss by restarting the gateways"
            ),
        }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault.to_string())
    }
}

impl From<Fault> for CommitError {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault.to_string())
    }
}

impl From<Fault> for PostgresError {
    fn from(fault: Fault) -> Self {
        Self::Database(fault.to_string())
    }
}

/// The server goes down, comes up, is a standby by now, or wants the transaction once more.
const PASSING: [SqlState; 9] = [
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::READ_ONLY_SQL_TRANSACTION,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::T_R_DEADLOCK_DETECTED,
    // Behind another gateway that died with the head locked.
    SqlState::QUERY_CANCELED,
];

impl Fault {
    /// Whether it may be gone soon, so that what it stopped is worth another try.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Pool(PoolError::Backend(error)) | Self::Database(error) => match error.code() {
                Some(code) => PASSING.contains(code),
                // No answer of a server: the connection broke, or there is none.
                None => {
                    error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>())
                }
            },
            Self::Pool(PoolError::Timeout(_)) | Self::Silent => true,
            Self::Pool(_) | Self::WentBack { .. } => false,
        }
    }
}
