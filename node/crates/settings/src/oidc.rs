//! Sign-in by OpenID Connect.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A provider that users sign in at, in place of a password here. It sends browsers back to
/// `PUBLIC_URL/api/v1/auth/oidc/NAME/callback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcSettings {
    /// What it is called here: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Its issuer, `https://…`, exactly as its tokens have it. Who signed in is known by issuer and subject: with another issuer
    /// everybody is somebody else.
    pub issuer: String,
    /// What it knows this cluster as.
    pub client_id: String,
    /// Holds the secret that goes with it. Absent: a public client. Read for each exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Holds PEM certificates of the authorities that vouch for it. Absent: the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What is asked for besides `openid`, such as `profile` and `groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Which roles it gives. Absent: new users are members, and roles are changed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<OidcRoles>,
    /// Which groups of this cluster it puts users into and takes them out of. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<OidcGroups>,
    /// Whether programs sign in by a page and a code that their user opens in a browser (RFC 8628). Whoever has somebody else open it is
    /// signed in as them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub devices: bool,
    /// Whether who signs in there for the first time becomes a user whatever registration says. Otherwise only while it is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub register: bool,
}

/// Roles by what a claim says. At each sign-in the user gets the highest that fits, or is a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcRoles {
    /// The claim: a text or a list of texts.
    pub claim: String,
    /// For what it says, the role: `member`, `auditor`, `operator` or `admin`.
    pub map: BTreeMap<String, String>,
}

/// Groups by what a claim says. At each sign-in the user is in those of the map that fit, and in none of its others; groups that the map
/// does not name are not touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcGroups {
    /// The claim: a text or a list of texts.
    pub claim: String,
    /// For what it says, the name of a group of this cluster: 64 at most.
    pub map: BTreeMap<String, String>,
}
