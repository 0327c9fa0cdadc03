//! Places in groups that a provider of OpenID Connect gives.

use GroupChange::{GroupFull, Joined, Left, NoGroup, UserFull};
use datamesh_catalog::catalog::{By, Ends, Given, GroupChange, Taken};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::limits::{GROUP_MEMBERS_MAX, GROUPS_OF_USER_MAX};
use datamesh_catalog::{Catalog, Group, GroupName, Identity, Role, User};

use super::accounts::user;
use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: places, newcomers, bounds, together);

fn name(name: &str) -> GroupName {
    name.parse().unwrap()
}

fn who(user: &User) -> Identity {
    Identity { issuer: "https://id.example.org".into(), subject: user.name.to_string() }
}

fn given(groups: &[(&str, bool)]) -> Given {
    let groups = groups.iter().map(|(group, is_in)| (name(group), *is_in)).collect();
    Given { role: None, groups: Some(groups) }
}

fn came(changes: &[(&str, GroupChange)]) -> Vec<(GroupName, GroupChange)> {
    changes.iter().map(|(group, change)| (name(group), *change)).collect()
}

async fn create<K: Keyspace>(catalog: &Catalog<K>, groups: &[&str]) {
    for group in groups {
        let group = Group { name: name(group), role: None, members: 0, created_unix_ms: 5 };
        catalog.create_group(&group).await.unwrap();
    }
}

async fn take<K: Keyspace>(
    catalog: &Catalog<K>,
    user: &User,
    given: &Given,
) -> Option<Vec<(GroupName, GroupChange)>> {
    let taken = catalog.take_given((user.id, &who(user)), given).await.unwrap();
    taken.map(|Taken { groups, .. }| groups)
}

async fn groups_of<K: Keyspace>(catalog: &Catalog<K>, user: &User) -> Vec<String> {
    let account = catalog.account(user.id).await.unwrap().unwrap();
    account.groups.into_iter().map(|group| group.name.to_string()).collect()
}

async fn places<K: Keyspace>(catalog: Catalog<K>) {
    let alice = user(1, "alice");
    assert_eq!(take(&catalog, &alice, &given(&[("Devs", true)])).await, None, "nobody yet");
    catalog.create_user_of(&alice, &who(&alice), None).await.unwrap();
    create(&catalog, &["Devs", "ops", "own"]).await;
    catalog.add_to_group(&name("own"), alice.id).await.unwrap();
    let said = given(&[("devs", true), ("none", true), ("ops", false)]);
    assert_eq!(take(&catalog, &alice, &said).await, Some(came(&[("devs", Joined), ("none", NoGroup)])));
    assert_eq!(take(&catalog, &alice, &said).await, Some(came(&[("none", NoGroup)])), "she is in it already");
    assert_eq!(groups_of(&catalog, &alice).await, ["Devs", "own"]);
    let both = Given { role: Some(Role::Auditor), ..given(&[("devs", false), ("ops", true)]) };
    assert_eq!(take(&catalog, &alice, &both).await, Some(came(&[("devs", Left), ("ops", Joined)])));
    assert_eq!(catalog.user(alice.id).await.unwrap().unwrap().role, Role::Auditor, "in the same commit");
    assert_eq!(groups_of(&catalog, &alice).await, ["ops", "own"]);
    assert_eq!(take(&catalog, &alice, &Given::default()).await, Some(vec![]), "nothing is said");
    let members = async |group| catalog.group(&name(group)).await.unwrap().unwrap().members;
    assert_eq!((members("devs").await, members("ops").await, members("own").await), (0, 1, 1));
    // The last administrator stays one, and is in no group any more that they are not in there.
    catalog.change_user(alice.id, |user| user.role = Role::Admin).await.unwrap();
    let demoted = Given { role: Some(Role::Member), ..given(&[("ops", false)]) };
    let taken = catalog.take_given((alice.id, &who(&alice)), &demoted).await.unwrap().unwrap();
    assert_eq!((taken.user.role, taken.groups), (Role::Admin, came(&[("ops", Left)])));
    catalog.set_password(alice.id, None, (Ends::All, By::Administrator)).await.unwrap();
    assert_eq!(take(&catalog, &alice, &said).await, None, "what was bound has ended");
    assert_eq!(groups_of(&catalog, &alice).await, ["own"]);
}

