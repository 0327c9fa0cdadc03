use serde::{Deserialize, Serialize};

/// Somebody at a provider of OpenID Connect. Both together name them for ever; nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider's issuer.
    pub issuer: String,
    /// What it calls them by.
    pub subject: String,
}
