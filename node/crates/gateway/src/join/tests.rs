use std::path::Path;

use datamesh_catalog::CatalogOptions;
use datamesh_mesh::{Identity, Peers};
use datamesh_settings::admin::{DesiredMember, PoolSpec};
use datamesh_shard::{Cipher, ErasureProfile, Incarnation};
use tempfile::TempDir;

use super::*;
use crate::pools::Pool;

const NODES: u8 = 6;

struct Scene {
    desk: JoinDesk,
    _dir: TempDir,
}

fn node(n: u8) -> NodeName {
    NodeName::new(&format!("n{n}")).unwrap()
}

fn pool() -> PoolName {
    PoolName::new("main").unwrap()
}

fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).unwrap()
}

fn peer(n: u8) -> PeerKey {
    PeerKey([n + 1; 32])
}

async fn desk(dir: &Path) -> JoinDesk {
    let secret = Arc::new(ClusterSecret::generate());
    let key = secret.signing_key();
    let cluster = NodeName::new("test").unwrap();
    let trust = Arc::new(Trust::new(cluster, key.public(), Box::new(|_, _| {})));
    let peers = Peers::new(Identity::generate().0, Arc::clone(&trust), Incarnation(1));
    let options = CatalogOptions::default();
    let catalog = EmbeddedCatalog::open(&dir.join("catalog"), &secret.fingerprint(), options).await.unwrap();
    JoinDesk {
        catalog,
        secret,
        key,
        pools: Arc::new(Pools::new(Arc::new(peers.clone()))),
        peers,
        trust,
        book: Arc::new(AddressBook::open(dir)),
        gateways: Vec::new(),
        wake: Arc::default(),
    }
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { desk: desk(dir.path()).await, _dir: dir }
    }

    /// The operator wants all nodes, in zone a.
    fn want_all(&self) {
        let member = |n| DesiredMember { node: node(n), zone: zone("a"), capacity_bytes: 1 };
        let spec = PoolSpec {
            erasure: ErasureProfile::new(4, 2).unwrap(),
            cipher: Cipher::default(),
            ack_shards: None,
            members: (0..NODES).map(member).collect(),
            scrub: Default::default(),
            recode: Default::default(),
        };
        self.desk.pools.put(pool(), Pool::new(spec));
    }

    /// What the desk certifies of a node that says it stands in a zone, or its words of refusal.
    async fn join(&self, n: u8, said: &str) -> Result<MemberRole, String> {
        self.join_by(peer(n), n, said).await
    }

    /// The same with another key than usual.
    async fn join_by(&self, key: PeerKey, n: u8, said: &str) -> Result<MemberRole, String> {
        let token = self.desk.secret.mint_join_token(&node(n), &pool(), [n; 16]);
        let request = JoinRequest {
            token: token.as_str().to_owned(),
            node: node(n),
            pool: pool(),
            zone: zone(said),
            capacity_bytes: 1,
            endpoint: Endpoint { host: "127.0.0.1".into(), mesh_port: 1, bulk_port: 2 },
            incarnation: Incarnation(1),
        };
        let answer = self.desk.handle(Caller::stranger(key), Request::Join(request), Bytes::new()).await;
        match answer.0 {
            Response::Joined(joined) => {
                let signed: SignedCertificate = postcard::from_bytes(&joined.certificate).unwrap();
                Ok(signed.verify(&self.desk.key.public(), &key, 0).unwrap().role)
            }
            Response::Refused(refusal) => Err(refusal.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_node_is_certified_for_the_zone_it_is_pinned_to() {
    let scene = Scene::new().await;
    scene.want_all();
    assert_eq!(scene.join(0, "a").await, Ok(MemberRole::Storage { pool: pool(), zone: zone("a") }));
    assert!(scene.desk.trust.knows(&peer(0)));
}

#[tokio::test]
async fn a_node_that_claims_another_zone_is_told_both_and_can_put_it_right() {
    let scene = Scene::new().await;
    scene.want_all();
    let refused = scene.join(0, "b").await.unwrap_err();
    for part in ["node n0", "zone b", "pinned it to zone a", "role.storage.zone to a", "pool main"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(!scene.desk.trust.knows(&peer(0)));
    assert!(scene.desk.catalog.bindings(&pool()).await.unwrap().is_empty(), "nothing is used up");
    assert!(scene.join(0, "a").await.is_ok());
    // Nor can one that was let in move by renewing its certificate.
    assert!(scene.join(0, "b").await.is_err());
}

#[tokio::test]
async fn a_node_joins_once_the_operator_wants_it() {
    let scene = Scene::new().await;
    let refused = scene.join(1, "a").await.unwrap_err();
    assert!(refused.contains("node n1 is not among the members wanted in pool main"), "{refused}");
    scene.want_all();
    assert!(scene.join(1, "a").await.is_ok());
    assert!(scene.join(NODES, "a").await.is_err(), "it has a token, but is not in the list");
}

#[tokio::test]
async fn a_volume_that_was_given_up_stays_out_until_it_is_wiped() {
    let scene = Scene::new().await;
    scene.want_all();
    scene.join(0, "a").await.unwrap();
    let certificate = Certificate {
        role: MemberRole::Storage { pool: pool(), zone: zone("a") },
        node: node(0),
        peer: peer(0),
        not_after_unix: now_unix() + 3600,
    };
    let certificate = postcard::to_stdvec(&SignedCertificate::sign(&scene.desk.key, certificate)).unwrap();
    let comes_back = || scene.desk.trust.accepts(peer(0), Some(&certificate), Incarnation(1)).unwrap();
    let before = comes_back();
    assert!(before.is_known(), "the control");
    assert_eq!(scene.desk.catalog.give_up(&pool(), &node(0), 1).await.unwrap(), Some(peer(0)));
    scene.desk.trust.give_up(peer(0));

    let refused = scene.join(0, "a").await.unwrap_err();
    for part in ["given up for lost as node n0 of pool main", "wipe the volume", "joins as a new one"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // A certificate that would hold for an hour lets it in nowhere, neither shown now nor before.
    assert!(!comes_back().is_known() && !scene.desk.trust.still_holds(&before));
    assert!(!scene.desk.trust.knows(&peer(0)) && !scene.desk.trust.known_peers().contains(&peer(0)));
    // Wiped, it has another key: by the same token it is let in.
    scene.join_by(peer(100), 0, "a").await.unwrap();
    assert!(scene.desk.trust.knows(&peer(100)));
}
