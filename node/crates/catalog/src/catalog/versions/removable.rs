//! The proof without which no version is lost. Nothing else makes one, and `edit` loses nothing without.

use super::Kept;
use crate::catalog::CatalogError;
use crate::model::{Grounds, Lock, Locked};
use crate::record::CurrentRecord;

/// Why a version does not go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::catalog) enum RemovalError {
    /// A lock keeps it.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What a lock may be on.
pub(in crate::catalog) trait Lockable {
    fn lock(&self) -> Lock;
}

impl Lockable for CurrentRecord {
    fn lock(&self) -> Lock {
        self.lock
    }
}

impl Lockable for Kept {
    fn lock(&self) -> Lock {
        self.record.lock
    }
}

/// A version, as its row in a view says, whose lock was held against the clock and lets it go.
pub(in crate::catalog) struct Removable<'a, T>(&'a T);

impl<'a, T: Lockable> Removable<'a, T> {
    /// # Errors
    /// What keeps it.
    pub(in crate::catalog) fn judge(version: &'a T, grounds: Grounds) -> Result<Self, Locked> {
        version.lock().lets_go(grounds)?;
        Ok(Self(version))
    }

    pub(super) fn version(&self) -> &'a T {
        self.0
    }
}
