//! Mistakes that the simulation plants, to see that it finds them. Only the feature `planted-bugs`, which nothing but the
//! simulation asks for, makes them possible; only the simulation makes them.

/// A mistake in code of this crate or of the gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A node takes what was placed by an older epoch than it knows.
    StaleEpochTaken,
    /// A steward proves neither what it rebuilds from nor what it has rebuilt.
    RepairUnproven,
    /// A put writes its references down after its shards were sent.
    ReferenceAfterShards,
    /// Segments that are coded anew take the place of the old ones as soon as they are sent.
    SwappedTooEarly,
    /// What is deleted goes at once although the newest backup of the catalog still refers to it.
    DeletedBeforeBackup,
    /// A backup of the catalog says that nothing has changed since its last part, whatever has.
    BackupSeesNoChange,
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        /// A simulated cluster is one thread.
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Plants a mistake in all that runs on this thread from now on, in place of an earlier one.
    pub fn plant(mistake: Option<Planted>) {
        PLANTED.set(mistake);
    }

    /// Whether this mistake was planted.
    #[must_use]
    pub fn is_planted(mistake: Planted) -> bool {
        PLANTED.get() == Some(mistake)
    }
}

#[cfg(feature = "planted-bugs")]
pub use planting::{is_planted, plant};

/// Whether this mistake was planted.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is_planted(_: Planted) -> bool {
    false
}