async fn newcomers<K: Keyspace>(catalog: Catalog<K>) {
    create(&catalog, &["devs"]).await;
    let alice = user(1, "alice");
    let said = given(&[("devs", true), ("none", true)]).groups;
    let came_of_it = catalog.create_user_of(&alice, &who(&alice), said.as_deref()).await.unwrap();
    assert_eq!(came_of_it, came(&[("devs", Joined), ("none", NoGroup)]));
    assert_eq!(groups_of(&catalog, &alice).await, ["devs"]);
    catalog.delete_user(alice.id).await.unwrap();
    assert_eq!(catalog.group(&name("devs")).await.unwrap().unwrap().members, 0);
}

async fn bounds<K: Keyspace>(catalog: Catalog<K>) {
    let names: Vec<String> = (0..=GROUPS_OF_USER_MAX).map(|number| format!("g{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    create(&catalog, &names).await;
    let alice = user(1, "alice");
    catalog.create_user_of(&alice, &who(&alice), None).await.unwrap();
    let mut said: Vec<_> = names.iter().map(|name| (*name, true)).collect();
    let changes = take(&catalog, &alice, &given(&said)).await.unwrap();
    let refused: Vec<_> = changes.into_iter().filter(|(_, change)| *change != Joined).collect();
    assert_eq!(refused, came(&[("g16", UserFull)]), "one more than there may be");
    assert_eq!(take(&catalog, &alice, &given(&said)).await, Some(came(&[("g16", UserFull)])));
    said[15].1 = false;
    let moved = came(&[("g15", Left), ("g16", Joined)]);
    assert_eq!(take(&catalog, &alice, &given(&said)).await, Some(moved), "who leaves first has room");
    create(&catalog, &["full"]).await;
    for number in 0..GROUP_MEMBERS_MAX {
        let mut member = user(0, &format!("m{number}"));
        member.id.0[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        member.id.0[15] = 0xff;
        catalog.create_user(&member, None).await.unwrap();
        catalog.add_to_group(&name("full"), member.id).await.unwrap();
    }
    let bob = user(2, "bob");
    let said = given(&[("full", true), ("g00", true)]).groups;
    let changes = catalog.create_user_of(&bob, &who(&bob), said.as_deref()).await.unwrap();
    assert_eq!(changes, came(&[("full", GroupFull), ("g00", Joined)]), "and becomes a user all the same");
}

/// As gateways do that are asked at once: who is counted is there, and nobody is in more groups than they may be.
async fn together<K: Keyspace>(catalog: Catalog<K>) {
    create(&catalog, &["devs", "ops"]).await;
    let users: Vec<_> = (1..9).map(|number| user(number, &format!("user{number}"))).collect();
    for user in &users {
        catalog.create_user_of(user, &who(user), None).await.unwrap();
    }
    let (there, away) = (given(&[("devs", true), ("ops", true)]), given(&[("devs", false)]));
    futures::future::join_all(users.iter().map(|user| take(&catalog, user, &there))).await;
    let leaving = futures::future::join_all(users[..4].iter().map(|user| take(&catalog, user, &away)));
    let deleting = futures::future::join_all(users[2..6].iter().map(|user| catalog.delete_user(user.id)));
    let (_, deleted) = futures::future::join(leaving, deleting).await;
    assert!(deleted.into_iter().all(|deleted| deleted == Ok(true)));
    for (group, left) in [("devs", 2), ("ops", 4)] {
        assert_eq!(catalog.group(&name(group)).await.unwrap().unwrap().members, left, "{group}");
        assert_eq!(catalog.group_members(&name(group)).await.unwrap().len(), left as usize);
    }
}
