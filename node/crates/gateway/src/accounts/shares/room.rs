//! Room that a file takes which is coming by a link.

use std::sync::Arc;

use datamesh_catalog::{CredentialId, UserId};
use datamesh_shard::limits::INLINE_BYTES_MAX;

use crate::api::{Told, Witness};
use crate::pipeline::Context;
use crate::problem::Problem;

/// Looks at the file as it comes, and gives back when it is dropped what is not used. All stays taken once the file came whole: whoever
/// hangs up then does not know whether it was committed, and nor do we. Of one that breaks off, the bytes that came stay taken: they may
/// lie on nodes until the retention is over. A gateway that dies meanwhile leaves it taken.
pub(crate) struct Room {
    context: Arc<Context>,
    of: (UserId, CredentialId),
    bytes: u64,
    came: u64,
    is_filled: bool,
}

impl Room {
    pub(super) fn new(context: &Arc<Context>, of: (UserId, CredentialId), bytes: u64) -> Self {
        Self { context: Arc::clone(context), of, bytes, came: 0, is_filled: false }
    }
}

impl Witness for Room {
    fn see(&mut self, bytes: &[u8]) {
        self.came = self.came.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    fn judge(&mut self) -> Result<Told, Problem> {
        self.is_filled = true;
        Ok(Told::default())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_filled {
            return;
        }
        let unused = unused(self.bytes, self.came);
        let (catalog, of) = (self.context.catalog.clone(), self.of);
        drop(self.context.spawn_tail(async move {
            if let Err(error) = catalog.give_room_back(of, unused).await {
                tracing::warn!(%error, "the room of a file that did not come stays taken");
            }
        }));
    }
}

/// Bytes to give back of a file that broke off. What fits a row of the catalog is stored nowhere before it is whole.
fn unused(bytes: u64, came: u64) -> u64 {
    let is_small = usize::try_from(came).is_ok_and(|came| came <= INLINE_BYTES_MAX);
    if is_small { bytes } else { bytes.saturating_sub(came) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_file_that_breaks_off_stays_taken() {
        assert_eq!((unused(9000, 0), unused(9000, 4096)), (9000, 9000), "nothing of it is stored");
        assert_eq!((unused(9000, 4097), unused(9000, 8999), unused(9000, 9001)), (4903, 1, 0));
    }
}
