//! A request that will have an entry: made when it is known who asks, so that it has one even when its client hangs up before
//! the answer.

use std::sync::Arc;

use datamesh_settings::audit::AuditEntry;

use super::note::{Actor, Note};
use super::{Audit, AuditError, Durable};
use crate::auth::Address;

/// The status of requests that were not answered: their client hung up. What they asked for may be done.
const NOT_ANSWERED: u16 = 0;

/// What is known of a request before it is done.
pub(crate) struct Asked<'a> {
    pub(crate) actor: Actor,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) from: Option<Address>,
    pub(crate) request: &'a str,
}

/// An entry that is written whatever comes of its request, if its note says that it counts.
pub(crate) struct Witnessed {
    audit: Arc<Audit>,
    entry: Option<AuditEntry>,
    note: Note,
    durable: Durable,
}

impl Witnessed {
    /// A request, and where its handler says more of it.
    pub(crate) fn new(audit: &Arc<Audit>, asked: Asked<'_>, (note, durable): (Note, Durable)) -> Self {
        let Asked { actor: Actor { name, user, credential }, action, target, from, request } = asked;
        let entry = AuditEntry {
            at_unix_ms: 0,
            actor: name,
            user,
            credential,
            action,
            target,
            detail: String::new(),
            address: from.map(|Address(address)| address.to_string()).unwrap_or_default(),
            request: request.to_owned(),
            status: NOT_ANSWERED,
        };
        Self { audit: Arc::clone(audit), entry: Some(entry), note, durable }
    }

    /// It is answered with this status.
    ///
    /// # Errors
    /// When its entry must be durable before the answer and is not.
    pub(crate) async fn answered(mut self, status: u16) -> Result<(), AuditError> {
        if !self.note.counts() {
            self.entry = None;
            return Ok(());
        }
        if let Some(entry) = &mut self.entry {
            entry.status = status;
        }
        // The entry stays here until it is in the queue: a client may hang up while room is made.
        self.audit.make_room(self.durable).await;
        if let Some(entry) = self.entry.take() {
            self.audit.push(self.note.written_into(entry), self.durable)?;
        }
        self.audit.settle(self.durable).await
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take().filter(|_| self.note.counts()) {
            // What does not fit is in the log.
            let _ = self.audit.push(self.note.written_into(entry), Durable::Soon);
        }
    }
}
