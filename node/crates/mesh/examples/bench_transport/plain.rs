//! The floor: the same frames over TCP alone, received into the same aligned buffers.

use bytes::Bytes;
use datamesh_buffers::Pool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{IN_FLIGHT, SHARD_BYTES};

pub(crate) async fn put(shard: &Bytes, shards: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let each = shards / IN_FLIGHT;
    let buffers = Pool::keeping(32 << 20);
    let mut ends = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let sender = TcpStream::connect(listener.local_addr()?).await?;
        let (receiver, _) = listener.accept().await?;
        ends.spawn(send(sender, shard.clone(), each));
        ends.spawn(receive(receiver, each, buffers.clone()));
    }
    while let Some(ended) = ends.join_next().await {
        ended??;
    }
    Ok(())
}

async fn receive(mut stream: TcpStream, shards: usize, buffers: Pool) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    for _ in 0..shards {
        let mut head = [0; 64];
        stream.read_exact(&mut head).await?;
        let mut buffer = buffers.take(SHARD_BYTES);
        stream.read_exact(buffer.as_mut()).await?;
        drop(buffer.freeze());
        stream.write_all(&[1; 16]).await?;
    }
    Ok(())
}

async fn send(mut stream: TcpStream, shard: Bytes, shards: usize) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    for _ in 0..shards {
        stream.write_all(&[0; 64]).await?;
        stream.write_all(&shard).await?;
        let mut answer = [0; 16];
        stream.read_exact(&mut answer).await?;
    }
    Ok(())
}
