//! Users who signed in, asked and say nothing more: what their connections cost the gateway.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::report;
use crate::server::{HTTPS_PORT, Server};

/// Connections, and those before them that have the gateway get what it keeps.
pub(crate) const CONNECTIONS: usize = 10_000;
const WARM_UP: usize = 200;

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Opens so many, as many for each of these sessions, and says what the gateway's memory grew by.
pub(crate) async fn connections(
    server: &Server,
    sessions: Vec<String>,
    connections: usize,
) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let (config, users) = (trusting(&server.certificate()?)?, sessions.len());
    let sessions = Arc::<[String]>::from(sessions);
    let open = async |many: usize| {
        let (config, sessions) = (Arc::clone(&config), Arc::clone(&sessions));
        let opening = move || -> anyhow::Result<Vec<Connection>> {
            let whose = sessions.iter().cycle().take(many);
            let mut all = whose
                .clone()
                .map(|session| signed_in(&config, session))
                .collect::<anyhow::Result<Vec<_>>>()?;
            // The last is there now: is the first one still?
            let again = all.iter_mut().zip(whose).map(|(connection, session)| ask(connection, session));
            let failed: Vec<_> = again.filter_map(Result::err).collect();
            let first = failed.first().map(ToString::to_string);
            ensure!(
                failed.is_empty(),
                "{} of {many} connections are not open any more: {first:?}",
                failed.len()
            );
            Ok(all)
        };
        tokio::task::spawn_blocking(opening).await.context("interrupted")?
    };
    let warm = open(WARM_UP).await?;
    drop(warm);
    server.measure().await?;
    let before = server.measure().await?.peaks().0;
    let idle = open(connections).await?;
    server.measure().await?;
    let after = server.measure().await?.peaks().0;
    let each_thousand = (after - before) * 1000.0 / idle.len() as f64;
    report::note(&format!(
        "{} idle connections of {users} signed-in users, all of them open and asked twice: the gateway grew from {before:.0} to {after:.0} MiB, {each_thousand:.1} MiB for 1,000",
        idle.len()
    ));
    Ok(())
}

fn trusting(certificate: &str) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// One that has asked and has its answer.
fn signed_in(config: &Arc<ClientConfig>, token: &str) -> anyhow::Result<Connection> {
    let name = ServerName::try_from("127.0.0.1")?;
    let stream = TcpStream::connect(("127.0.0.1", HTTPS_PORT))?;
    let mut connection = StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, stream);
    ask(&mut connection, token)?;
    Ok(connection)
}

/// Asks for a list, and takes the answer.
fn ask(connection: &mut Connection, token: &str) -> anyhow::Result<()> {
    let request = "GET /api/v1/files?limit=1 HTTP/1.1\r\nhost: localhost";
    // At once: the second of two parts waits 40 ms for the first to be acknowledged, and the first connections would be idle for too long.
    connection.write_all(format!("{request}\r\nauthorization: Bearer {token}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut some = [0; 4096];
        let read = connection.read(&mut some)?;
        ensure!(read > 0, "the gateway ended a connection: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(some.get(..read).unwrap_or_default());
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}
