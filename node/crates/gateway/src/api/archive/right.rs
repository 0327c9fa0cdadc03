//! By what right a zip is read. It takes long, and reads what is there meanwhile: so the right is asked for again before each file.

use http::{HeaderMap, Method};
use zeroize::Zeroizing;

use super::super::{App, trace};
use crate::auth::{Address, Need};
use crate::problem::{Kind, Problem};

/// Who reads.
pub(in crate::api) enum Right {
    /// Whoever has this link.
    Link(Zeroizing<String>),
    /// Whoever this request is of.
    Asker {
        /// Its method.
        method: Method,
        /// What it shows.
        headers: HeaderMap,
        /// Where it came from.
        from: Option<Address>,
    },
}

impl Right {
    pub(super) fn is_stranger_s(&self) -> bool {
        matches!(self, Self::Link(_))
    }

    /// # Errors
    /// Where the link, the session or the account counts no more.
    pub(super) async fn stands(&self, app: &App) -> Result<(), Problem> {
        match self {
            Self::Link(secret) => app.accounts.counting_share(secret).await.map(drop),
            Self::Asker { method, headers, from } => {
                let nobody = || Problem::new(Kind::Unauthorized, "whoever asked is known no more");
                let principal = trace::who(app, Need::Read, (method, headers), *from).await?;
                principal.ok_or_else(nobody)?.may(Need::Read)
            }
        }
    }
}
