//! S3 key pairs: kept, listed, refused, revoked.

use datamesh_catalog::catalog::{AccessKeyError, By, CredentialError, Ends, KeyFor, Proven, UserError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::limits::ACCESS_KEYS_OF_USER_MAX;
use datamesh_catalog::{AccessKey, AccessKeyId, Catalog, Grant, PasswordHash, Permission, Role, User};
use datamesh_shard::BucketName;

use crate::accounts::{id, reset, session, user};
use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: kept_until_revoked, limits, of_users, bounded, gone_with_their_owner, refused_once_nothing_of_them_is_trusted, however_many);

fn key(id: &str) -> AccessKey {
    AccessKey {
        id: id.parse().unwrap(),
        grant: Grant {
            name: "backup".into(),
            owner: "admin".into(),
            permission: Permission::ReadWrite,
            buckets: vec![BucketName::new("backups").unwrap()],
            created_unix_ms: 5,
            disabled: false,
        },
        sealed_secret: vec![1, 2, 3],
    }
}

async fn kept_until_revoked<K: Keyspace>(catalog: Catalog<K>) {
    let (one, two) = (key("DM00000000000000AAAA"), key("DM00000000000000BBBB"));
    catalog.create_access_key(&two, KeyFor::Nobody).await.unwrap();
    catalog.create_access_key(&one, KeyFor::Nobody).await.unwrap();
    assert_eq!(
        catalog.create_access_key(&one, KeyFor::Nobody).await,
        Err(AccessKeyError::Taken(one.id.clone()))
    );
    assert_eq!(catalog.access_keys().await.unwrap(), [one.clone(), two.clone()]);
    let (read, first) = catalog.access_key(&one.id).await.unwrap().unwrap();
    assert_eq!(read, one);
    assert!(catalog.disable_access_key(&one.id, true).await.unwrap());
    let (read, second) = catalog.access_key(&one.id).await.unwrap().unwrap();
    assert!(read.grant.disabled && second > first, "a cache sees by the revision that the row is another");
    assert!(catalog.delete_access_key(&one.id).await.unwrap());
    assert!(!catalog.delete_access_key(&one.id).await.unwrap());
    assert!(!catalog.disable_access_key(&one.id, false).await.unwrap());
    assert_eq!(catalog.access_key(&one.id).await.unwrap(), None);
    assert_eq!(catalog.access_keys().await.unwrap(), [two]);
}

async fn limits<K: Keyspace>(catalog: Catalog<K>) {
    let mut long = key("DM00000000000000AAAA");
    long.grant.name = "n".repeat(129);
    assert!(matches!(
        catalog.create_access_key(&long, KeyFor::Nobody).await,
        Err(AccessKeyError::Invalid(_))
    ));
    let mut many = key("DM00000000000000AAAA");
    many.grant.buckets = vec![BucketName::new("b").unwrap(); 101];
    assert!(matches!(
        catalog.create_access_key(&many, KeyFor::Nobody).await,
        Err(AccessKeyError::Invalid(_))
    ));
    for text in ["", "DM", "dm00000000000000AAAA", "DM00000000000000AAAAA", "DM0000000000000/AAAA"] {
        assert!(text.parse::<AccessKeyId>().is_err(), "{text}");
    }
}

fn key_of(number: usize, owner: &str) -> AccessKey {
    let mut key = key(&format!("DM{number:018}"));
    key.grant.owner = owner.into();
    key
}

fn password() -> PasswordHash {
    PasswordHash("proven".into())
}

/// A user with a password, signed in.
async fn alice<K: Keyspace>(catalog: &Catalog<K>) -> User {
    let alice = User { password: Some(password()), ..user(1, "alice") };
    catalog.create_user(&alice, None).await.unwrap();
    catalog.add_credential(alice.id, (id(1), &session(5)), 5).await.unwrap();
    alice
}

fn hers<'a>(alice: &User, password: &'a PasswordHash) -> KeyFor<'a> {
    KeyFor::Themselves { user: alice.id, proven: Proven { password, factor: None }, asks: id(1) }
}

async fn of_users<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, password) = (alice(&catalog).await, password());
    let (own, given) = (key_of(1, "alice"), key_of(2, "Alice"));
    catalog.create_access_key(&own, hers(&alice, &password)).await.unwrap();
    catalog.create_access_key(&given, KeyFor::User(alice.id)).await.unwrap();
    catalog.create_access_key(&key_of(3, "admin"), KeyFor::Nobody).await.unwrap();
    assert_eq!(catalog.access_keys_of("ALICE").await.unwrap(), [own.clone(), given]);
    let create = async |given| catalog.create_access_key(&key_of(4, "alice"), given).await;
    let superseded = Err(AccessKeyError::Owner(CredentialError::Superseded));
    let other = PasswordHash("another".into());
    assert_eq!(create(hers(&alice, &other)).await, superseded, "the password is another by now");
    let nobody = user(9, "bob").id;
    assert_eq!(create(KeyFor::User(nobody)).await, Err(AccessKeyError::Owner(CredentialError::NoUser)));
    catalog.end_credential(alice.id, id(1)).await.unwrap();
    assert_eq!(create(hers(&alice, &password)).await, superseded, "the session has ended");
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(create(KeyFor::User(alice.id)).await, Err(AccessKeyError::Disabled));
    assert!(catalog.disable_access_key(&own.id, true).await.unwrap());
    assert_eq!(catalog.disable_access_key(&own.id, false).await, Err(AccessKeyError::Disabled));
    catalog.change_user(alice.id, |user| user.disabled = false).await.unwrap();
    assert!(catalog.disable_access_key(&own.id, false).await.unwrap());
}

