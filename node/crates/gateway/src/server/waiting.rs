//! What a gateway waits for.

use std::sync::Arc;

use parking_lot::Mutex;

/// What a gateway that is being bound waits for, for those who ask whether it is ready. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Option<String>>>);

impl Waiting {
    /// Notes it, and says it once in the log.
    pub(crate) fn tell(&self, reason: String) {
        let mut told = self.0.lock();
        if told.as_ref() != Some(&reason) {
            tracing::info!("the catalog waits {reason}");
            *told = Some(reason);
        }
    }

    /// In words, for people.
    #[must_use]
    pub fn reason(&self) -> String {
        match &*self.0.lock() {
            Some(reason) => format!("the catalog waits {reason}"),
            None => "the gateway is starting".to_owned(),
        }
    }
}
