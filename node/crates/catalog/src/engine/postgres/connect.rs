use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, Pool, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::PostgresError;

/// Connections for calls: each is held for one statement, or one group of commits.
const CALLS_MAX: usize = 8;
/// Connections for views: each is held as long as its view.
const VIEWS_MAX: usize = 16;
/// To reach a server, where the connection string says nothing of it.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// For a connection of the pool to be free.
const FREE_WAIT: Duration = Duration::from_secs(10);
/// Until a peer that acknowledges nothing counts as gone.
const PEER_WAIT: Duration = Duration::from_secs(10);
/// Commits whose changes are kept.
const CHANGES_DEFAULT: u64 = 100_000;
/// Asked of a connection over which nothing comes: a server that went away while it owed an answer has nothing to acknowledge.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVES: u32 = 3;
/// What each session begins with. Plans are made for the values at hand: what is best for a range depends on its ends.
const SESSION: &str = "-c statement_timeout=30s -c plan_cache_mode=force_custom_plan";
/// A gateway that stops in the middle must not keep the head locked; a view may rest between two pages.
const CALLS_IDLE: &str = "-c idle_in_transaction_session_timeout=10s";
const VIEWS_IDLE: &str = "-c idle_in_transaction_session_timeout=60s";

/// Where the database is, and how to keep the keyspace there.
#[derive(Clone)]
pub struct PostgresOptions {
    uri: Zeroizing<String>,
    ca_pem: Option<Vec<u8>>,
    /// Commits whose changes are kept for checks and caches; more reach further back.
    pub changes_max: u64,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("changes_max", &self.changes_max).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// A connection string (`postgres://user:password@host:5432/database`, or words as of libpq) and, for an encrypted connection,
    /// the certificates that vouch for the server, as PEM.
    #[must_use]
    pub fn new(uri: Zeroizing<String>, ca_pem: Option<Vec<u8>>) -> Self {
        Self { uri, ca_pem, changes_max: CHANGES_DEFAULT }
    }

    fn config(&self) -> Result<Config, PostgresError> {
        // The driver's error may quote the string.
        let mut config = Config::from_str(self.uri.trim())
            .map_err(|_| PostgresError::Uri("write postgres://user:password@host:5432/database"))?;
        if config.get_hosts().is_empty() {
            return Err(PostgresError::Uri("it names no host"));
        }
        if config.get_dbname().is_none() {
            return Err(PostgresError::Uri("it names no database"));
        }
        config.application_name("datamesh").target_session_attrs(TargetSessionAttrs::ReadWrite);
        let options =
            config.get_options().map_or_else(|| SESSION.to_owned(), |own| format!("{SESSION} {own}"));
        config.options(options);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_WAIT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(PEER_WAIT);
        }
        config
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVES);
        Ok(config)
    }

    /// Pools for calls and for views. Nothing is connected yet.
    pub(super) fn pools(&self) -> Result<(Pool, Pool), PostgresError> {
        let mut config = self.config()?;
        let tls = self.ca_pem.as_deref().map(trusting).transpose()?;
        match (&tls, config.get_ssl_mode()) {
            (Some(_), _) => drop(config.ssl_mode(SslMode::Require)),
            (None, SslMode::Disable) => {}
            (None, _) => return Err(PostgresError::Unencrypted),
        }
        // Each of several hosts may be the one that does not answer.
        let hosts = u32::try_from(config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        let to_connect = config.get_connect_timeout().map_or(CONNECT_WAIT, |wait| *wait + CONNECT_WAIT);
        let pool = |connections, idle: &str| {
            let mut config = config.clone();
            config.options(format!("{} {idle}", config.get_options().unwrap_or_default()));
            let manager = match &tls {
                Some(tls) => Manager::new(config.clone(), MakeRustlsConnect::new(tls.clone())),
                None => Manager::new(config.clone(), NoTls),
            };
            Pool::builder(manager)
                .max_size(connections)
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(FREE_WAIT))
                .create_timeout(Some(to_connect.saturating_mul(hosts)))
                .build()
                .map_err(|error| PostgresError::Database(error.to_string()))
        };
        Ok((pool(CALLS_MAX, CALLS_IDLE)?, pool(VIEWS_MAX, VIEWS_IDLE)?))
    }
}

fn trusting(ca_pem: &[u8]) -> Result<ClientConfig, PostgresError> {
    let malformed = |error: String| PostgresError::Certificates(error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|error| malformed(error.to_string()))?;
        roots.add(certificate).map_err(|error| malformed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(malformed("there is no certificate among them".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| malformed(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str) -> String {
        let options = PostgresOptions::new(Zeroizing::new(uri.to_owned()), None);
        options.pools().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn bad_strings_are_refused_with_the_remedy_and_without_their_password() {
        for (uri, word) in [
            ("postgres://u:hunter2@host/db", "sslmode=disable"),
            ("postgres://u:hunter2@host:port/db?sslmode=disable", "postgres://user"),
            ("postgres://u:hunter2@host?sslmode=disable", "no database"),
            ("user=u password=hunter2 dbname=db sslmode=disable", "no host"),
            ("", "no host"),
        ] {
            let error = refused(uri);
            assert!(error.contains(word) && !error.contains("hunter2"), "{uri}: {error}");
        }
        assert_eq!(refused("postgres://u:p@host/db?sslmode=disable"), "");
        let with_ca =
            PostgresOptions::new(Zeroizing::new("postgres://h/db".into()), Some(b"nothing".to_vec()));
        assert!(with_ca.pools().is_err());
        assert!(!format!("{with_ca:?}").contains("postgres://"));
    }
}
