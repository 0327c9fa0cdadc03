//! What happens between a look and its commit: nothing, except in tests of what others may do there.

use std::fmt;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::Catalog;
use crate::keyspace::Keyspace;

/// Happens once.
#[derive(Default)]
pub(super) struct Meddling(Mutex<Option<BoxFuture<'static, ()>>>);

impl Meddling {
    pub(super) async fn happen(&self) {
        let waiting = self.0.lock().take();
        if let Some(waiting) = waiting {
            waiting.await;
        }
    }
}

impl fmt::Debug for Meddling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meddling").field(&self.0.lock().is_some()).finish()
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Lets this happen when the next operation has looked and is about to commit. For tests of races.
    #[doc(hidden)]
    pub fn before_the_next_commit(&self, happens: impl Future<Output = ()> + Send + 'static) {
        *self.shared.meddling.0.lock() = Some(Box::pin(happens));
    }
}
