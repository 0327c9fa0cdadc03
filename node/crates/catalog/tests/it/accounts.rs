//! Users and what stands for them: names are given once, rows decide, what ends is gone in the same batch.

use datamesh_catalog::catalog::{By, Claimant, CredentialError, Ends, Proven, UserError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    Account, AddressCode, Catalog, Credential, CredentialId, CredentialKind, PasswordHash, Registration,
    Role, SecondFactor, Shown, User, UserId, UserName,
};

use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: names, changes, credentials, passwords, races, addresses, confirmed_addresses, one_use, too_many, second_factors, one_code_once);

pub(super) fn user(number: u8, name: &str) -> User {
    User {
        id: UserId([number; 16]),
        name: name.parse().unwrap(),
        email: None,
        role: Role::Member,
        disabled: false,
        created_unix_ms: 5,
        password: None,
        failed_sign_ins: 0,
        last_failed_unix_ms: 0,
    }
}

fn credential(kind: CredentialKind, used_unix_ms: u64) -> Credential {
    Credential {
        hash: [7; 32],
        kind,
        created_unix_ms: 5,
        used_unix_ms,
        until_unix_ms: 1000,
        address: "10.0.0.1".into(),
    }
}

pub(super) fn session(used_unix_ms: u64) -> Credential {
    credential(CredentialKind::Session { device: "test".into() }, used_unix_ms)
}

pub(super) fn reset() -> Credential {
    credential(CredentialKind::Reset, 0)
}

fn token() -> Credential {
    credential(CredentialKind::Token { name: "t".into(), scopes: Vec::new() }, 0)
}

pub(super) fn id(number: u8) -> CredentialId {
    CredentialId([number; 8])
}

fn by(password: &PasswordHash) -> Proven<'_> {
    Proven { password, factor: None }
}

async fn ids<K: Keyspace>(catalog: &Catalog<K>, of: &User) -> Vec<CredentialId> {
    catalog.credentials(of.id).await.unwrap().into_iter().map(|known| known.id).collect()
}

async fn names<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(2, "Alice"), user(1, "bob"));
    catalog.create_user(&bob, None).await.unwrap();
    catalog.create_user(&alice, None).await.unwrap();
    let other = user(3, "aLICE");
    assert_eq!(catalog.create_user(&other, None).await, Err(UserError::Taken(other.name.clone())));
    assert_eq!(catalog.user_of(&"ALICE".parse().unwrap()).await.unwrap(), Some(alice.clone()));
    assert_eq!(catalog.user_of(&"carol".parse().unwrap()).await.unwrap(), None);
    assert_eq!(catalog.users(None, 1).await.unwrap(), (vec![alice.clone()], true));
    assert_eq!(catalog.users(Some(&alice.name), 1).await.unwrap(), (vec![bob], false));
    assert!(catalog.delete_user(alice.id).await.unwrap());
    assert!(!catalog.delete_user(alice.id).await.unwrap());
    assert_eq!(catalog.user(alice.id).await.unwrap(), None);
    catalog.create_user(&other, None).await.unwrap();
    for wrong in ["", "-a", "a b", "ä", "a/b", &"a".repeat(65)] {
        assert!(wrong.parse::<UserName>().is_err(), "{wrong}");
    }
}

async fn changes<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    assert_eq!(catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap(), None);
    catalog.create_user(&alice, None).await.unwrap();
    let many = (0..8).map(|_| catalog.change_user(alice.id, |user| user.failed_sign_ins += 1));
    futures::future::join_all(many).await.into_iter().for_each(|changed| drop(changed.unwrap().unwrap()));
    assert_eq!(catalog.user(alice.id).await.unwrap().unwrap().failed_sign_ins, 8, "none is lost");
    assert_eq!(catalog.registration().await.unwrap(), Registration::Closed);
    catalog.set_registration(Registration::Invite).await.unwrap();
    assert_eq!(catalog.registration().await.unwrap(), Registration::Invite);
}

