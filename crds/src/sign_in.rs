//! How users of a gateway sign in elsewhere, and how mail reaches them.

// KubeSchema copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SecretRef;

/// The server that takes mail, and what mail says of whom it comes from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailSpec {
    /// The server's DNS name or address; its certificate must be for it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$')").message("gateway.mail.host: write a DNS name or an address without a port, like smtp.example.com"))]
    pub host: String,
    /// Its port, which the gateways' NetworkPolicy opens outward: mostly 587 with `Starttls`, 465 with `Implicit`.
    #[serde(default = "default_mail_port")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("gateway.mail.port: a port is 1 to 65535, mostly 587 with tls Starttls and 465 with tls Implicit"))]
    pub port: i32,
    /// When the connection is encrypted.
    #[serde(default)]
    pub tls: MailTls,
    /// Names a Secret with `user` and `password` to sign in with, and `ca.crt`, the certificates of the authorities that vouch for the
    /// server. `user` and `password` may be left out together, and `ca.crt` for the public authorities. Another password counts from
    /// the next mail on; another `ca.crt` restarts the gateways, one at a time. Left out: nobody signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Whom mail comes from, like `DataMesh <datamesh@example.com>`.
    #[schemars(length(min = 3, max = 320))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9][A-Za-z0-9 -]* <)?[A-Za-z0-9_+-]+([.][A-Za-z0-9_+-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*>?$') && self.contains('<') == self.endsWith('>')").message("gateway.mail.from: write an address, like datamesh@example.com or DataMesh <datamesh@example.com>"))]
    pub from: String,
    /// The page on which people choose a password; the code is put behind it. Left out: mail has the code alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^https://[!-~]+$') && !self.contains('#')").message("gateway.mail.linkBase: write a page like https://files.example.com/reset, without #"))]
    pub link_base: Option<String>,
}

fn default_mail_port() -> i32 {
    587
}

/// When the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum MailTls {
    /// Once the server was greeted; one that cannot is refused.
    #[default]
    Starttls,
    /// From the first byte.
    Implicit,
}

/// A provider of OpenID Connect that users sign in at, in place of a password here. It sends browsers back to
/// `PUBLICURL/api/v1/auth/oidc/NAME/callback`, which it must know.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcSpec {
    /// What it is called here; it stands in its users' way back.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+$')").message("gateway.oidc.name: 1 to 32 of a-z, 0-9 and -"))]
    pub name: String,
    /// Its issuer, exactly as its tokens have it. Users are known by issuer and subject: with another issuer everybody is somebody else.
    #[schemars(length(min = 9, max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^https://[!-~]+$') && !self.contains('#') && !self.contains('?')").message("gateway.oidc.issuer: write the issuer as the provider's tokens have it, like https://id.example.com/realms/work"))]
    pub issuer: String,
    /// What it knows this cluster as.
    #[schemars(length(min = 1, max = 255))]
    pub client_id: String,
    /// Names a Secret with `client-secret`, and `ca.crt`, the certificates of the authorities that vouch for the provider. Each may be
    /// left out: a public client has no secret, and the public authorities are trusted. Another `client-secret` counts from the next
    /// sign-in on; another `ca.crt` restarts the gateways, one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// What is asked for besides `openid`, such as `profile` and `groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128), regex(pattern = "^[!-~]+$")))]
    pub scopes: Vec<String>,
    /// Which roles it gives, at each sign-in. Left out: new users are members, and roles are changed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<OidcRoles>,
    /// Which groups of this cluster it puts users into and takes them out of, at each sign-in. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<OidcGroups>,
    /// Whether programs sign in by a page and a code that their user opens in a browser (RFC 8628). Whoever has somebody else open it is
    /// signed in as them.
    #[serde(default)]
    pub devices: bool,
    /// Whether who signs in there for the first time becomes a user whatever registration says. Otherwise only while it is open.
    #[serde(default)]
    pub register: bool,
}

/// Roles by what a claim says: the highest that fits, or member. The last administrator stays one.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcRoles {
    /// The claim: a text or a list of texts.
    #[schemars(length(min = 1, max = 128))]
    pub claim: String,
    /// For what it says, the role.
    #[schemars(extend("maxProperties" = 64))]
    pub map: BTreeMap<String, OidcRole>,
}

/// Groups by what a claim says: those of the map that fit, and none of its others. Groups that the map does not name are not touched.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcGroups {
    /// The claim: a text or a list of texts.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("!(self in ['iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nonce'])").message("gateway.oidc.groups.claim: a claim that says what somebody belongs to, such as groups"))]
    pub claim: String,
    /// For what it says, the name of a group of this cluster. One that is not there is left out until it is made.
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(said, self[said].matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("gateway.oidc.groups.map: names of groups are 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`, and begin with a letter or digit"))]
    pub map: BTreeMap<String, OidcGroup>,
}

/// A group's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(transparent)]
pub struct OidcGroup(#[schemars(length(min = 1, max = 64))] pub String);

/// A role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum OidcRole {
    /// Files, buckets, their own account.
    Member,
    /// And the audit.
    Auditor,
    /// And pools and nodes.
    Operator,
    /// And users, keys and the cluster's key.
    Admin,
}

impl OidcRole {
    /// As the gateway's settings have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}
