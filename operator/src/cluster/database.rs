//! The PostgreSQL database an administrator gives for the catalog: whether its Secret has what the gateway needs. Pure.

use datamesh_crds::PostgresSpec;
use k8s_openapi::api::core::v1::Secret;

use crate::secrets;

/// Has the connection string.
pub(crate) const URI_FIELD: &str = "uri";
/// Has the certificate of the server's CA, where the connection is encrypted.
pub(crate) const CA_FIELD: &str = "ca.crt";

/// A database that can be used.
pub(crate) struct Database {
    /// The Secret's name.
    pub(crate) secret: String,
    /// Whether it has the CA's certificate.
    pub(crate) has_ca: bool,
    /// Where the server listens.
    pub(crate) port: u16,
}

/// What is wrong with the Secret; the sentence begins with its name. What stands in it is never shown: it holds a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseProblem {
    /// No such Secret.
    #[error("does not exist in this namespace")]
    Absent,
    /// Nothing to connect by.
    #[error("has no field `uri` with a connection string (postgres://user:password@host:5432/database)")]
    NoUri,
    /// Neither encrypted nor allowed not to be.
    #[error(
        "has no field `ca.crt` with the certificate of the server's CA: add it, or write `sslmode=disable` into the connection \
         string where the network is trusted"
    )]
    Unencrypted,
    /// No port.
    #[error("is used with catalog.postgres.port {0}, which is no port")]
    Port(i32),
}

/// Checks the Secret that a spec names.
pub(super) fn check(spec: &PostgresSpec, given: Option<&Secret>) -> Result<Database, DatabaseProblem> {
    let given = given.ok_or(DatabaseProblem::Absent)?;
    let uri = secrets::text_of(given, URI_FIELD).ok_or(DatabaseProblem::NoUri)?;
    let has_ca = secrets::text_of(given, CA_FIELD).is_some();
    if !has_ca && !uri.contains("sslmode=disable") {
        return Err(DatabaseProblem::Unencrypted);
    }
    let port = u16::try_from(spec.port).map_err(|_| DatabaseProblem::Port(spec.port))?;
    Ok(Database { secret: spec.secret_ref.name.clone(), has_ca, port })
}

#[cfg(test)]
mod tests {
    use datamesh_crds::SecretRef;

    use super::*;

    fn checked(fields: &[(&str, &str)]) -> Result<bool, String> {
        let spec = PostgresSpec { secret_ref: SecretRef { name: "pg".into() }, port: 5432 };
        let secret = Secret { data: secrets::data(fields), ..Secret::default() };
        check(&spec, Some(&secret)).map(|database| database.has_ca).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_connection_is_encrypted_or_said_not_to_be() {
        let (uri, plain) = ("postgres://u:hunter2@db/dm", "postgres://u:hunter2@db/dm?sslmode=disable");
        assert_eq!(checked(&[("uri", uri), ("ca.crt", "PEM")]), Ok(true));
        assert_eq!(checked(&[("uri", plain)]), Ok(false));
        let refused = checked(&[("uri", uri)]).unwrap_err();
        assert!(refused.contains("ca.crt") && !refused.contains("hunter2"), "{refused}");
        assert!(checked(&[("password", "x")]).unwrap_err().contains("`uri`"));
        let spec = PostgresSpec { secret_ref: SecretRef { name: "pg".into() }, port: 5432 };
        assert!(check(&spec, None).err().unwrap().to_string().contains("does not exist"));
    }
}