async fn credentials<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    let refused = catalog.add_credential(alice.id, (id(1), &session(5)), 5).await;
    assert_eq!(refused, Err(CredentialError::NoUser));
    catalog.create_user(&alice, None).await.unwrap();
    catalog.add_credential(alice.id, (id(1), &session(5)), 5).await.unwrap();
    catalog.add_credential(alice.id, (id(2), &token()), 5).await.unwrap();
    let read = catalog.credential(alice.id, id(1)).await.unwrap();
    let account = Account { user: alice.clone(), groups: Vec::new() };
    assert_eq!(read, Some((session(5), Some(account))));
    catalog.touch_credential(alice.id, id(1), (9, "10.0.0.2")).await.unwrap();
    let (read, _) = catalog.credential(alice.id, id(1)).await.unwrap().unwrap();
    assert_eq!((read.used_unix_ms, read.address.as_str()), (9, "10.0.0.2"));
    assert!(catalog.end_credential(alice.id, id(1)).await.unwrap());
    assert!(!catalog.end_credential(alice.id, id(1)).await.unwrap());
    catalog.touch_credential(alice.id, id(1), (9, "10.0.0.2")).await.unwrap();
    assert_eq!(catalog.credential(alice.id, id(1)).await.unwrap(), None, "a use brings nothing back");
    catalog.delete_user(alice.id).await.unwrap();
    assert_eq!(catalog.credential(alice.id, id(2)).await.unwrap(), None);
    catalog.add_credential(UserId([0; 16]), (id(1), &token()), 5).await.unwrap();
}

async fn passwords<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    catalog.create_user(&alice, None).await.unwrap();
    for (number, credential) in [(1, session(5)), (2, session(6)), (3, token())] {
        catalog.add_credential(alice.id, (id(number), &credential), 5).await.unwrap();
    }
    let hash = Some(PasswordHash("one".into()));
    let but = Ends::SessionsBut(id(2));
    assert!(catalog.set_password(alice.id, hash.clone(), (but, By::Administrator)).await.unwrap());
    assert_eq!(ids(&catalog, &alice).await, [id(2), id(3)]);
    assert_eq!(catalog.user(alice.id).await.unwrap().unwrap().password, hash);
    assert!(catalog.set_password(alice.id, None, (Ends::All, By::Administrator)).await.unwrap());
    assert!(ids(&catalog, &alice).await.is_empty());
    assert!(!catalog.set_password(UserId([9; 16]), None, (Ends::All, By::Administrator)).await.unwrap());
}

/// A hash takes its time: what was proven before it counts only as long as it still holds.
async fn races<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    catalog.create_user(&alice, None).await.unwrap();
    let (old, new) = (PasswordHash("old".into()), PasswordHash("new".into()));
    let all = (Ends::All, By::Administrator);
    catalog.set_password(alice.id, Some(old.clone()), all.clone()).await.unwrap();
    catalog.add_session((alice.id, by(&old)), (id(1), &session(5)), 5).await.unwrap();
    let change = (Ends::SessionsBut(id(1)), By::Password(old.clone()));
    catalog.end_credential(alice.id, id(1)).await.unwrap();
    let ended = catalog.set_password(alice.id, Some(new.clone()), change.clone()).await.unwrap();
    assert!(!ended, "a session that ended changes nothing");
    catalog.add_session((alice.id, by(&old)), (id(1), &session(5)), 5).await.unwrap();
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    let disabled = catalog.add_session((alice.id, by(&old)), (id(2), &session(5)), 5).await;
    assert_eq!(disabled, Err(CredentialError::Superseded));
    assert!(!catalog.set_password(alice.id, Some(new.clone()), change.clone()).await.unwrap());
    catalog.change_user(alice.id, |user| user.disabled = false).await.unwrap();
    assert!(catalog.set_password(alice.id, Some(new.clone()), change.clone()).await.unwrap());
    assert!(!catalog.set_password(alice.id, Some(old.clone()), change).await.unwrap(), "it is another");
    catalog.set_password(alice.id, None, all).await.unwrap();
    for proven in [old, new] {
        let late = catalog.add_session((alice.id, by(&proven)), (id(3), &session(5)), 5).await;
        assert_eq!(late, Err(CredentialError::Superseded));
    }
}

