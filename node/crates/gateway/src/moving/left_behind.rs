//! A gateway that was not told of a move still serves what has gone. Others move it, so it looks.

use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::moving::{has_gone, withdraw};
use datamesh_shard::NodeName;

/// How long it may go on reading what is old; its commits are refused at once.
const PERIOD: Duration = Duration::from_secs(1);

/// Ends when the catalog has gone from where this gateway has it. Before, takes back what it may have said of a move that was called off.
pub(crate) async fn until_gone(catalog: EmbeddedCatalog, own: NodeName) {
    let keyspace = catalog.keyspace();
    let mut is_withdrawn = false;
    loop {
        if !is_withdrawn {
            is_withdrawn = withdraw(keyspace, &own).await.is_ok();
        }
        match has_gone(keyspace).await {
            Ok(Some((id, to))) => {
                tracing::error!(%id, %to, "the catalog has gone elsewhere, and this gateway was not told");
                return;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "whether the catalog has gone is not known"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}
