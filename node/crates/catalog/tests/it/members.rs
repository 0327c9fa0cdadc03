//! Pools, layouts, joins, incarnations, buckets.

use std::sync::atomic::{AtomicU64, Ordering};

use datamesh_catalog::catalog::{BindError, CommitLayoutError, IncarnationError, ProfileChange};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{BucketId, BucketKind, Catalog, NewBucket, WrappedSecret};
use datamesh_settings::admin::{DesiredMember, PoolSpec, RecodeSpec, ScrubSpec};
use datamesh_shard::{
    BucketName, Cipher, Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, ZoneName,
};

use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on:
    pools, layouts_are_compared_and_set, one_layout_wins, joins_bind_once, who_was_given_up_stays_out, incarnations_only_rise, buckets,
    a_bucket_is_made_once,
);

fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn spec(members: usize, ack_shards: Option<u8>) -> PoolSpec {
    let member = |n| DesiredMember {
        node: node(&format!("node-{n}")),
        zone: ZoneName::new("zone-a").unwrap(),
        capacity_bytes: 1 << 40,
    };
    PoolSpec {
        erasure: ErasureProfile::new(4, 2).unwrap(),
        cipher: Cipher::ChaCha20Poly1305,
        ack_shards,
        members: (0..members).map(member).collect(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}

async fn pools<K: Keyspace>(catalog: Catalog<K>) {
    assert_eq!(catalog.pools().await.unwrap(), []);
    catalog.put_pool(&pool("slow"), &spec(3, None)).await.unwrap();
    catalog.put_pool(&pool("fast"), &spec(6, Some(5))).await.unwrap();
    catalog.put_pool(&pool("slow"), &spec(4, None)).await.unwrap();
    let expected = [(pool("fast"), spec(6, Some(5))), (pool("slow"), spec(4, None))];
    assert_eq!(catalog.pools().await.unwrap(), expected);
    assert!(catalog.put_pool(&pool("vast"), &spec(1001, None)).await.is_err());
    let paused = ScrubSpec { paused: true, max_bytes_per_second: Some(5 << 20), ..ScrubSpec::default() };
    let changed = PoolSpec { scrub: paused, ..spec(4, None) };
    catalog.put_pool(&pool("slow"), &changed).await.unwrap();
    assert_eq!(catalog.pools().await.unwrap()[1].1, changed);
    let recode = RecodeSpec { enabled: true, max_bytes_per_second: Some(5 << 20) };
    let changed = PoolSpec { recode, ..changed };
    catalog.put_pool(&pool("slow"), &changed).await.unwrap();
    assert_eq!(catalog.pools().await.unwrap()[1].1, changed);
    assert_eq!(catalog.pools().await.unwrap()[0], expected[0], "the other pool's is as it was");
    catalog.put_pool(&pool("slow"), &spec(4, None)).await.unwrap();
    assert_eq!(catalog.pools().await.unwrap(), expected);
}

async fn layouts_are_compared_and_set<K: Keyspace>(catalog: Catalog<K>) {
    let none = ProfileChange::default();
    let commit = async |epoch, previous: Option<u64>, signed: &[u8]| {
        catalog.commit_layout(&pool("fast"), Epoch(epoch), previous.map(Epoch), signed.to_vec(), &none).await
    };
    let conflict = |current: Option<u64>| Err(CommitLayoutError::Conflict { current: current.map(Epoch) });
    assert_eq!(commit(2, Some(1), b"two").await, conflict(None));
    commit(1, None, b"one").await.unwrap();
    commit(1, None, b"one").await.expect("the same again");
    assert_eq!(commit(1, None, b"another one").await, conflict(Some(1)));
    assert_eq!(commit(2, None, b"two").await, conflict(Some(1)));
    assert_eq!(commit(1, Some(1), b"x").await, Err(CommitLayoutError::NotNewer { epoch: Epoch(1) }));
    commit(2, Some(1), b"two").await.unwrap();
    let all = [(Epoch(1), b"one".to_vec()), (Epoch(2), b"two".to_vec())];
    assert_eq!(catalog.layouts(&pool("fast")).await.unwrap(), all);
    assert_eq!(catalog.newest_layout(&pool("fast")).await.unwrap().as_ref(), all.last());
    assert_eq!(
        catalog.layouts(&pool("fas")).await.unwrap(),
        [],
        "a pool whose name is a prefix of another's"
    );
    assert_eq!(catalog.newest_layout(&pool("slow")).await.unwrap(), None);
}

async fn one_layout_wins<K: Keyspace>(catalog: Catalog<K>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16_u8 {
        let catalog = catalog.clone();
        tasks.spawn(async move {
            let none = ProfileChange::default();
            catalog.commit_layout(&pool("fast"), Epoch(1), None, vec![n], &none).await.map(|()| n)
        });
    }
    let won: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(catalog.newest_layout(&pool("fast")).await.unwrap(), Some((Epoch(1), won)));
}

async fn joins_bind_once<K: Keyspace>(catalog: Catalog<K>) {
    let (token, other_token) = ([1; 16], [2; 16]);
    let (peer, other_peer) = (PeerKey([1; 32]), PeerKey([2; 32]));
    let fast = pool("fast");
    let bind = async |nonce, name: &str, peer| catalog.bind_join(nonce, &node(name), &fast, peer).await;
    bind(token, "a", peer).await.unwrap();
    bind(token, "a", peer).await.expect("the same again");
    assert_eq!(bind(token, "a", other_peer).await, Err(BindError::UsedByOther));
    assert_eq!(bind(token, "b", peer).await, Err(BindError::UsedByOther));
    let bound = |name| (pool("fast"), node(name));
    let (pool_, node_) = bound("a");
    assert_eq!(
        bind(other_token, "a", other_peer).await,
        Err(BindError::NodeBoundToOther { pool: pool_.clone(), node: node_.clone() })
    );
    assert_eq!(
        bind(other_token, "b", peer).await,
        Err(BindError::PeerBoundToOther { pool: pool_, node: node_ })
    );
    bind(other_token, "a", peer).await.expect("a further token for the same node and key");
    bind([3; 16], "b", other_peer).await.unwrap();
    assert_eq!(catalog.bindings(&fast).await.unwrap(), [(node("a"), peer), (node("b"), other_peer)]);
    assert!(catalog.unbind(&fast, &node("a")).await.unwrap());
    assert!(!catalog.unbind(&fast, &node("a")).await.unwrap());
    bind([4; 16], "a", PeerKey([9; 32])).await.expect("a lost node comes back with a new key and token");
    assert_eq!(bind([4; 16], "a", peer).await, Err(BindError::UsedByOther));
    bind(token, "a", PeerKey([9; 32]))
        .await
        .expect("the lost node's tokens can be used anew, for its name only");
    assert_eq!(
        bind([3; 16], "a", PeerKey([9; 32])).await,
        Err(BindError::UsedByOther),
        "others' tokens stay used"
    );
}

async fn who_was_given_up_stays_out<K: Keyspace>(catalog: Catalog<K>) {
    let (fast, lost, new) = (pool("fast"), PeerKey([1; 32]), PeerKey([2; 32]));
    let bind = async |nonce, name: &str, peer| catalog.bind_join([nonce; 16], &node(name), &fast, peer).await;
    bind(1, "a", lost).await.unwrap();
    assert_eq!(catalog.give_up(&fast, &node("b"), 5).await.unwrap(), None);
    assert_eq!(catalog.give_up(&fast, &node("a"), 5).await.unwrap(), Some(lost));
    assert_eq!(catalog.give_up(&fast, &node("a"), 6).await.unwrap(), None, "asked once more");
    let refused = Err(BindError::GivenUp { pool: fast.clone(), node: node("a") });
    for (nonce, name) in [(1, "a"), (2, "a"), (3, "b")] {
        assert_eq!(bind(nonce, name, lost).await, refused, "by no name and no token");
    }
    bind(1, "a", new).await.expect("the token and the name are free for an empty volume");
    assert_eq!(catalog.given_up().await.unwrap(), [lost]);
    // One that left, with nothing on it, comes back as it is.
    assert!(catalog.unbind(&fast, &node("a")).await.unwrap());
    bind(1, "a", new).await.unwrap();
}

async fn incarnations_only_rise<K: Keyspace>(catalog: Catalog<K>) {
    let (peer, other) = (PeerKey([1; 32]), PeerKey([2; 32]));
    for seen in [1, 1, 5, 5] {
        catalog.observe_incarnation(peer, Incarnation(seen)).await.unwrap();
    }
    let lower = Err(IncarnationError::Lower { known: Incarnation(5) });
    assert_eq!(catalog.observe_incarnation(peer, Incarnation(4)).await, lower);
    catalog.observe_incarnation(other, Incarnation(1)).await.unwrap();
}

fn new_bucket(name: &str) -> NewBucket {
    NewBucket {
        name: BucketName::new(name).unwrap(),
        kind: BucketKind::Managed,
        pool: pool("fast"),
        locking: None,
        created_unix_ms: 77,
    }
}

fn secret_of(id: BucketId) -> WrappedSecret {
    WrappedSecret { version: 1, bytes: id.0.to_le_bytes().to_vec() }
}

async fn buckets<K: Keyspace>(catalog: Catalog<K>) {
    assert_eq!(catalog.bucket(&new_bucket("default").name).await.unwrap(), None);
    let made = catalog.ensure_bucket(new_bucket("default"), secret_of).await.unwrap();
    assert_eq!((made.id, made.secrets.as_slice()), (BucketId(1), [secret_of(BucketId(1))].as_slice()));
    let again = catalog.ensure_bucket(new_bucket("default"), |_| panic!("there is one")).await.unwrap();
    assert_eq!(again, made);
    let other = catalog.ensure_bucket(new_bucket("archive"), secret_of).await.unwrap();
    assert_eq!(other.id, BucketId(2));
    assert_eq!(catalog.buckets().await.unwrap(), [other, made.clone()]);
    assert_eq!(catalog.bucket(&made.name).await.unwrap(), Some(made));
    let long = |_| WrappedSecret { version: 1, bytes: vec![0; 1025] };
    assert!(catalog.ensure_bucket(new_bucket("bad"), long).await.is_err());
}

async fn a_bucket_is_made_once<K: Keyspace>(catalog: Catalog<K>) {
    let wrapped = AtomicU64::new(0);
    let wrapped = std::sync::Arc::new(wrapped);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24 {
        let (catalog, wrapped) = (catalog.clone(), wrapped.clone());
        tasks.spawn(async move {
            let name = format!("bucket-{}", n % 3);
            let make = |id| {
                wrapped.fetch_add(1, Ordering::Relaxed);
                secret_of(id)
            };
            catalog.ensure_bucket(new_bucket(&name), make).await.unwrap()
        });
    }
    let mut all = tasks.join_all().await;
    all.sort_by_key(|bucket| bucket.id);
    all.dedup();
    assert_eq!(all.iter().map(|bucket| bucket.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(
        all.iter().all(|bucket| bucket.secrets == [secret_of(bucket.id)]),
        "each secret is of its own bucket"
    );
    assert!(wrapped.load(Ordering::Relaxed) >= 3);
}
