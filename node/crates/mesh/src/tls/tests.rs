//! What reading ahead and large writes save. Run by hand: `cargo test -p datamesh-mesh --lib -- --ignored --nocapture`.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::buffers::Buffers;
use crate::reader::AlignedReader;

const SHARDS: usize = 2048;

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|f| f.parse().unwrap())
        .collect();
    fields.iter().sum::<f64>() / 100.0
}

async fn transfer<S, W>(wrap: W, send_bytes: Option<usize>) -> f64
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    W: Fn(TcpStream) -> S + Copy + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = (Identity::generate().0, Identity::generate().0);
    let (client, server) = (client_config(&client, None).unwrap(), server_config(&server).unwrap());
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let receiving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(server).accept(wrap(stream)).await.unwrap();
        let buffers = Buffers::new();
        for _ in 0..SHARDS {
            let mut buffer = buffers.take(1 << 20);
            stream.read_exact(buffer.as_mut()).await.unwrap();
        }
        stream.write_all(&[1]).await.unwrap();
    });
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let limit = |session: &mut rustls::ClientConnection| {
        if let Some(bytes) = send_bytes {
            session.set_buffer_limit(Some(bytes));
        }
    };
    let mut stream =
        TlsConnector::from(client).connect_with(no_name().unwrap(), wrap(stream), limit).await.unwrap();
    let shard = vec![7; 1 << 20];
    for _ in 0..SHARDS {
        stream.write_all(&shard).await.unwrap();
    }
    stream.flush().await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    receiving.await.unwrap();
    let gigabytes = f64::from(u32::try_from(SHARDS).unwrap()) * 1.048_576e-3;
    let (rate, cost) = (gigabytes / begin.elapsed().as_secs_f64(), (cpu_seconds() - cpu) / gigabytes);
    println!("  {rate:.2} GB/s, {cost:.2} CPU-s/GB");
    cost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn what_the_tuning_saves() {
    for _ in 0..3 {
        println!("rustls as it comes:");
        transfer(|stream| stream, None).await;
        println!("read ahead:");
        transfer(AlignedReader::new, None).await;
        for kib in [128, 256, 512, 1024] {
            println!("read ahead, {kib} KiB per write:");
            transfer(AlignedReader::new, Some(kib << 10)).await;
        }
    }
}
