//! A proxy of HTTP (`CONNECT`) for which every name is this machine's, so that clients may use names which no resolver knows: they
//! speak TLS with what they find there, by the name that they asked for.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// It ends when it is dropped.
pub(crate) struct Proxy {
    at: SocketAddr,
    names: Arc<Mutex<BTreeSet<String>>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (at, names) = (listener.local_addr().unwrap(), Arc::default());
        let (mut accepting, asked) = (JoinSet::new(), Arc::clone(&names));
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(joined(client, Arc::clone(&asked)));
            }
        });
        Self { at, names, _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// The names that clients asked for since this was asked last.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.names.lock().unwrap())
    }
}

/// Joins a client with the port that it asks for; a request that is no such one gets no answer.
async fn joined(client: TcpStream, names: Arc<Mutex<BTreeSet<String>>>) -> Option<()> {
    let mut client = BufReader::new(client);
    let (mut first, mut line) = (String::new(), String::new());
    client.read_line(&mut first).await.ok()?;
    while line != "\r\n" {
        line.clear();
        client.read_line(&mut line).await.ok().filter(|bytes| *bytes > 0)?;
    }
    let (name, port) = first.strip_prefix("CONNECT ")?.split(' ').next()?.rsplit_once(':')?;
    names.lock().unwrap().insert(name.to_owned());
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse::<u16>().ok()?)).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}