/// An address is set by what still holds, and codes that went to another end with it.
async fn addresses<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, hash) = (user(1, "alice"), PasswordHash("h".into()));
    catalog.create_user(&alice, None).await.unwrap();
    let reset = credential(CredentialKind::Reset, 0);
    let mail = async |number, to| catalog.add_mailed_code((alice.id, to), (id(number), &reset), 5).await;
    let set = async |email: &str, by: Option<(&PasswordHash, CredentialId)>| {
        catalog.set_email(alice.id, Some(email.into()), by).await.unwrap().is_some()
    };
    catalog.add_credential(alice.id, (id(9), &reset), 5).await.unwrap();
    assert!(set("a@x", None).await);
    assert_eq!(ids(&catalog, &alice).await, [id(9)], "an administrator's code is not one that was mailed");
    assert_eq!(mail(1, "a@x").await, Err(CredentialError::Superseded), "nor is one mailed beside it");
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::All, By::Administrator)).await.unwrap();
    catalog.add_session((alice.id, by(&hash)), (id(8), &session(5)), 5).await.unwrap();
    assert_eq!(mail(1, "b@x").await, Err(CredentialError::Superseded), "the address is another");
    for number in 1..=3 {
        mail(number, "a@x").await.unwrap();
    }
    assert!(matches!(mail(4, "a@x").await, Err(CredentialError::Invalid(_))));
    assert!(!set("b@x", Some((&PasswordHash("old".into()), id(8)))).await, "the password is another");
    assert!(!set("b@x", Some((&hash, id(7)))).await, "the session ended");
    assert!(set("b@x", Some((&hash, id(8)))).await);
    assert_eq!(ids(&catalog, &alice).await, [id(8)], "what was mailed to the old one has ended");
    let long = catalog.set_email(alice.id, Some("a".repeat(1 << 16)), None).await;
    assert!(matches!(long, Err(UserError::Invalid(_))));
    mail(5, "b@x").await.unwrap();
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    let by_code = (Ends::All, By::Code(id(5)));
    assert!(!catalog.set_password(alice.id, Some(hash.clone()), by_code).await.unwrap(), "they are disabled");
    assert_eq!(mail(6, "b@x").await, Err(CredentialError::Superseded));
}

/// An address is the user's once they have read what was mailed there.
async fn confirmed_addresses<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, hash) = (user(1, "alice"), PasswordHash("h".into()));
    let to = |email: &str| AddressCode { hash: [0; 32], email: email.into(), until_unix_ms: 100 };
    catalog.create_user(&alice, None).await.unwrap();
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::All, By::Administrator)).await.unwrap();
    catalog.add_session((alice.id, by(&hash)), (id(1), &session(5)), 5).await.unwrap();
    let claim = async |number, email: &str, hash: &PasswordHash, asks| {
        let by = Claimant { user: alice.id, password: hash, asks: Some(asks) };
        catalog.add_address_code(by, (id(number), &to(email)), 5).await
    };
    let other = PasswordHash("other".into());
    assert_eq!(claim(2, "a@a", &other, id(1)).await, Err(CredentialError::Superseded), "another password");
    assert_eq!(claim(2, "a@a", &hash, id(9)).await, Err(CredentialError::Superseded), "no session");
    for number in 2..5 {
        claim(number, "a@a", &hash, id(1)).await.unwrap();
    }
    assert!(
        matches!(claim(5, "b@b", &hash, id(1)).await, Err(CredentialError::Invalid(_))),
        "three at a time"
    );
    assert_eq!(catalog.user(alice.id).await.unwrap().unwrap().email, None, "nobody read it yet");
    assert_eq!(catalog.confirm_email(alice.id, id(1)).await.unwrap(), None, "a session is no such code");
    let confirmed = catalog.confirm_email(alice.id, id(2)).await.unwrap().unwrap();
    assert_eq!(confirmed.email.as_deref(), Some("a@a"));
    assert_eq!(catalog.confirm_email(alice.id, id(2)).await.unwrap(), None, "once");
    assert_eq!(
        catalog.address_code(alice.id, id(3)).await.unwrap(),
        None,
        "what was mailed elsewhere has ended"
    );
    let reset = credential(CredentialKind::Reset, 5);
    catalog.add_mailed_code((alice.id, "a@a"), (id(6), &reset), 5).await.unwrap();
    claim(7, "c@c", &hash, id(1)).await.unwrap();
    catalog.set_email(alice.id, Some("d@d".into()), None).await.unwrap().unwrap();
    assert_eq!(
        catalog.confirm_email(alice.id, id(7)).await.unwrap(),
        None,
        "an administrator's word is the last"
    );
    assert_eq!(ids(&catalog, &alice).await, [id(1)]);
    claim(8, "c@c", &hash, id(1)).await.unwrap();
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(catalog.confirm_email(alice.id, id(8)).await.unwrap(), None, "disabled");
    // Who has just registered asks in no session, and must not be disabled either.
    let by = Claimant { user: alice.id, password: &hash, asks: None };
    let late = async || catalog.add_address_code(by, (id(9), &to("e@e")), 100).await;
    assert_eq!(late().await, Err(CredentialError::Superseded), "disabled");
    catalog.change_user(alice.id, |user| user.disabled = false).await.unwrap();
    late().await.unwrap();
    assert_eq!(catalog.address_code(alice.id, id(8)).await.unwrap(), None, "what has run out went with it");
}

