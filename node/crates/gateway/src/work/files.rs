//! Follows changes of token and certificate files.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Next, Worker};
use crate::auth::Tokens;
use crate::https::Certificates;

/// How long a replaced token goes on being good at most.
const PERIOD: Duration = Duration::from_secs(2);

pub(crate) struct WatchFiles {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) certificates: Arc<Certificates>,
}

impl Worker for WatchFiles {
    fn name(&self) -> &'static str {
        "watch files"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        let (tokens, certificates) = (Arc::clone(&self.tokens), Arc::clone(&self.certificates));
        async move {
            let looked = tokio::task::spawn_blocking(move || {
                for (what, refreshed) in
                    [("tokens", tokens.refresh()), ("certificate", certificates.refresh())]
                {
                    match refreshed {
                        Ok(true) => tracing::info!(what, "read again"),
                        Ok(false) => {}
                        Err(error) => {
                            tracing::warn!(what, %error, "cannot be read; the last good one stays in use")
                        }
                    }
                }
            });
            if let Err(error) = looked.await {
                tracing::error!(%error, "cannot watch files");
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }
}
