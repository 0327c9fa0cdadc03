//! Room that a file takes which is coming by a link.

use std::sync::Arc;

use datamesh_catalog::{CredentialId, UserId};

use crate::pipeline::Context;

/// Given back when it is dropped, unless the file came. A gateway that dies meanwhile leaves it taken.
pub(crate) struct Room {
    context: Arc<Context>,
    of: (UserId, CredentialId),
    bytes: u64,
    filled: bool,
}

impl Room {
    pub(super) fn new(context: &Arc<Context>, of: (UserId, CredentialId), bytes: u64) -> Self {
        Self { context: Arc::clone(context), of, bytes, filled: false }
    }

    /// The file came.
    pub(crate) fn filled(mut self) {
        self.filled = true;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.filled {
            return;
        }
        let (catalog, of, bytes) = (self.context.catalog.clone(), self.of, self.bytes);
        drop(self.context.spawn_tail(async move {
            if let Err(error) = catalog.give_room_back(of, bytes).await {
                tracing::warn!(%error, "the room of a file that did not come stays taken");
            }
        }));
    }
}