/// However many ask at once.
async fn bounded<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, password) = (alice(&catalog).await, password());
    let keys: Vec<_> = (0..ACCESS_KEYS_OF_USER_MAX + 5).map(|number| key_of(number, "alice")).collect();
    let asked = keys.iter().map(|key| catalog.create_access_key(key, hers(&alice, &password)));
    let asked = futures::future::join_all(asked).await;
    assert_eq!(asked.iter().filter(|made| made.is_ok()).count(), ACCESS_KEYS_OF_USER_MAX);
    let full = |made: &&Result<(), AccessKeyError>| **made == Err(AccessKeyError::Full);
    assert_eq!(asked.iter().filter(full).count(), 5);
    catalog.create_access_key(&key_of(100, "alice"), KeyFor::User(alice.id)).await.unwrap();
}

/// A key that is made while its owner is deleted is gone with them, or not made.
async fn gone_with_their_owner<K: Keyspace>(catalog: Catalog<K>) {
    let kept = key_of(100, "alice2");
    catalog.create_access_key(&kept, KeyFor::Nobody).await.unwrap();
    let (alice, password) = (alice(&catalog).await, password());
    let keys: Vec<_> = (0..8).map(|number| key_of(number, "alice")).collect();
    let made = keys.iter().map(|key| catalog.create_access_key(key, hers(&alice, &password)));
    let (deleted, made) =
        futures::future::join(catalog.delete_user(alice.id), futures::future::join_all(made)).await;
    assert!(deleted.unwrap());
    for made in made {
        assert!(matches!(made, Ok(()) | Err(AccessKeyError::Owner(CredentialError::NoUser))), "{made:?}");
    }
    assert_eq!(catalog.access_keys().await.unwrap(), std::slice::from_ref(&kept));
    let taken = user(2, "ALICE2");
    assert_eq!(catalog.create_user(&taken, None).await, Err(UserError::KeysOf(taken.name.clone())));
    catalog.delete_access_key(&kept.id).await.unwrap();
    catalog.create_user(&taken, None).await.unwrap();
}

/// By whoever resets a password or refuses their owner; not by who chooses their first, nor another.
async fn refused_once_nothing_of_them_is_trusted<K: Keyspace>(catalog: Catalog<K>) {
    let alice = alice(&catalog).await;
    let (hers, other) = (key_of(1, "Alice"), key_of(2, "bob"));
    catalog.create_access_key(&hers, KeyFor::User(alice.id)).await.unwrap();
    catalog.create_access_key(&other, KeyFor::Nobody).await.unwrap();
    let disabled = async || {
        let keys = catalog.access_keys().await.unwrap();
        keys.iter().map(|key| key.grant.disabled).collect::<Vec<_>>()
    };
    let chosen = PasswordHash("chosen".into());
    let choose =
        async |ends, by| catalog.set_password(alice.id, Some(chosen.clone()), (ends, by)).await.unwrap();
    let by_code = async |number| {
        catalog.add_credential(alice.id, (id(number), &reset()), 5).await.unwrap();
        choose(Ends::All, By::Code(id(number))).await
    };
    assert!(choose(Ends::SessionsBut(id(1)), By::Password(password())).await);
    assert_eq!(disabled().await, [false, false], "another password");
    assert!(by_code(2).await);
    assert_eq!(disabled().await, [true, false]);
    assert!(catalog.disable_access_key(&hers.id, false).await.unwrap());
    catalog.set_password(alice.id, None, (Ends::All, By::Administrator)).await.unwrap();
    assert_eq!(disabled().await, [true, false]);
    assert!(catalog.disable_access_key(&hers.id, false).await.unwrap());
    assert!(by_code(3).await);
    assert_eq!(disabled().await, [false, false], "the first since");
    catalog.set_standing(alice.id, (Some(Role::Auditor), None)).await.unwrap();
    assert_eq!(disabled().await, [false, false], "another role");
    let refused = catalog.set_standing(alice.id, (None, Some(true))).await.unwrap().unwrap();
    assert_eq!((refused.role, refused.disabled), (Role::Auditor, true));
    assert_eq!(disabled().await, [true, false]);
    let back = catalog.set_standing(alice.id, (None, Some(false))).await.unwrap().unwrap();
    assert!(!back.disabled);
    assert_eq!(disabled().await, [true, false], "until each is enabled");
}

/// More than one commit holds, each as long as it may be: 300 of 7 KiB are two.
async fn however_many<K: Keyspace>(catalog: Catalog<K>) {
    const KEYS: usize = 300;
    let alice = alice(&catalog).await;
    let buckets: Vec<_> = (0..100).map(|number| BucketName::new(&format!("{number:063}")).unwrap()).collect();
    for number in 0..KEYS {
        let mut wide = key_of(number, "alice");
        wide.grant.buckets.clone_from(&buckets);
        catalog.create_access_key(&wide, KeyFor::User(alice.id)).await.unwrap();
    }
    let other = key_of(KEYS, "bob");
    catalog.create_access_key(&other, KeyFor::Nobody).await.unwrap();
    let disabled = async || {
        let keys = catalog.access_keys().await.unwrap();
        keys.iter().filter(|key| key.grant.disabled).count()
    };
    assert!(catalog.set_standing(alice.id, (None, Some(true))).await.unwrap().unwrap().disabled);
    assert_eq!(disabled().await, KEYS);
    catalog.set_standing(alice.id, (None, Some(false))).await.unwrap();
    for number in 0..KEYS {
        assert!(catalog.disable_access_key(&key_of(number, "alice").id, false).await.unwrap());
    }
    assert!(catalog.set_password(alice.id, None, (Ends::All, By::Administrator)).await.unwrap());
    assert_eq!(disabled().await, KEYS);
    assert!(catalog.delete_user(alice.id).await.unwrap());
    assert_eq!(catalog.access_keys().await.unwrap(), [other]);
}
