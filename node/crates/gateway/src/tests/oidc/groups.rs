//! Groups that a provider's claim puts users into and takes them out of.

use datamesh_settings::oidc::{OidcGroups, OidcRoles, OidcSettings};
use serde_json::{Value, json};

use super::identities::Identities;
use super::{audit, signed_in, tell, trusting};
use crate::tests::house::{ADMIN, House};

/// A cluster whose provider `work` puts users into groups by a claim.
async fn house_with(identities: &Identities, map: &[(&str, &str)]) -> House {
    let map = map.iter().map(|(text, group)| ((*text).to_owned(), (*group).to_owned())).collect();
    let groups = Some(OidcGroups { claim: "groups".into(), map });
    trusting(&[OidcSettings { groups, ..identities.settings("work", "datamesh") }]).await
}

async fn create(house: &House, group: &str, role: Option<&str>) {
    tell(house, Some(ADMIN), "POST", "/admin/groups", json!({ "name": group, "role": role })).await.ok();
}

/// The groups of somebody who signs in.
async fn groups(house: &House, identities: &Identities, name: &str) -> Value {
    signed_in(house, identities, "work", name).await["groups"].clone()
}

#[tokio::test]
async fn groups_of_the_map_are_what_the_provider_says_at_each_sign_in() {
    let mut identities = Identities::start();
    let map = [("people", "staff"), ("devs", "Watch"), ("sre", "watch"), ("none", "nowhere")];
    let house = house_with(&identities, &map).await;
    for (group, role) in [("staff", None), ("watch", Some("auditor")), ("own", None)] {
        create(&house, group, role).await;
    }
    identities.order("group alice people sre others");
    let alice = signed_in(&house, &identities, "work", "alice").await;
    assert_eq!(alice["groups"], json!(["staff", "watch"]), "a new user, by either text of a group");
    assert_eq!((&alice["role"], &alice["user"]["role"]), (&json!("auditor"), &json!("member")));
    assert!(audit(&house).await.contains("created=alice role=member joined=staff,Watch"));
    tell(&house, Some(ADMIN), "PUT", "/admin/groups/own/members/alice", Value::Null).await.ok();
    identities.order("group alice devs");
    assert_eq!(groups(&house, &identities, "alice").await, json!(["own", "watch"]), "own is not in the map");
    assert!(audit(&house).await.contains("subject=alice left=staff"));
    // What is not said takes nothing; said and empty takes all that the map has.
    identities.order("nogroups alice");
    assert_eq!(groups(&house, &identities, "alice").await, json!(["own", "watch"]));
    assert!(audit(&house).await.contains("subject=alice groups (stay: the claim is not there)"));
    identities.order("group alice");
    assert_eq!(groups(&house, &identities, "alice").await, json!(["own"]));
    assert!(audit(&house).await.contains("subject=alice left=Watch"));
    // Whom the provider says nothing of at first.
    identities.order("nogroups bob");
    assert_eq!(groups(&house, &identities, "bob").await, json!([]));
    assert!(audit(&house).await.contains("created=bob role=member groups (stay: the claim is not there)"));
}

#[tokio::test]
async fn a_group_that_cannot_be_joined_keeps_nobody_out() {
    let mut identities = Identities::start();
    let names: Vec<String> = (0..17).map(|number| format!("g{number:02}")).collect();
    let mut map: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    map.push(("later", "later"));
    let house = house_with(&identities, &map).await;
    for name in &names {
        create(&house, name, None).await;
    }
    identities.order(&format!("group alice later {}", names.join(" ")));
    assert_eq!(groups(&house, &identities, "alice").await, json!(names[..16]));
    let entries = audit(&house).await;
    assert!(entries.contains("g14,g15 no-group=later too-many=g16"), "{entries}");
    identities.order("group alice later");
    assert_eq!(groups(&house, &identities, "alice").await, json!([]));
    let entries = audit(&house).await;
    assert!(entries.contains("g14,g15 no-group=later\""), "{entries}");
    create(&house, "later", None).await;
    assert_eq!(groups(&house, &identities, "alice").await, json!(["later"]));
    assert!(audit(&house).await.contains("subject=alice joined=later"));
}

#[tokio::test]
async fn roles_and_groups_come_of_claims_of_their_own() {
    let mut identities = Identities::start();
    let groups = Some(OidcGroups {
        claim: "groups".into(),
        map: [("devs".into(), "devs".into()), ("admins".into(), "devs".into())].into(),
    });
    let roles = Some(OidcRoles {
        claim: "preferred_username".into(),
        map: [("alice".into(), "operator".into())].into(),
    });
    let settings = OidcSettings { roles, groups, ..identities.settings("work", "datamesh") };
    let house = trusting(&[settings]).await;
    create(&house, "devs", None).await;
    identities.order("group alice admins devs");
    let alice = signed_in(&house, &identities, "work", "alice").await;
    assert_eq!((&alice["role"], &alice["groups"]), (&json!("operator"), &json!(["devs"])));
    tell(&house, Some(ADMIN), "PUT", "/admin/users/alice", json!({ "role": "member" })).await.ok();
    identities.order("group alice");
    let alice = signed_in(&house, &identities, "work", "alice").await;
    assert_eq!((&alice["role"], &alice["groups"]), (&json!("operator"), &json!([])));
    assert!(audit(&house).await.contains("subject=alice role=operator left=devs"));
}
