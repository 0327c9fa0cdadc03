//! Who somebody at a provider of OpenID Connect is: one user, for as long as what bound them holds.

use datamesh_catalog::catalog::{By, CredentialError, Ends, IdentityError, UserError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{Catalog, Identity, PasswordHash, Role};

use super::accounts::{id, session, user};
use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: newcomers, binding, endings, roles, states);

fn who(subject: &str) -> Identity {
    Identity { issuer: "https://id.example.org".into(), subject: subject.into() }
}

async fn newcomers<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(1, "alice"), user(2, "bob"));
    catalog.create_user_of(&alice, &who("a")).await.unwrap();
    assert_eq!(catalog.user_of_identity(&who("a")).await.unwrap(), Some(alice.clone()));
    assert_eq!(catalog.user_of_identity(&who("b")).await.unwrap(), None);
    let elsewhere = Identity { issuer: "https://evil.example.org".into(), ..who("a") };
    assert_eq!(catalog.user_of_identity(&elsewhere).await.unwrap(), None, "another's `a`");
    let twice = catalog.create_user_of(&bob, &who("a")).await;
    assert!(matches!(twice, Err(UserError::Taken(_))), "one person, one user");
    let same_name = catalog.create_user_of(&user(3, "ALICE"), &who("c")).await;
    assert!(matches!(same_name, Err(UserError::Taken(_))), "one name, one user");
    let long = catalog.create_user_of(&bob, &who(&"x".repeat(256))).await;
    assert!(matches!(long, Err(UserError::Invalid(_))), "{long:?}");
    let add = async |identity: Identity, number| {
        catalog.add_session_of((alice.id, &identity), (id(number), &session(5)), 5).await
    };
    add(who("a"), 1).await.unwrap();
    assert_eq!(add(who("b"), 2).await, Err(CredentialError::Superseded), "somebody else");
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(add(who("a"), 3).await, Err(CredentialError::Superseded), "disabled");
    catalog.delete_user(alice.id).await.unwrap();
    assert_eq!(catalog.user_of_identity(&who("a")).await.unwrap(), None);
    catalog.create_user_of(&bob, &who("a")).await.unwrap();
    assert_eq!(catalog.user_of_identity(&who("a")).await.unwrap(), Some(bob), "anew, as somebody new");
}

async fn binding<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob, hash) = (user(1, "alice"), user(2, "bob"), PasswordHash("h".into()));
    let bind = async |by, identity| catalog.bind_identity(by, &identity).await;
    for user in [&alice, &bob] {
        catalog.create_user(user, None).await.unwrap();
        assert_eq!(bind((user.id, id(1)), who("a")).await, Err(IdentityError::Superseded), "by no session");
        catalog.add_credential(user.id, (id(1), &session(5)), 5).await.unwrap();
    }
    bind((alice.id, id(1)), who("a")).await.unwrap();
    bind((alice.id, id(1)), who("a")).await.unwrap();
    assert_eq!(bind((bob.id, id(1)), who("a")).await, Err(IdentityError::Taken));
    assert_eq!(bind((alice.id, id(1)), who("b")).await, Err(IdentityError::Another));
    assert_eq!(catalog.identities(alice.id).await.unwrap(), [who("a")]);
    let unbind = async |issuer: &str| catalog.unbind_identity(alice.id, issuer).await;
    assert_eq!(unbind("https://id.example.org").await, Err(IdentityError::LastWay), "there is no password");
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::Nothing, By::Administrator)).await.unwrap();
    assert_eq!(unbind("https://other.example.org").await, Ok(false));
    assert_eq!(unbind("https://id.example.org").await, Ok(true));
    assert_eq!(catalog.user_of_identity(&who("a")).await.unwrap(), None);
    catalog.change_user(bob.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(bind((bob.id, id(1)), who("a")).await, Err(IdentityError::Superseded), "disabled");
}

/// What bound somebody may have been in other hands: with it ends who they are.
async fn endings<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, hash) = (user(1, "alice"), PasswordHash("h".into()));
    catalog.create_user_of(&alice, &who("a")).await.unwrap();
    catalog.add_credential(alice.id, (id(1), &session(5)), 5).await.unwrap();
    let set = async |ends| {
        catalog.set_password(alice.id, Some(hash.clone()), (ends, By::Administrator)).await.unwrap()
    };
    assert!(set(Ends::SessionsBut(id(1))).await);
    assert_eq!(catalog.identities(alice.id).await.unwrap(), [who("a")], "the owner's own");
    assert!(set(Ends::All).await);
    assert_eq!(catalog.identities(alice.id).await.unwrap(), []);
    assert_eq!(catalog.user_of_identity(&who("a")).await.unwrap(), None);
}

async fn roles<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(1, "alice"), user(2, "bob"));
    let take = async |who, role| catalog.take_role(who, role).await.unwrap().map(|user| user.role);
    assert_eq!(take(alice.id, Role::Admin).await, None);
    for user in [&alice, &bob] {
        catalog.create_user(user, None).await.unwrap();
        assert_eq!(take(user.id, Role::Admin).await, Some(Role::Admin));
    }
    let both = futures::join!(take(alice.id, Role::Member), take(bob.id, Role::Auditor));
    let left = [both.0, both.1].iter().filter(|role| **role == Some(Role::Admin)).count();
    assert_eq!(left, 1, "one of the last two stays: {both:?}");
    catalog.change_user(alice.id, |user| user.role = Role::Admin).await.unwrap();
    catalog.change_user(bob.id, |user| (user.role, user.disabled) = (Role::Admin, true)).await.unwrap();
    assert_eq!(take(alice.id, Role::Member).await, Some(Role::Admin), "who is disabled is no other");
    catalog.change_user(bob.id, |user| user.disabled = false).await.unwrap();
    assert_eq!(take(alice.id, Role::Member).await, Some(Role::Member));
}

async fn states<K: Keyspace>(catalog: Catalog<K>) {
    assert!(catalog.use_state((100, [1; 32]), 5).await.unwrap());
    assert!(!catalog.use_state((100, [1; 32]), 5).await.unwrap(), "once");
    let both = futures::join!(catalog.use_state((100, [2; 32]), 5), catalog.use_state((100, [2; 32]), 5));
    assert_ne!(both.0.unwrap(), both.1.unwrap(), "once, whoever comes together");
    assert!(catalog.use_state((300, [3; 32]), 200).await.unwrap());
    assert!(catalog.use_state((100, [1; 32]), 200).await.unwrap(), "what has run out was swept");
}
