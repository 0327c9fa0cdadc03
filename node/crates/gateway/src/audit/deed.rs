//! What the gateway does by itself, without being asked at that moment.

use datamesh_settings::audit::AuditEntry;

use super::{Audit, AuditError, Durable};

/// What stands in place of an answer's status.
const DONE: u16 = 200;

/// Something that was done.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    /// On whose behalf.
    pub(crate) actor: &'static str,
    pub(crate) action: &'static str,
    pub(crate) target: String,
    /// Never a secret.
    pub(crate) detail: String,
}

impl Audit {
    /// Writes it down at once.
    ///
    /// # Errors
    /// When it is not durable yet. It goes on waiting then, unless too many do.
    pub(crate) async fn write(&self, deed: Deed) -> Result<(), AuditError> {
        let Deed { actor, action, target, detail } = deed;
        let entry = AuditEntry {
            at_unix_ms: 0,
            actor: actor.to_owned(),
            user: String::new(),
            credential: String::new(),
            action: action.to_owned(),
            target,
            detail,
            address: String::new(),
            request: String::new(),
            status: DONE,
        };
        self.make_room(Durable::Before).await;
        self.push(entry, Durable::Before)?;
        self.settle(Durable::Before).await
    }
}
