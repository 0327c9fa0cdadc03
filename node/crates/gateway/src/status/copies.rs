//! How far copies of the catalog's backups are, and what the catalog itself came out of: of rows, so each gateway says the same.

use datamesh_catalog::catalog::CatalogError;
use datamesh_settings::admin::{CopiesStatus, RestoredStatus};

use super::StatusSource;

/// None where there shall be none.
pub(super) async fn told(source: &StatusSource) -> Result<Option<CopiesStatus>, CatalogError> {
    let Some(place) = &source.copies else { return Ok(None) };
    let generation = source.catalog.restored().await?.map_or(0, |restored| restored.generation);
    // What a place before had, or the catalog that this one came out of, is not there.
    let noted = source.catalog.copies().await?;
    let noted = if noted.place == place.told() { noted } else { Default::default() };
    let newest = noted.newest.filter(|newest| newest.generation == generation);
    let last_unix_ms = newest.map(|newest| newest.at_unix_ms);
    let now = source.surroundings.now_unix_ms();
    Ok(Some(CopiesStatus {
        place: place.told().to_owned(),
        last_unix_ms,
        behind_seconds: last_unix_ms.map(|last| now.saturating_sub(last) / 1000),
        bytes: newest.map_or(0, |newest| newest.bytes),
        error: (!noted.error.is_empty()).then_some(noted.error),
    }))
}

/// What the catalog was restored from, if it was.
pub(super) async fn restored(source: &StatusSource) -> Result<Option<RestoredStatus>, CatalogError> {
    let Some(restored) = source.catalog.restored().await? else { return Ok(None) };
    Ok(Some(RestoredStatus {
        until_unix_ms: restored.until_unix_ms,
        at_unix_ms: restored.at_unix_ms,
        revision: restored.revision,
        deletion_held: source.catalog.holds_deletion().await?,
    }))
}