async fn one_use<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(1, "alice"), user(2, "bob"));
    catalog.create_user(&alice, None).await.unwrap();
    let invite = credential(CredentialKind::Invite { role: Role::Member }, 0);
    catalog.add_credential(alice.id, (id(1), &invite), 5).await.unwrap();
    catalog.create_user(&bob, Some((alice.id, id(1)))).await.unwrap();
    let again = catalog.create_user(&user(3, "carol"), Some((alice.id, id(1)))).await;
    assert_eq!(again, Err(UserError::NotInvited));
    catalog.add_credential(bob.id, (id(2), &credential(CredentialKind::Reset, 0)), 5).await.unwrap();
    let set = || catalog.set_password(bob.id, Some(PasswordHash("h".into())), (Ends::All, By::Code(id(2))));
    let both = futures::join!(set(), set());
    assert_ne!(both.0.unwrap(), both.1.unwrap(), "a code counts once, whoever comes together");
}

async fn too_many<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    catalog.create_user(&alice, None).await.unwrap();
    for number in 0..51 {
        catalog.add_credential(alice.id, (id(number), &session(number.into())), 5).await.unwrap();
    }
    let left = ids(&catalog, &alice).await;
    assert!(left.len() == 50 && !left.contains(&id(0)), "the session used longest ago ended");
    for number in 100..164 {
        catalog.add_credential(alice.id, (id(number), &token()), 5).await.unwrap();
    }
    let refused = catalog.add_credential(alice.id, (id(201), &token()), 5).await;
    assert!(matches!(refused, Err(CredentialError::Invalid(_))), "{refused:?}");
    catalog.add_credential(alice.id, (id(203), &session(300)), 5).await.unwrap();
    catalog.add_credential(alice.id, (id(202), &token()), 1000).await.unwrap();
    assert_eq!(ids(&catalog, &alice).await, [id(202)], "what ran out is gone");
}

fn factor(since_unix_ms: u64) -> SecondFactor {
    SecondFactor {
        sealed: vec![1],
        since_unix_ms,
        used_step: 10,
        wrong: 1,
        last_wrong_unix_ms: 5,
        recovery: vec![[1; 32], [2; 32]],
    }
}

/// A code of the secret that [`factor`] has.
fn step(step: u64) -> Shown {
    Shown::Step { step, sealed: factor(0).sealed }
}

