//! Faults of the kind that programmers make, planted to see that the simulation finds them.

use datamesh_mesh::planted::Planted;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A disk says that a shard is durable before its sync has passed.
    AcknowledgedBeforeDurable,
    /// A node forgets what was deleted, so a steward that acts on an old inventory brings it back.
    DeleteForgotten,
    /// A disk gives what has rotted as if it were sound.
    RotUnseen,
    /// A shard that is on its way home is deleted before its home has it.
    HomedTooEarly,
    /// A node says that it has no shards any more while it has some.
    EmptyTooEarly,
    /// Segments that are coded anew take the place of the old ones before anybody knows that they are durable.
    SwappedTooEarly,
    /// A node takes what was placed by an older epoch than it knows.
    StaleEpochTaken,
    /// A steward proves neither what it rebuilds from nor what it has rebuilt, and a disk keeps it as it comes. Either alone
    /// does no harm: a disk proves each shard before it keeps it, and nobody but a steward makes any.
    RepairUnproven,
    /// A disk deletes a shard whatever its generation. As long as each segment is sealed with a fresh key (ADR 6) nobody puts
    /// one again, and this does no harm: what puts it again here is `again`, in the way of deduplication.
    DeleteOfAnyGeneration,
    /// A put writes its references down after its shards were sent.
    ReferenceAfterShards,
    /// What is deleted goes at once although the newest backup of the catalog still refers to it.
    DeletedBeforeBackup,
    /// A backup of the catalog says that nothing has changed since its last part, whatever has.
    BackupSeesNoChange,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AcknowledgedBeforeDurable,
        Self::DeleteForgotten,
        Self::RotUnseen,
        Self::HomedTooEarly,
        Self::EmptyTooEarly,
        Self::SwappedTooEarly,
        Self::StaleEpochTaken,
        Self::RepairUnproven,
        Self::DeleteOfAnyGeneration,
        Self::ReferenceAfterShards,
        Self::DeletedBeforeBackup,
        Self::BackupSeesNoChange,
    ];

    /// What of it is in the code that runs in the simulation; the rest is in the world around.
    pub(crate) fn planted(self) -> Option<Planted> {
        match self {
            Self::StaleEpochTaken => Some(Planted::StaleEpochTaken),
            Self::RepairUnproven => Some(Planted::RepairUnproven),
            Self::ReferenceAfterShards => Some(Planted::ReferenceAfterShards),
            Self::SwappedTooEarly => Some(Planted::SwappedTooEarly),
            Self::DeletedBeforeBackup => Some(Planted::DeletedBeforeBackup),
            Self::BackupSeesNoChange => Some(Planted::BackupSeesNoChange),
            _ => None,
        }
    }
}
