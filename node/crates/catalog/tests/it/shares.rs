//! Shares: they end with their user, and what is counted is counted once whichever gateways are asked.

use datamesh_catalog::catalog::{By, Ends, ShareError};
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{Batch, Keyspace, RangeLimits, View};
use datamesh_catalog::limits::SHARES_MAX;
use datamesh_catalog::{AskedDownload, BucketId, Catalog, CredentialId, ObjectKey, Share, Shared, UserId};
use datamesh_shard::BucketName;

use crate::accounts::{session, user};
use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: ending, counting, room, too_many, strays);

const ALICE: UserId = UserId([1; 16]);
const SESSION: CredentialId = CredentialId([9; 8]);

fn id(number: u16) -> CredentialId {
    CredentialId(u64::from(number).to_be_bytes())
}

fn share(until_unix_ms: u64) -> Share {
    Share {
        hash: [7; 32],
        bucket: BucketId(1),
        bucket_name: BucketName::new("default").unwrap(),
        what: Shared::Object { key: ObjectKey::new("a").unwrap(), downloads_max: Some(3) },
        password: None,
        created_unix_ms: 5,
        until_unix_ms,
    }
}

/// Alice, signed in.
async fn alice<K: Keyspace>(catalog: &Catalog<K>) {
    let user = user(1, "alice");
    assert_eq!(user.id, ALICE);
    catalog.create_user(&user, None).await.unwrap();
    let session = session(5);
    catalog.add_credential(ALICE, (SESSION, &session), 5).await.unwrap();
}

async fn add<K: Keyspace>(catalog: &Catalog<K>, number: u16, until_unix_ms: u64) -> Result<(), ShareError> {
    catalog.add_share((ALICE, SESSION), (id(number), &share(until_unix_ms)), 10).await
}

async fn rows<K: Keyspace>(catalog: &Catalog<K>) -> usize {
    let view = catalog.keyspace().view().await.unwrap();
    let mut count = 0;
    for table in [Table::Share, Table::ShareUse] {
        count += view.range(&keys::all(table), RangeLimits::default()).await.unwrap().rows.len();
    }
    count
}

async fn ending<K: Keyspace>(catalog: Catalog<K>) {
    assert_eq!(add(&catalog, 1, 1000).await, Err(ShareError::Superseded), "there is no such user");
    alice(&catalog).await;
    add(&catalog, 1, 1000).await.unwrap();
    let (found, owner) = catalog.share(ALICE, id(1)).await.unwrap().unwrap();
    assert_eq!((found, owner.id), (share(1000), ALICE));
    add(&catalog, 2, 15).await.unwrap();
    catalog.add_share((ALICE, SESSION), (id(3), &share(1000)), 15).await.unwrap();
    let ids = catalog.shares(ALICE).await.unwrap().into_iter().map(|known| known.id).collect::<Vec<_>>();
    assert_eq!(ids, [id(1), id(3)], "what has run out goes when another is made");
    assert!(catalog.end_share(ALICE, id(3)).await.unwrap());
    assert!(!catalog.end_share(ALICE, id(3)).await.unwrap());
    catalog.set_password(ALICE, None, (Ends::All, By::Administrator)).await.unwrap();
    assert_eq!(
        (catalog.share(ALICE, id(1)).await.unwrap(), rows(&catalog).await),
        (None, 0),
        "a reset ends all"
    );
    assert_eq!(add(&catalog, 4, 1000).await, Err(ShareError::Superseded), "the session has ended");
    catalog.delete_user(ALICE).await.unwrap();
    alice(&catalog).await;
    add(&catalog, 5, 1000).await.unwrap();
    catalog.change_user(ALICE, |user| user.disabled = true).await.unwrap();
    assert_eq!(add(&catalog, 6, 1000).await, Err(ShareError::Superseded), "disabled");
    catalog.delete_user(ALICE).await.unwrap();
    assert_eq!(rows(&catalog).await, 0);
}

/// Many ask at the same moment.
async fn counting<K: Keyspace>(catalog: Catalog<K>) {
    alice(&catalog).await;
    add(&catalog, 1, 1000).await.unwrap();
    let count = async |who: u8, bytes: u64| {
        let asked = AskedDownload { whose: [who; 16], bytes, of: 100 };
        catalog.count_download((ALICE, id(1)), (asked, 3), 10).await.unwrap()
    };
    let all = futures::future::join_all((0..12).map(|who| count(who, 100))).await;
    assert_eq!(all.iter().filter(|may| **may).count(), 3);
    let used = catalog.shares(ALICE).await.unwrap()[0].used.clone();
    assert_eq!((used.downloads, used.under_way.len()), (3, 3));
    let who = u8::try_from(all.iter().position(|may| *may).unwrap()).unwrap();
    assert!(count(who, 50).await && !count(who, 100).await, "it may go on, and not begin again");
    catalog.end_share(ALICE, id(1)).await.unwrap();
    assert!(!count(who, 10).await, "it has ended, and so has what was under way");
    assert_eq!(rows(&catalog).await, 0, "nothing is left of it");
}

async fn room<K: Keyspace>(catalog: Catalog<K>) {
    alice(&catalog).await;
    add(&catalog, 1, 1000).await.unwrap();
    let which = (ALICE, id(1));
    let take = async |bytes| catalog.take_room(which, (bytes, (5, 100))).await.unwrap();
    let all = futures::future::join_all((0..8).map(|_| take(30))).await;
    assert_eq!(all.iter().filter(|may| **may).count(), 3, "as many as fit");
    catalog.give_room_back(which, 30).await.unwrap();
    assert!(take(40).await && !take(1).await);
    catalog.end_share(ALICE, id(1)).await.unwrap();
    catalog.give_room_back(which, 30).await.unwrap();
    assert_eq!(rows(&catalog).await, 0, "what is given back to a share that ended makes no row");
}

async fn too_many<K: Keyspace>(catalog: Catalog<K>) {
    alice(&catalog).await;
    for number in 0..u16::try_from(SHARES_MAX).unwrap() {
        add(&catalog, number, 1000).await.unwrap();
    }
    assert!(matches!(add(&catalog, 600, 1000).await, Err(ShareError::Invalid(_))));
    catalog.delete_user(ALICE).await.unwrap();
    assert_eq!(rows(&catalog).await, 0, "all go in one batch");
}

async fn strays<K: Keyspace>(catalog: Catalog<K>) {
    alice(&catalog).await;
    add(&catalog, 1, 1000).await.unwrap();
    add(&catalog, 2, 1000).await.unwrap();
    assert_eq!(catalog.stray_shares(true).await.unwrap(), []);
    let mut batch = Batch::new();
    batch.delete(keys::share(ALICE, id(2)));
    batch.delete(keys::user(ALICE));
    catalog.keyspace().commit(batch).await.unwrap();
    let found = catalog.stray_shares(false).await.unwrap();
    let ids: Vec<_> = found.iter().map(|stray| (stray.id, stray.mended)).collect();
    assert_eq!(ids, [(id(1), false), (id(2), false)]);
    assert_eq!(catalog.stray_shares(true).await.unwrap().len(), 2);
    assert_eq!((catalog.stray_shares(false).await.unwrap(), rows(&catalog).await), (vec![], 0));
}
