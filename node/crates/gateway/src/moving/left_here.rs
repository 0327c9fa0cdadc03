//! What is left on this gateway's volume of a catalog that it kept with others, and that has moved since: it would be taken for one, or keep
//! the one that comes back out.

use std::path::Path;

use datamesh_catalog::moving::{Standing, is_left_of};

use super::MoveFault;
use crate::group::{GroupError, volume};

/// Removes it, if it is of the very catalog that `catalog` is. All else stays, for others to judge.
pub(super) async fn make_room(dir: &Path, catalog: Standing) -> Result<(), MoveFault> {
    let dir = dir.to_path_buf();
    let removing = tokio::task::spawn_blocking(move || {
        let Some((replica, id)) = volume::part(&dir)? else { return Ok(()) };
        if replica.exists() && is_left_of(&catalog, &replica, id).map_err(GroupError::from)? {
            tracing::info!(?replica, "what is left of the catalog that several gateways kept is removed");
            volume::leave(&dir)?;
        } else if !replica.exists() {
            // Cut off in the middle of that.
            volume::leave(&dir)?;
        }
        Ok(())
    });
    removing.await.map_err(|_| MoveFault::Cut)?
}
