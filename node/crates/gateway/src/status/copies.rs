//! How far copies of the catalog's backups are, whichever gateway makes them.

use datamesh_catalog::catalog::CatalogError;
use datamesh_settings::admin::CopiesStatus;

use super::StatusSource;

/// None where there shall be none.
pub(super) async fn told(source: &StatusSource) -> Result<Option<CopiesStatus>, CatalogError> {
    let Some(place) = &source.copies else { return Ok(None) };
    let noted = source.catalog.copies().await?;
    let last_unix_ms = noted.newest.map(|newest| newest.at_unix_ms);
    let now = source.surroundings.now_unix_ms();
    Ok(Some(CopiesStatus {
        place: place.told().to_owned(),
        last_unix_ms,
        behind_seconds: last_unix_ms.map(|last| now.saturating_sub(last) / 1000),
        bytes: noted.newest.map_or(0, |newest| newest.bytes),
        error: (!noted.error.is_empty()).then_some(noted.error),
    }))
}
