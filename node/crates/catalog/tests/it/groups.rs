//! Groups: who is in them, as what, and how many.

use datamesh_catalog::catalog::GroupError;
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX, GROUPS_OF_USER_MAX};
use datamesh_catalog::{Catalog, Group, GroupName, Role, UserId};

use super::accounts::user;
use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: members, roles, bounds, together, at_the_bounds, gone);

fn name(name: &str) -> GroupName {
    name.parse().unwrap()
}

async fn create<K: Keyspace>(catalog: &Catalog<K>, of: &str, role: Option<Role>) -> Result<(), GroupError> {
    catalog.create_group(&Group { name: name(of), role, members: 0, created_unix_ms: 5 }).await
}

async fn members_of<K: Keyspace>(catalog: &Catalog<K>, of: &str) -> (u32, Vec<String>) {
    let count = catalog.group(&name(of)).await.unwrap().unwrap().members;
    let users = catalog.group_members(&name(of)).await.unwrap();
    (count, users.into_iter().map(|user| user.name.to_string()).collect())
}

async fn members<K: Keyspace>(catalog: Catalog<K>) {
    let (alice, bob) = (user(1, "alice"), user(2, "Bob"));
    for user in [&alice, &bob] {
        catalog.create_user(user, None).await.unwrap();
    }
    create(&catalog, "Devs", None).await.unwrap();
    assert_eq!(create(&catalog, "devs", None).await, Err(GroupError::Taken(name("devs"))));
    let devs = name("DEVS");
    for user in [&bob, &alice, &bob] {
        catalog.add_to_group(&devs, user.id).await.unwrap();
    }
    assert_eq!(members_of(&catalog, "devs").await, (2, vec!["alice".into(), "Bob".into()]));
    assert_eq!(catalog.add_to_group(&devs, UserId([9; 16])).await, Err(GroupError::NoUser));
    let none = GroupError::NoGroup(name("none"));
    assert_eq!(catalog.add_to_group(&name("none"), bob.id).await, Err(none.clone()));
    assert_eq!(catalog.take_from_group(&name("none"), bob.id).await, Err(none.clone()));
    assert_eq!(catalog.delete_group(&name("none")).await, Err(none));
    for _ in 0..2 {
        catalog.take_from_group(&devs, bob.id).await.unwrap();
        assert_eq!(members_of(&catalog, "devs").await, (1, vec!["alice".into()]));
    }
    catalog.delete_user(alice.id).await.unwrap();
    assert_eq!(members_of(&catalog, "devs").await, (0, Vec::new()));
    catalog.add_to_group(&devs, bob.id).await.unwrap();
    catalog.delete_group(&devs).await.unwrap();
    assert_eq!(catalog.account(bob.id).await.unwrap().unwrap().groups, []);
    create(&catalog, "devs", None).await.unwrap();
    assert_eq!(members_of(&catalog, "devs").await, (0, Vec::new()), "the new one has none of the old one's");
}

async fn roles<K: Keyspace>(catalog: Catalog<K>) {
    let mut carol = user(3, "carol");
    carol.role = Role::Auditor;
    catalog.create_user(&carol, None).await.unwrap();
    let role = async || catalog.account(carol.id).await.unwrap().unwrap().role();
    for (group, gives) in [("none", None), ("less", Some(Role::Member)), ("more", Some(Role::Operator))] {
        create(&catalog, group, gives).await.unwrap();
        catalog.add_to_group(&name(group), carol.id).await.unwrap();
    }
    assert_eq!(role().await, Role::Operator, "the greatest");
    catalog.set_group_role(&name("none"), Some(Role::Admin)).await.unwrap();
    let account = catalog.account(carol.id).await.unwrap().unwrap();
    assert!(account.role() == Role::Admin && account.may_invite() && account.user.role == Role::Auditor);
    catalog.delete_group(&name("none")).await.unwrap();
    catalog.take_from_group(&name("more"), carol.id).await.unwrap();
    assert_eq!(role().await, Role::Auditor, "a group takes nothing away");
}

