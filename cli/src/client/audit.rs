//! Who did what.

use datamesh_settings::audit::{AuditChain, AuditLine};
use percent_encoding::utf8_percent_encode;
use reqwest::{Method, Response};
use serde::Deserialize;

use super::{Client, QUERY, accepted};
use crate::failure::Failure;

/// Which entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
}

impl Wanted {
    fn query(&self) -> String {
        let fields = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("status", &self.status),
            ("target", &self.target),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| format!("&{name}={}", utf8_percent_encode(value, QUERY))).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<AuditLine>,
    next_cursor: Option<String>,
}

/// How far each chain goes, and the key that says so.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chains {
    pub(crate) public_key: String,
    pub(crate) items: Vec<AuditChain>,
    /// What was cut off chains.
    #[serde(default)]
    pub(crate) cuts: Vec<AuditChain>,
}

impl Client {
    /// Entries in the order of time, at most so many.
    pub(crate) async fn audit(&self, wanted: &Wanted, limit: usize) -> Result<Vec<AuditLine>, Failure> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        while all.len() < limit {
            let rest = (limit - all.len()).min(super::LIST_LIMIT);
            let path = format!("/audit?limit={rest}{}{cursor}", wanted.query());
            let page: Page = self.administer(Method::GET, &path).await?;
            all.extend(page.items);
            let Some(next) = page.next_cursor else { break };
            cursor = format!("&cursor={}", utf8_percent_encode(&next, QUERY));
        }
        Ok(all)
    }

    /// All entries, a line of JSON each, as they come.
    pub(crate) async fn export_audit(&self, wanted: &Wanted) -> Result<Response, Failure> {
        let query = wanted.query();
        let url = format!("{}/api/v1/admin/audit/export?{}", self.base, query.trim_start_matches('&'));
        accepted(self.http.get(url).bearer_auth(self.config.admin_token()?).send().await?).await
    }

    /// How far each chain goes.
    pub(crate) async fn audit_chains(&self) -> Result<Chains, Failure> {
        self.administer(Method::GET, "/audit/chains").await
    }
}
