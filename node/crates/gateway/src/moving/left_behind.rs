//! A gateway that was not told of a move still serves what has gone. Others move it, so it looks.

use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::moving::look;

/// How long it may go on reading what is old; its commits are refused at once.
const PERIOD: Duration = Duration::from_secs(1);

/// Ends when the catalog has gone from where this gateway has it.
pub(crate) async fn until_gone(catalog: EmbeddedCatalog) {
    loop {
        match look(catalog.keyspace()).await {
            Ok(standing) => {
                if let Some((id, to)) = standing.gone() {
                    tracing::error!(%id, %to, "the catalog has gone elsewhere, and this gateway was not told");
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "whether the catalog has gone is not known"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}
