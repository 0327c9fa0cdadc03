//! Signing in by a token, and at a provider of OpenID Connect, which runs.

#[path = "../../../node/crates/gateway/src/tests/oidc/identities.rs"]
#[allow(dead_code, reason = "devices need a part of it")]
mod identities;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;

use super::accounts::{json, of, told};
use super::failure;
use super::store::{Store, User, succeeded};
use identities::Identities;

/// Where browsers would come back to; devices do not.
pub(super) const PUBLIC_URL: &str = "https://datamesh.test";

#[test]
fn a_device_signs_in_at_a_provider() {
    let identities = Identities::start();
    let folder = tempfile::tempdir().unwrap();
    let providers = folder.path().join("oidc.yaml");
    let settings = [identities.settings("work", "datamesh")];
    std::fs::write(&providers, serde_yaml::to_string(&settings).unwrap()).unwrap();
    let user = User::of(Arc::new(Store::start_with(6, &["--oidc", providers.to_str().unwrap()])));

    let unknown = failure(of(&user, &["login", "--oidc", "home"]));
    assert!(unknown.0 == 1 && unknown.1.contains("no such provider"), "{unknown:?}");
    let mut login = of(&user, &["login", "--oidc", "work", "--output", "json"]);
    let mut child = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let page = said.next().unwrap().unwrap();
    let page = page
        .split(' ')
        .find(|word| word.starts_with("https://localhost:"))
        .unwrap_or_else(|| panic!("{page}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(identities.person("alice").allows(page));
    let signed_in: Value = serde_json::from_slice(&succeeded(child.wait_with_output().unwrap())).unwrap();
    assert_eq!(signed_in["user"]["name"], "alice");
    assert!(!said.any(|line| line.unwrap().contains("dms_")), "its secret is nobody's to read");

    user.write("x", b"text".to_vec());
    succeeded(of(&user, &["put", "x", "alice/x"]).output().unwrap());
    let sessions = json(of(&user, &["sessions", "list"]));
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1);
    let bound = json(of(&user, &["identities", "list"]));
    assert_eq!(
        (&bound["identities"][0]["provider"], &bound["identities"][0]["ended"]),
        (&"work".into(), &false.into())
    );
    let (exit, text) = failure(of(&user, &["identities", "unbind", "work"]));
    assert!(exit != 0 && text.contains("sign in"), "she could sign in no more: {text}");
    assert_eq!(user.json(&["identities", "unbind", "work", "--of", "alice"])["unbound"], "work");
    let left = user.json(&["identities", "list", "--of", "alice"]);
    assert_eq!(left["identities"].as_array().unwrap().len(), 0, "{left}");
    assert_eq!(failure(of(&user, &["ls"])).0, 4, "her sessions have ended");
    succeeded(of(&user, &["logout"]).output().unwrap());
    assert_eq!(failure(of(&user, &["ls"])).0, 2, "nobody is signed in");
}

#[test]
fn a_token_is_kept_instead_of_a_session() {
    let user = User::new();
    let made = user.json(&["users", "create", "tess"]);
    let lines = format!("{}\na long enough password\n", made["code"].as_str().unwrap());
    told(of(&user, &["login", "tess", "--code", "--stdin"]), &lines);
    let create = ["tokens", "create", "reader", "--scope", "read", "--stdin", "--output", "json"];
    let made: Value = serde_json::from_slice(&told(of(&user, &create), "a long enough password\n")).unwrap();
    let token = made["token"].as_str().unwrap();
    succeeded(of(&user, &["logout"]).output().unwrap());

    let login = of(&user, &["login", "--token", "--stdin", "--output", "json"]);
    let kept: Value = serde_json::from_slice(&told(login, &format!("{token}\n"))).unwrap();
    assert_eq!((&kept["user"]["name"], &kept["scopes"]), (&"tess".into(), &serde_json::json!(["read"])));
    succeeded(of(&user, &["ls"]).output().unwrap());
    assert_eq!(failure(of(&user, &["rm", "x"])).0, 4, "it was made for reading");
    let own = failure(of(&user, &["sessions", "list"]));
    assert!(own.0 == 2 && own.1.contains("datamesh login NAME"), "{own:?}");
    succeeded(of(&user, &["logout"]).output().unwrap());
    assert_eq!(failure(of(&user, &["ls"])).0, 2, "nobody is signed in");
    let mut by_token = of(&user, &["ls"]);
    succeeded(by_token.env("DATAMESH_TOKEN", token).output().unwrap());

    let mut wrong = of(&user, &["login", "--token", "--stdin"]);
    wrong.stdin(std::fs::File::open(user.store.secret("ca.crt")).unwrap());
    assert_eq!(failure(wrong).0, 4, "no token");
    assert!(!user.file(".local/state/datamesh/session.json").exists());
}
