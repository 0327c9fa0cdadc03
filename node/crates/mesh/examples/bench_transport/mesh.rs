//! This crate's transport, whole: Peers on one side, BulkServer on the other.

use std::sync::Arc;

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response};
use datamesh_mesh::{BulkServer, Caller, Handler, Identity, Peers, Trust, now_unix};
use datamesh_seal::{Certificate, ClusterSecret, MemberRole, SignedCertificate};
use datamesh_settings::{BulkEncryption, Endpoint};
use datamesh_shard::{
    Epoch, Generation, Incarnation, NodeName, PeerKey, PoolName, SegmentId, ShardIndex, ShardKey,
};
use tokio_util::sync::CancellationToken;

use crate::{PATIENCE, in_flight};

struct Answers {
    shard: Bytes,
}

impl Handler for Answers {
    async fn handle(&self, _: Caller, request: Request, _: Bytes) -> (Response, Bytes) {
        match request {
            Request::Get { .. } => {
                (Response::Shard { header: Bytes::from_static(&[0; 200]) }, self.shard.clone())
            }
            _ => (Response::Done, Bytes::new()),
        }
    }
}

const KEY: ShardKey = ShardKey { segment: SegmentId([5; 32]), index: ShardIndex(0) };

pub(crate) async fn put(shard: &Bytes, shards: usize, encryption: BulkEncryption) -> anyhow::Result<()> {
    let request = Request::Put {
        key: KEY,
        pool: PoolName::new("pool")?,
        epoch: Epoch(1),
        generation: Generation(0),
        header: Bytes::from_static(&[0; 200]),
    };
    run((shard, shards, encryption), &request, Some(shard.clone())).await
}

pub(crate) async fn get(shard: &Bytes, shards: usize, encryption: BulkEncryption) -> anyhow::Result<()> {
    run((shard, shards, encryption), &Request::Get { key: KEY }, None).await
}

async fn run(
    (shard, shards, encryption): (&Bytes, usize, BulkEncryption),
    request: &Request,
    payload: Option<Bytes>,
) -> anyhow::Result<()> {
    let key = ClusterSecret::generate().signing_key();
    let name = NodeName::new("bench")?;
    let trust = || Arc::new(Trust::new(name.clone(), key.public(), Box::new(|_, _| {})));
    let (client, server) = (Identity::generate().0, Identity::generate().0);
    let client_trust = trust();
    client_trust.set_own(&certificate(&key, client.peer())?, &client.peer())?;
    let handler = Answers { shard: shard.clone() };
    let server_trust = trust();
    let listen = "127.0.0.1:0".parse()?;
    let bulk = BulkServer::bind(listen, &server, server_trust, Incarnation(1), handler).await?;
    let bulk = bulk.encrypting(&server, encryption)?;
    let peers = Peers::new(client, client_trust, Incarnation(1)).encrypting(encryption);
    let endpoint = Endpoint { host: "127.0.0.1".into(), mesh_port: 0, bulk_port: bulk.local_addr().port() };
    peers.learn(server.peer(), endpoint, Incarnation(1));
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(bulk.run(stop.clone()));
    let (peers, peer) = (&peers, &server.peer());
    in_flight(shards, |_| {
        let (request, payload) = (request.clone(), payload.clone());
        async move {
            peers.request(peer, request, payload, PATIENCE).await?;
            Ok(())
        }
    })
    .await?;
    stop.cancel();
    tasks.join_all().await;
    Ok(())
}

fn certificate(key: &datamesh_seal::ClusterSigningKey, peer: PeerKey) -> anyhow::Result<SignedCertificate> {
    let node = NodeName::new("bench")?;
    let not_after_unix = now_unix() + 3600;
    Ok(SignedCertificate::sign(key, Certificate { role: MemberRole::Gateway, node, peer, not_after_unix }))
}
