//! Who somebody at a provider of OpenID Connect is: one user, for as long as what bound them holds.

use datamesh_catalog::catalog::{
    By, CredentialError, Ends, Given, IdentityError, Standing, Unbinder, UserError,
};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{Catalog, Identity, PasswordHash, Role, User};

use super::accounts::{id, session, user};
use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: newcomers, binding, endings, roles, states);

fn who(subject: &str) -> Identity {
    Identity { issuer: "https://id.example.org".into(), subject: subject.into() }
}

async fn newcomers<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(1, "alice"), user(2, "bob"));
    catalog.create_user_of(&alice, &who("a"), None).await.unwrap();
    assert_eq!(catalog.standing_of(&who("a")).await.unwrap(), Standing::Bound(alice.clone()));
    assert_eq!(catalog.standing_of(&who("b")).await.unwrap(), Standing::Nobody);
    let elsewhere = Identity { issuer: "https://evil.example.org".into(), ..who("a") };
    assert_eq!(catalog.standing_of(&elsewhere).await.unwrap(), Standing::Nobody, "another's `a`");
    let twice = catalog.create_user_of(&bob, &who("a"), None).await;
    assert!(matches!(twice, Err(UserError::Taken(_))), "one person, one user");
    let same_name = catalog.create_user_of(&user(3, "ALICE"), &who("c"), None).await;
    assert!(matches!(same_name, Err(UserError::Taken(_))), "one name, one user");
    let long = catalog.create_user_of(&bob, &who(&"x".repeat(256)), None).await;
    assert!(matches!(long, Err(UserError::Invalid(_))), "{long:?}");
    let add = async |identity: Identity, number| {
        catalog.add_session_of((alice.id, &identity), (id(number), &session(5)), 5).await
    };
    add(who("a"), 1).await.unwrap();
    assert_eq!(add(who("b"), 2).await, Err(CredentialError::Superseded), "somebody else");
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(add(who("a"), 3).await, Err(CredentialError::Superseded), "disabled");
    catalog.delete_user(alice.id).await.unwrap();
    assert_eq!(catalog.standing_of(&who("a")).await.unwrap(), Standing::Nobody);
    catalog.create_user_of(&bob, &who("a"), None).await.unwrap();
    assert_eq!(catalog.standing_of(&who("a")).await.unwrap(), Standing::Bound(bob), "anew, as somebody new");
}

async fn bound<K: Keyspace>(catalog: &Catalog<K>, user: &User) -> Vec<(Identity, bool)> {
    let all = catalog.identities(user.id).await.unwrap();
    all.into_iter().map(|record| (record.identity, record.ended)).collect()
}

async fn binding<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob, hash) = (user(1, "alice"), user(2, "bob"), PasswordHash("h".into()));
    let bind = async |by, identity| catalog.bind_identity(by, &identity, |_, _| true).await;
    for user in [&alice, &bob] {
        catalog.create_user(user, None).await.unwrap();
        assert_eq!(bind((user.id, id(1)), who("a")).await, Err(IdentityError::Superseded), "by no session");
        for number in 1..3 {
            catalog.add_credential(user.id, (id(number), &session(5)), 5).await.unwrap();
        }
    }
    let unproven = catalog.bind_identity((alice.id, id(1)), &who("a"), |_, _| false).await;
    assert_eq!(unproven, Err(IdentityError::Superseded), "what was proven is so no more");
    bind((alice.id, id(1)), who("a")).await.unwrap();
    bind((alice.id, id(1)), who("a")).await.unwrap();
    assert_eq!(bind((bob.id, id(1)), who("a")).await, Err(IdentityError::Taken));
    assert_eq!(bind((alice.id, id(1)), who("b")).await, Err(IdentityError::Another));
    assert_eq!(bound(&catalog, &alice).await, [(who("a"), false)]);
    let known = ["https://id.example.org", "https://other.example.org"];
    let unbind = async |issuer: &str| {
        catalog.unbind_identity(alice.id, issuer, Unbinder::Themselves(id(1), &known)).await
    };
    assert_eq!(unbind("https://id.example.org").await, Err(IdentityError::LastWay), "there is no password");
    let gone = Identity { issuer: "https://gone.example.org".into(), ..who("a") };
    bind((alice.id, id(1)), gone).await.unwrap();
    let last = unbind("https://id.example.org").await;
    assert_eq!(last, Err(IdentityError::LastWay), "of the other provider the settings know nothing");
    catalog.set_password(alice.id, Some(hash.clone()), (Ends::Nothing, By::Administrator)).await.unwrap();
    assert_eq!(unbind("https://other.example.org").await, Ok(false));
    assert_eq!(unbind("https://id.example.org").await, Ok(true));
    assert_eq!(catalog.standing_of(&who("a")).await.unwrap(), Standing::Nobody);
    let left = catalog.credentials(alice.id).await.unwrap();
    assert_eq!(left.len(), 1, "sessions that it may have begun end, but for the one that asks: {left:?}");
    catalog.change_user(bob.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(bind((bob.id, id(1)), who("a")).await, Err(IdentityError::Superseded), "disabled");
}

