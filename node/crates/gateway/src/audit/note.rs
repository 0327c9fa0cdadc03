//! What a handler says of its request, before it does it: so it stands in the entry even when the client hangs up.

use std::sync::Arc;

use datamesh_catalog::{User, UserName};
use datamesh_settings::audit::AuditEntry;
use parking_lot::Mutex;

/// Who it was, as an entry names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actor {
    /// `operator`, `user:NAME`, …
    pub(crate) name: String,
    /// The user's id; empty for who is none.
    pub(crate) user: String,
    /// The id of what stood for them; empty for a token file.
    pub(crate) credential: String,
}

impl Actor {
    /// A user, by what stands for them.
    pub(crate) fn user(user: &User, credential: String) -> Self {
        Self { name: format!("user:{}", user.name), user: user.id.to_string(), credential }
    }

    /// Somebody who did not prove to be this user. A name that is no user's may be a mistyped password: it is written down nowhere.
    pub(crate) fn not(user: Option<&User>) -> Self {
        let name = format!("unknown:{}", user.map_or("", |user| user.name.as_str()));
        Self { name, user: user.map(|user| user.id.to_string()).unwrap_or_default(), ..Self::default() }
    }

    /// Somebody who wants this name and does not have it yet.
    pub(crate) fn coming(name: &UserName, credential: String) -> Self {
        Self { name: format!("unknown:{name}"), credential, ..Self::default() }
    }
}

/// Shared by a request's handler and its entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    counts: bool,
    actor: Option<Actor>,
    target: Option<String>,
    detail: Option<String>,
}

impl Note {
    /// The request has an entry from here on. Of strangers only what was judged has: they must not fill the audit.
    pub(crate) fn count(&self) {
        self.0.lock().counts = true;
    }

    pub(super) fn counts(&self) -> bool {
        self.0.lock().counts
    }

    /// Who it was, for who was nobody when they asked.
    pub(crate) fn actor(&self, actor: Actor) {
        self.0.lock().actor = Some(actor);
    }

    /// On what, where the path does not name it.
    pub(crate) fn target(&self, target: String) {
        self.0.lock().target = Some(target);
    }

    /// What of it. Never a secret.
    pub(crate) fn detail(&self, detail: String) {
        self.0.lock().detail = Some(detail);
    }

    pub(super) fn written_into(&self, mut entry: AuditEntry) -> AuditEntry {
        let said = self.0.lock();
        if let Some(Actor { name, user, credential }) = said.actor.clone() {
            (entry.actor, entry.user, entry.credential) = (name, user, credential);
        }
        entry.target = said.target.clone().unwrap_or(entry.target);
        entry.detail = said.detail.clone().unwrap_or(entry.detail);
        entry
    }
}
