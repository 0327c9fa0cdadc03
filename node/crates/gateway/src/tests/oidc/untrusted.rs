//! Providers, and tokens of them, that let nobody in.

use std::time::Duration;

use datamesh_settings::oidc::{OidcGroups, OidcRoles, OidcSettings};

use super::identities::Identities;
use super::{come_back, get, house_of, path_of, sent_away, signed_in, start, trusting};
use crate::oidc::Providers;

#[tokio::test]
async fn a_token_that_is_wrong_in_one_thing_lets_nobody_in() {
    let mut identities = Identities::start();
    let house = house_of(&identities).await;
    let wrong = ["audience", "party", "issuer", "expired", "nonce", "none", "hmac", "kid"];
    for kind in wrong {
        identities.order(&format!("forge {kind}"));
        let got = come_back(&house, &identities, "work", "alice").await;
        assert_eq!(got.problem(), "forbidden", "{kind}");
        assert!(
            got.json()["detail"].as_str().unwrap().contains("token is not believed"),
            "{kind}: {:?}",
            got.body
        );
    }
    // What was made anew and not spoilt is believed: it was the spoilt that were not.
    identities.order("forge good");
    signed_in(&house, &identities, "work", "alice").await;
}

#[tokio::test]
async fn new_keys_are_fetched_once_a_minute_at_most() {
    let mut identities = Identities::start();
    let house = house_of(&identities).await;
    signed_in(&house, &identities, "work", "alice").await;
    identities.order("rotate");
    let early = come_back(&house, &identities, "work", "alice").await;
    assert_eq!(early.problem(), "forbidden", "the keys were fetched a moment ago");
    house.clock.move_on(Duration::from_secs(61));
    signed_in(&house, &identities, "work", "alice").await;
    identities.order("rotate");
    assert_eq!(come_back(&house, &identities, "work", "alice").await.problem(), "forbidden", "and again");
}

#[tokio::test]
async fn another_issuer_or_a_wrong_secret_lets_nobody_in() {
    let (identities, others) = (Identities::start(), Identities::start());
    // It is trusted for its TLS, and says that it is somebody else.
    let issuer = format!("https://localhost:{}/", identities.port);
    let slash = OidcSettings { issuer, ..identities.settings("slash", "datamesh") };
    let wrong_secret = others.file("wrong");
    std::fs::write(&wrong_secret, "another secret").unwrap();
    let secret = OidcSettings {
        client_secret_file: Some(wrong_secret.clone()),
        ..identities.settings("secret", "datamesh")
    };
    let house = trusting(&[slash, secret, others.settings("others", "datamesh")]).await;
    assert_eq!(get(&house, &start("slash"), "").await.problem(), "provider-failed");
    assert_eq!(come_back(&house, &identities, "secret", "alice").await.problem(), "forbidden");
    // A code of one provider is none of another's.
    let (url, _) = sent_away(&house, "secret").await;
    let (back, _) = identities.person("alice").follow(url).await;
    let (url, cookie) = sent_away(&house, "others").await;
    let state = |url: &str| url.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let mixed = back.replace(&state(&back), &state(&url));
    assert_eq!(get(&house, path_of(&mixed), &cookie).await.problem(), "forbidden", "another way back");
    let mixed = mixed.replace("/secret/callback", "/others/callback");
    assert_eq!(get(&house, path_of(&mixed), &cookie).await.problem(), "forbidden", "another issuer's answer");
    let unsaid = mixed.split("&iss=").next().unwrap().to_owned();
    assert_eq!(get(&house, path_of(&unsaid), &cookie).await.problem(), "forbidden", "another issuer's code");
    // The secret is read for each exchange.
    std::fs::write(&wrong_secret, "a secret: of the client").unwrap();
    signed_in(&house, &identities, "secret", "alice").await;
}

