//! Whether an object exists. Pure.

use kube::Resource;

/// Whether an object of a node or a gateway exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Absent,
    Present,
    /// It was deleted and is on its way out.
    Going,
}

impl Presence {
    pub(crate) fn of<K: Resource>(object: Option<&K>) -> Self {
        match object {
            None => Self::Absent,
            Some(object) if object.meta().deletion_timestamp.is_some() => Self::Going,
            Some(_) => Self::Present,
        }
    }
}