/// What bound somebody may have been in other hands: with it ends who they are, and they are nobody new by that.
async fn endings<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob, hash) = (user(1, "alice"), user(2, "bob"), PasswordHash("h".into()));
    let bind =
        async |user: &User, identity| catalog.bind_identity((user.id, id(1)), &identity, |_, _| true).await;
    let begin = async |user: &User| {
        catalog.add_credential(user.id, (id(1), &session(5)), 5).await.unwrap();
    };
    catalog.create_user_of(&alice, &who("a"), None).await.unwrap();
    catalog.create_user(&bob, None).await.unwrap();
    begin(&bob).await;
    for ends in [Ends::SessionsBut(id(1)), Ends::All] {
        begin(&alice).await;
        assert!(catalog.set_password(alice.id, Some(hash.clone()), (ends, By::Administrator)).await.unwrap());
        assert_eq!(bound(&catalog, &alice).await, [(who("a"), true)], "{ends:?}");
        assert_eq!(catalog.standing_of(&who("a")).await.unwrap(), Standing::Ended);
        begin(&alice).await;
        let session = catalog.add_session_of((alice.id, &who("a")), (id(2), &session(5)), 5).await;
        assert_eq!(session, Err(CredentialError::Superseded));
        let anew = catalog.create_user_of(&user(3, "carol"), &who("a"), None).await;
        assert!(matches!(anew, Err(UserError::Taken(_))), "no second user");
        assert_eq!(bind(&bob, who("a")).await, Err(IdentityError::Taken));
        bind(&alice, who("a")).await.unwrap();
        assert_eq!(
            catalog.standing_of(&who("a")).await.unwrap(),
            Standing::Bound(catalog.user(alice.id).await.unwrap().unwrap())
        );
    }
    // Somebody else there from now on: what they were is nobody's.
    catalog
        .set_password(alice.id, Some(hash.clone()), (Ends::SessionsBut(id(1)), By::Administrator))
        .await
        .unwrap();
    bind(&alice, who("b")).await.unwrap();
    assert_eq!(bound(&catalog, &alice).await, [(who("b"), false)]);
    bind(&bob, who("a")).await.unwrap();
    let taken = catalog.unbind_identity(bob.id, &who("a").issuer, Unbinder::Administrator).await;
    assert_eq!((taken, bound(&catalog, &bob).await), (Ok(true), vec![]));
    assert_eq!(catalog.credentials(bob.id).await.unwrap(), [], "and its sessions");
}

async fn roles<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(1, "alice"), user(2, "bob"));
    let take = async |user: &User, role| {
        let given = Given { role: Some(role), groups: None };
        let taken = catalog.take_given((user.id, &who(user.name.as_str())), &given).await.unwrap();
        taken.map(|taken| taken.user.role)
    };
    assert_eq!(take(&alice, Role::Admin).await, None);
    for user in [&alice, &bob] {
        catalog.create_user_of(user, &who(user.name.as_str()), None).await.unwrap();
        assert_eq!(take(user, Role::Admin).await, Some(Role::Admin));
    }
    let both = futures::join!(take(&alice, Role::Member), take(&bob, Role::Auditor));
    let left = [both.0, both.1].iter().filter(|role| **role == Some(Role::Admin)).count();
    assert_eq!(left, 1, "one of the last two stays: {both:?}");
    catalog.change_user(alice.id, |user| user.role = Role::Admin).await.unwrap();
    catalog.change_user(bob.id, |user| (user.role, user.disabled) = (Role::Admin, true)).await.unwrap();
    assert_eq!(take(&alice, Role::Member).await, Some(Role::Admin), "who is disabled is no other");
    catalog.change_user(bob.id, |user| user.disabled = false).await.unwrap();
    assert_eq!(take(&alice, Role::Member).await, Some(Role::Member));
    catalog.change_user(alice.id, |user| user.disabled = true).await.unwrap();
    assert_eq!(take(&alice, Role::Operator).await, None, "who is disabled gets none");
    let given = Given { role: Some(Role::Operator), groups: None };
    let somebody = catalog.take_given((bob.id, &who("alice")), &given).await.unwrap();
    assert_eq!(somebody, None, "it is not them");
    catalog.set_password(bob.id, None, (Ends::All, By::Administrator)).await.unwrap();
    assert_eq!(take(&bob, Role::Operator).await, None, "what was bound has ended");
    assert_eq!(catalog.user(bob.id).await.unwrap().unwrap().role, Role::Admin);
}

async fn states<K: Keyspace>(catalog: Catalog<K>) {
    assert!(catalog.use_state((100, [1; 32]), 5).await.unwrap());
    assert!(!catalog.use_state((100, [1; 32]), 5).await.unwrap(), "once");
    let both = futures::join!(catalog.use_state((100, [2; 32]), 5), catalog.use_state((100, [2; 32]), 5));
    assert_ne!(both.0.unwrap(), both.1.unwrap(), "once, whoever comes together");
    assert!(catalog.use_state((300, [3; 32]), 3_600_100).await.unwrap());
    assert!(!catalog.use_state((100, [1; 32]), 5).await.unwrap(), "a gateway may be behind");
    assert!(catalog.use_state((300, [4; 32]), 3_600_101).await.unwrap());
    assert!(catalog.use_state((100, [1; 32]), 5).await.unwrap(), "what has run out for an hour was swept");
}
