//! Faults of the kind that programmers make, planted to see that the simulation finds them.

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
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AcknowledgedBeforeDurable,
        Self::DeleteForgotten,
        Self::RotUnseen,
        Self::HomedTooEarly,
        Self::EmptyTooEarly,
        Self::SwappedTooEarly,
    ];
}
