//! How mail leaves the cluster.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The server that takes mail, and what mail says of whom it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailSettings {
    /// The server's DNS name or address; its certificate must be for it.
    pub host: String,
    /// Its port: mostly 587 with `starttls`, 465 with `implicit`, 25 with `none`.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// Holds PEM certificates of the authorities that vouch for the server. Absent: the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Holds the name to sign in with. Absent: nobody signs in. Read for each mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_file: Option<PathBuf>,
    /// Holds the password. Read for each mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Whom mail comes from, like `DataMesh <datamesh@example.org>`.
    pub from: String,
    /// The page on which people choose a password; the code is put behind it as `#code=…`, which browsers send nowhere. Absent: mail
    /// has the code alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_base: Option<String>,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MailTls {
    /// Not: for a server on the same machine, and refused for any other. No password is sent.
    None,
    /// Once the server was greeted; one that cannot is refused.
    Starttls,
    /// From the first byte.
    Implicit,
}