async fn second_factors<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    let hash = PasswordHash("h".into());
    let proven = (alice.id, &hash);
    assert!(!catalog.offer_second_factor(proven, &factor(0)).await.unwrap(), "whose is it?");
    catalog.create_user(&alice, None).await.unwrap();
    assert!(!catalog.offer_second_factor(proven, &factor(0)).await.unwrap(), "by which password?");
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::All, By::Administrator)).await.unwrap();
    assert!(catalog.offer_second_factor(proven, &factor(0)).await.unwrap());
    assert!(catalog.offer_second_factor(proven, &factor(0)).await.unwrap(), "another, while none counts");
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::All, By::Administrator)).await.unwrap();
    assert_eq!(catalog.second_factor(alice.id).await.unwrap(), None, "an offer ends with its password");
    assert!(catalog.offer_second_factor(proven, &factor(0)).await.unwrap());
    catalog.add_session((alice.id, by(&hash)), (id(1), &session(5)), 5).await.unwrap();
    catalog.add_session((alice.id, by(&hash)), (id(9), &session(5)), 5).await.unwrap();
    catalog.add_credential(alice.id, (id(8), &token()), 5).await.unwrap();
    let confirm = async |factor: SecondFactor, asks| {
        catalog.confirm_second_factor(alice.id, &factor, asks).await.unwrap()
    };
    assert!(!confirm(SecondFactor { sealed: vec![2], ..factor(7) }, id(1)).await, "another was offered");
    assert!(!confirm(factor(7), id(7)).await, "the session ended");
    assert_eq!(ids(&catalog, &alice).await, [id(1), id(8), id(9)]);
    assert!(confirm(factor(7), id(1)).await);
    assert_eq!(ids(&catalog, &alice).await, [id(1)], "what began without it has ended");
    assert!(!confirm(factor(7), id(1)).await, "once");
    assert!(catalog.change_second_factor(alice.id, |_| false).await.unwrap().is_none());
    assert!(!catalog.offer_second_factor(proven, &factor(0)).await.unwrap(), "one counts");
    let add = async |number: u8, shown: Option<Shown>| {
        let proven = Proven { password: &hash, factor: shown.as_ref() };
        catalog.add_session((alice.id, proven), (id(number), &session(5)), 5).await
    };
    let make = async |asks, shown: Shown| {
        let proven = Proven { password: &hash, factor: Some(&shown) };
        catalog.add_token((alice.id, proven, asks), (id(40), &token()), 5).await
    };
    assert_eq!(make(id(1), step(10)).await, Err(CredentialError::SecondFactor), "a token needs a code");
    assert_eq!(make(id(2), step(11)).await, Err(CredentialError::Superseded), "and a session");
    let refused = Err(CredentialError::SecondFactor);
    for wrong in [None, Some(step(10)), Some(step(9)), Some(Shown::Recovery([3; 32]))] {
        assert_eq!(add(2, wrong).await, refused);
    }
    add(3, Some(step(11))).await.unwrap();
    assert_eq!(add(4, Some(step(11))).await, refused, "once");
    add(4, Some(Shown::Recovery([1; 32]))).await.unwrap();
    assert_eq!(add(5, Some(Shown::Recovery([1; 32]))).await, refused, "once");
    let left = catalog.second_factor(alice.id).await.unwrap().unwrap();
    assert_eq!((left.used_step, left.wrong, left.recovery), (11, 0, vec![[2; 32]]));
    let other = PasswordHash("other".into());
    let remove =
        async |password, shown| catalog.remove_second_factor(alice.id, (password, &shown)).await.unwrap();
    assert!(!remove(&other, step(12)).await, "another password");
    assert!(!remove(&hash, step(11)).await, "an old code");
    let of_another = Shown::Step { step: 12, sealed: vec![9] };
    assert!(!remove(&hash, of_another.clone()).await, "a code of a secret that is no more");
    assert_eq!(add(6, Some(of_another)).await, refused, "nor is it one here");
    assert!(remove(&hash, step(12)).await);
    catalog.offer_second_factor((alice.id, &hash), &factor(7)).await.unwrap();
    assert!(catalog.clear_second_factor(alice.id).await.unwrap());
    assert!(!catalog.clear_second_factor(alice.id).await.unwrap());
    catalog.offer_second_factor((alice.id, &hash), &factor(7)).await.unwrap();
    catalog.delete_user(alice.id).await.unwrap();
    assert_eq!(catalog.second_factor(alice.id).await.unwrap(), None, "it goes with its user");
}

/// Two gateways take the same code at the same moment: one begins a session.
async fn one_code_once<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, hash) = (user(1, "alice"), PasswordHash("h".into()));
    catalog.create_user(&alice, None).await.unwrap();
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::All, By::Administrator)).await.unwrap();
    catalog.offer_second_factor((alice.id, &hash), &factor(7)).await.unwrap();
    for (at, shown) in [(0, step(11)), (1, Shown::Recovery([2; 32]))] {
        let proven = Proven { password: &hash, factor: Some(&shown) };
        let add = async |number| {
            catalog.add_session((alice.id, proven), (id(number), &session(5)), 5).await.is_ok()
        };
        let (one, other) = futures::join!(add(10 + at), add(20 + at));
        assert!(one != other, "{shown:?}");
    }
}