#[tokio::test]
async fn a_provider_that_does_not_prove_who_it_is_is_left_alone() {
    let (identities, others) = (Identities::start(), Identities::start());
    // The other's certificate is not among the authorities.
    let tls = OidcSettings { ca_file: Some(others.file("crt")), ..identities.settings("tls", "datamesh") };
    let house = trusting(&[tls]).await;
    let detail = async || {
        let got = get(&house, &start("tls"), "").await;
        assert_eq!(got.problem(), "provider-failed");
        got.json()["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail().await.contains("does not prove who it is"));
    assert!(detail().await.contains("did not answer a moment ago"));
    house.clock.move_on(Duration::from_secs(5));
    assert!(detail().await.contains("does not prove who it is"), "it is asked again");
}

/// One that takes connections and says nothing has no queue.
#[tokio::test]
async fn nobody_waits_for_a_provider_that_somebody_waits_for() {
    let identities = Identities::start();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let house = trusting(&[OidcSettings { issuer, ..identities.settings("work", "datamesh") }]).await;
    let path = start("work");
    let mut first = Box::pin(get(&house, &path, ""));
    let connection = tokio::select! {
        _ = &mut first => panic!("nobody answers"),
        accepted = silent.accept() => accepted.unwrap().0,
    };
    // While it waits.
    let second = tokio::select! {
        _ = &mut first => panic!("nobody answers"),
        second = get(&house, &path, "") => second,
    };
    assert!(second.json()["detail"].as_str().unwrap().contains("is asked who it is at this moment"));
    // The time that the answer took counts for nothing: it is left alone from the end on.
    house.clock.move_on(Duration::from_secs(30));
    drop(connection);
    drop(silent);
    assert!(first.await.json()["detail"].as_str().unwrap().contains("cannot be reached"));
    let third = get(&house, &path, "").await;
    assert!(third.json()["detail"].as_str().unwrap().contains("did not answer a moment ago"));
}

#[test]
fn settings_are_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("empty"), "").unwrap();
    std::fs::write(file("text"), "no certificate").unwrap();
    let good = || OidcSettings {
        name: "work".into(),
        issuer: "https://id.example.org".into(),
        client_id: "datamesh".into(),
        client_secret_file: None,
        ca_file: None,
        scopes: Vec::new(),
        roles: None,
        groups: None,
        devices: false,
        register: false,
    };
    let url = Some("https://files.example.org");
    let refused = |url, all: &[OidcSettings]| Providers::open(url, all).map(drop).unwrap_err().to_string();
    Providers::open(url, &[good()]).unwrap();
    Providers::open(None, &[]).unwrap();
    for wrong in
        [None, Some("http://files.example.org"), Some("https://files.example.org/x"), Some("https://")]
    {
        assert!(refused(wrong, &[good()]).starts_with("publicUrl: "), "{wrong:?}");
    }
    assert!(refused(url, &[good(), good()]).contains("a name and an issuer of its own"));
    let roles = OidcRoles { claim: "g".into(), map: [("a".into(), "root".into())].into() };
    let subject = OidcRoles { claim: "sub".into(), map: [].into() };
    let groups = |claim: &str, map: &[(&str, &str)]| {
        let map = map.iter().map(|(text, group)| ((*text).to_owned(), (*group).to_owned())).collect();
        OidcSettings { groups: Some(OidcGroups { claim: claim.into(), map }), ..good() }
    };
    let texts: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<_> = texts.iter().map(|text| (text.as_str(), "devs")).collect();
    Providers::open(url, &[groups("g", &many[..64])]).unwrap();
    for (field, settings) in [
        ("oidc.name", OidcSettings { name: "Work".into(), ..good() }),
        ("oidc.issuer", OidcSettings { issuer: "http://id.example.org".into(), ..good() }),
        ("oidc.clientId", OidcSettings { client_id: String::new(), ..good() }),
        ("oidc.roles.map", OidcSettings { roles: Some(roles), ..good() }),
        ("oidc.roles.claim", OidcSettings { roles: Some(subject), ..good() }),
        ("oidc.groups.claim", groups("nonce", &[("a", "devs")])),
        ("oidc.groups.map", groups("g", &[("a", "no name")])),
        ("oidc.groups.map", groups("g", &many)),
        ("oidc.caFile", OidcSettings { ca_file: Some(file("text")), ..good() }),
        ("secret ", OidcSettings { client_secret_file: Some(file("empty")), ..good() }),
        ("cannot read ", OidcSettings { client_secret_file: Some(file("none")), ..good() }),
    ] {
        let said = refused(url, &[settings]);
        assert!(said.starts_with(field), "{said}");
    }
}
