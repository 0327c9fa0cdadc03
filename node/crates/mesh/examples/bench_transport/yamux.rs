//! libp2p's request-response over TCP, noise and yamux: one stream per shard on one connection.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::core::Multiaddr;
use libp2p::request_response::{self, Codec, Event, Message, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{StreamProtocol, Swarm, noise, tcp, yamux};

use crate::{IN_FLIGHT, SHARD_BYTES};

#[derive(Clone, Default)]
struct Shards;

impl Codec for Shards {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = ();

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Bytes> {
        let mut shard = vec![0; SHARD_BYTES];
        io.read_exact(&mut shard).await?;
        Ok(shard.into())
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<()> {
        io.read_exact(&mut [0; 16]).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        shard: Bytes,
    ) -> io::Result<()> {
        io.write_all(&shard).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        (): (),
    ) -> io::Result<()> {
        io.write_all(&[1; 16]).await
    }
}

type Side = Swarm<request_response::Behaviour<Shards>>;

fn side() -> anyhow::Result<Side> {
    let protocols = [(StreamProtocol::new("/bench/1"), ProtocolSupport::Full)];
    let built = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| {
            request_response::Behaviour::new(protocols, request_response::Config::default())
        })?;
    Ok(built.build())
}

pub(crate) async fn put(shard: &Bytes, shards: usize) -> anyhow::Result<()> {
    let mut server = side()?;
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    let peer = *server.local_peer_id();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(serve(server));
    let client = side()?;
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(ask(client, peer, address, shard.clone(), shards));
    while let Some(ended) = asking.join_next().await {
        ended??;
    }
    serving.shutdown().await;
    Ok(())
}

async fn serve(mut server: Side) {
    loop {
        if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) =
            server.select_next_some().await
            && server.behaviour_mut().send_response(channel, ()).is_err()
        {
            return;
        }
    }
}

async fn ask(
    mut client: Side,
    peer: libp2p::PeerId,
    address: Multiaddr,
    shard: Bytes,
    shards: usize,
) -> anyhow::Result<()> {
    client.dial(address)?;
    let (mut sent, mut answered) = (0, 0);
    while answered < shards {
        match client.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => {
                for _ in 0..IN_FLIGHT {
                    client.behaviour_mut().send_request(&peer, shard.clone());
                    sent += 1;
                }
            }
            SwarmEvent::Behaviour(Event::Message { .. }) => {
                answered += 1;
                if sent < shards {
                    client.behaviour_mut().send_request(&peer, shard.clone());
                    sent += 1;
                }
            }
            SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