async fn bounds<K: Keyspace>(catalog: Catalog<K>) {
    let dave = user(4, "dave");
    catalog.create_user(&dave, None).await.unwrap();
    for number in 0..GROUPS_MAX {
        create(&catalog, &format!("g{number:03}"), None).await.unwrap();
    }
    assert!(matches!(create(&catalog, "one-more", None).await, Err(GroupError::Invalid(_))));
    assert_eq!(catalog.groups().await.unwrap().len(), GROUPS_MAX);
    for number in 0..GROUPS_OF_USER_MAX {
        catalog.add_to_group(&name(&format!("g{number:03}")), dave.id).await.unwrap();
    }
    let more = catalog.add_to_group(&name("g100"), dave.id).await;
    assert!(matches!(more, Err(GroupError::Invalid(_))), "{more:?}");
    catalog.add_to_group(&name("g000"), dave.id).await.unwrap();
    for number in 0..GROUP_MEMBERS_MAX {
        let mut member = user(0, &format!("m{number}"));
        member.id.0[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        member.id.0[15] = 0xff;
        catalog.create_user(&member, None).await.unwrap();
        let added = catalog.add_to_group(&name("g000"), member.id).await;
        assert_eq!(added.is_ok(), number + 1 < GROUP_MEMBERS_MAX, "dave is one of them: {added:?}");
    }
    catalog.delete_group(&name("g000")).await.unwrap();
    assert_eq!(catalog.account(dave.id).await.unwrap().unwrap().groups.len(), GROUPS_OF_USER_MAX - 1);
}

/// As gateways do that are asked at once: who is counted is there, and who is deleted is in nothing.
async fn together<K: Keyspace>(catalog: Catalog<K>) {
    let users: Vec<_> = (1..9).map(|number| user(number, &format!("user{number}"))).collect();
    for user in &users {
        catalog.create_user(user, None).await.unwrap();
    }
    create(&catalog, "all", Some(Role::Auditor)).await.unwrap();
    let all = name("all");
    let adding = futures::future::join_all(users.iter().map(|user| catalog.add_to_group(&all, user.id)));
    let deleting = futures::future::join_all(users[..4].iter().map(|user| catalog.delete_user(user.id)));
    let (added, deleted) = futures::future::join(adding, deleting).await;
    assert!(deleted.into_iter().all(|deleted| deleted == Ok(true)));
    assert!(added[4..].iter().all(Result::is_ok), "{added:?}");
    let (count, there) = members_of(&catalog, "all").await;
    assert_eq!((count, there.len()), (4, 4), "{there:?}");
}

/// Of those who come at once, none passes a bound.
async fn at_the_bounds<K: Keyspace>(catalog: Catalog<K>) {
    let member = |number: usize| {
        let mut member = user(0, &format!("m{number}"));
        member.id.0[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        member
    };
    create(&catalog, "full", None).await.unwrap();
    let full = name("full");
    for number in 0..GROUP_MEMBERS_MAX + 3 {
        let member = member(number);
        catalog.create_user(&member, None).await.unwrap();
        if number < GROUP_MEMBERS_MAX - 1 {
            catalog.add_to_group(&full, member.id).await.unwrap();
        }
    }
    let last = (GROUP_MEMBERS_MAX - 1..GROUP_MEMBERS_MAX + 3).map(|number| member(number).id);
    let added = futures::future::join_all(last.map(|id| catalog.add_to_group(&full, id))).await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 1, "{added:?}");
    assert_eq!(catalog.group_members(&full).await.unwrap().len(), GROUP_MEMBERS_MAX);
    let busy = member(0).id;
    for number in 0..GROUPS_OF_USER_MAX + 2 {
        create(&catalog, &format!("g{number}"), None).await.unwrap();
    }
    let groups: Vec<_> = (0..GROUPS_OF_USER_MAX + 2).map(|number| name(&format!("g{number}"))).collect();
    let added = futures::future::join_all(groups.iter().map(|group| catalog.add_to_group(group, busy))).await;
    assert!(added.iter().filter(|added| added.is_ok()).count() < GROUPS_OF_USER_MAX, "it is in one already");
    let there = catalog.account(busy).await.unwrap().unwrap().groups;
    assert!(there.len() <= GROUPS_OF_USER_MAX, "{}", there.len());
    assert!(there.iter().all(|group| group.name == full || group.members == 1), "{there:?}");
}

/// Who comes into a group while it goes is in none, and not in the next of its name.
async fn gone<K: Keyspace>(catalog: Catalog<K>) {
    let users: Vec<_> = (1..7).map(|number| user(number, &format!("user{number}"))).collect();
    for user in &users {
        catalog.create_user(user, None).await.unwrap();
    }
    let group = name("short");
    for _ in 0..5 {
        create(&catalog, "short", Some(Role::Admin)).await.unwrap();
        let adding =
            futures::future::join_all(users.iter().map(|user| catalog.add_to_group(&group, user.id)));
        let (added, deleted) = futures::future::join(adding, catalog.delete_group(&group)).await;
        deleted.unwrap();
        assert!(added.iter().all(|added| matches!(added, Ok(()) | Err(GroupError::NoGroup(_)))), "{added:?}");
        create(&catalog, "short", Some(Role::Admin)).await.unwrap();
        assert_eq!(members_of(&catalog, "short").await, (0, Vec::new()));
        for user in &users {
            assert_eq!(catalog.account(user.id).await.unwrap().unwrap().role(), Role::Member);
        }
        catalog.delete_group(&group).await.unwrap();
    }
}
