//! What the audit says: who did what, on what, from where, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of each text of an entry at most; longer ones are cut.
pub const TEXT_BYTES_MAX: usize = 1200;

/// One entry. Chains hash its JSON, so fields are never added in place: another version of it would be another type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEntry {
    /// When it was answered, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// Who: `operator` and `user` are the holders of the token files, `user:NAME` has an account, `key:ID` signs for S3,
    /// `unknown:NAME` did not prove to be that user, `unknown:` is nobody, `lifecycle` is the rules of a bucket.
    pub actor: String,
    /// That user's id, which no other ever has; empty for who is no user.
    pub user: String,
    /// The id of the session or token, or S3 key, that stood for them; empty for a token file.
    pub credential: String,
    /// The method and route, or S3's operation.
    pub action: String,
    /// On what: the path; of what a `POST` made, its path; of S3 `/bucket/key`.
    pub target: String,
    /// What of it, where the target does not say: what a user, key or pool was changed to.
    pub detail: String,
    /// Where the connection came from.
    pub address: String,
    /// The request's id.
    pub request: String,
    /// The answer's status.
    pub status: u16,
}

impl AuditEntry {
    /// The text that the chain's link is over.
    #[must_use]
    pub fn text(&self) -> String {
        // Numbers and texts alone: writing them as JSON cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An entry as it is listed and exported, with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine {
    /// Which gateway's, in which of its lives.
    pub chain: String,
    /// Its place in the chain, from 0.
    pub number: u64,
    /// The chain's link after it, in hexadecimal.
    pub link: String,
    /// What was done.
    pub entry: AuditEntry,
}

/// How far a chain goes, signed by the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditChain {
    /// Which.
    pub chain: String,
    /// Its entries.
    pub count: u64,
    /// The link after the last, in hexadecimal.
    pub link: String,
    /// The signature, in hexadecimal.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_entry_stays_what_it_is() {
        let entry = AuditEntry {
            at_unix_ms: 1_790_000_000_000,
            actor: "user:alice".into(),
            user: "55".into(),
            credential: "66".into(),
            action: "PUT /api/v1/files/{*key}".into(),
            target: "/api/v1/files/ä\"".into(),
            detail: "x".into(),
            address: "10.0.0.1".into(),
            request: "0011223344556677".into(),
            status: 201,
        };
        let text = "{\"atUnixMs\":1790000000000,\"actor\":\"user:alice\",\"user\":\"55\",\"credential\":\"66\",\"action\":\"PUT /api/v1/files/{*key}\",\
                    \"target\":\"/api/v1/files/ä\\\"\",\"detail\":\"x\",\"address\":\"10.0.0.1\",\"request\":\"0011223344556677\",\
                    \"status\":201}";
        assert_eq!(entry.text(), text);
        assert_eq!(serde_json::from_str::<AuditEntry>(text).unwrap(), entry);
    }
}
