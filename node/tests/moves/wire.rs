//! The network between a gateway and its database: slow, so that each phase of a move lasts long enough to be cut off in.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is read at once travels for so long.
const DELAY: Duration = Duration::from_millis(5);

/// Ends when dropped.
pub(crate) struct Wire {
    pub(crate) port: u16,
    _carrying: JoinSet<()>,
}

impl Wire {
    /// To this port of this machine.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await {
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    connections.spawn(carry(near_in, far_out));
                    connections.spawn(carry(far_in, near_out));
                }
            }
        });
        Self { port, _carrying: carrying }
    }
}

/// One way, until it ends.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(DELAY).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
}
