//! A request that will have an entry: made when it is known who asks, so that it has one even when its client hangs up before
//! the answer.

use std::sync::Arc;

use datamesh_settings::audit::AuditEntry;

use super::{Audit, Durable};
use crate::auth::Address;

/// Who it was, for requests of somebody who was nobody when they asked: among an answer's extensions.
#[derive(Clone)]
pub(crate) struct Actor(pub(crate) String);

/// The status of requests that were not answered: their client hung up. What they asked for may be done.
const NOT_ANSWERED: u16 = 0;

/// An entry that is written whatever comes of its request.
pub(crate) struct Witnessed {
    audit: Arc<Audit>,
    entry: Option<AuditEntry>,
}

impl Witnessed {
    /// A request by `actor` to do `action` to `target`.
    pub(crate) fn new(
        audit: &Arc<Audit>,
        (actor, action, target): (String, String, &str),
        (from, request): (Option<Address>, &str),
    ) -> Self {
        let address = from.map(|Address(address)| address.to_string()).unwrap_or_default();
        let (target, request) = (target.to_owned(), request.to_owned());
        let entry =
            AuditEntry { at_unix_ms: 0, actor, action, target, address, request, status: NOT_ANSWERED };
        Self { audit: Arc::clone(audit), entry: Some(entry) }
    }

    /// It is answered: with this status, to whom the answer names, if it does.
    pub(crate) async fn answered(mut self, status: u16, actor: Option<&Actor>, durable: Durable) {
        if let Some(mut entry) = self.entry.take() {
            entry.status = status;
            if let Some(Actor(actor)) = actor {
                entry.actor.clone_from(actor);
            }
            self.audit.push(entry);
            self.audit.settle(durable).await;
        }
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.audit.push(entry);
        }
    }
}
