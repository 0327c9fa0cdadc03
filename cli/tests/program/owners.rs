//! Key pairs of S3 that are users' own, and what becomes of them with their owner.

#[path = "../../../e2e/src/signed.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a part of a library")]
mod signed;

use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

use super::accounts::{json, of, told};
use super::failure;
use super::store::User;
use signed::Signer;

const PASSWORD: &str = "a long enough password\n";

/// The status with which S3 answers who lists the buckets with this key.
fn listing(user: &User, key: &Value) -> u16 {
    let text = |field: &str| key[field].as_str().unwrap().to_owned();
    let signer = Signer::new(user.store.s3_host(), text("id"), text("secret"));
    // Another test of this program may have done so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Certificate::from_pem(&std::fs::read(user.store.secret("ca.crt")).unwrap()).unwrap();
    let http = Client::builder().tls_certs_only([authority]).build().unwrap();
    let asked = signer.request(&http, Method::GET, ("/", ""), bytes::Bytes::new()).send();
    tokio::runtime::Runtime::new().unwrap().block_on(asked).unwrap().status().as_u16()
}

/// What the program prints as JSON when it is told the password.
fn told_password(user: &User, args: &[&str]) -> Value {
    let args = [args, &["--stdin", "--output", "json"]].concat();
    serde_json::from_slice(&told(of(user, &args), PASSWORD)).unwrap()
}

fn ids(listed: &Value) -> Vec<&str> {
    listed["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect()
}

#[test]
fn a_member_has_a_key_of_their_own_while_they_are_not_disabled() {
    let user = User::new();
    let made = user.json(&["users", "create", "kim"]);
    let lines = format!("{}\n{PASSWORD}", made["code"].as_str().unwrap());
    told(of(&user, &["login", "kim", "--code", "--stdin"]), &lines);
    let me = json(of(&user, &["whoami"]));
    assert_eq!(
        (&me["user"]["name"], &me["via"], &me["role"]),
        (&json!("kim"), &json!("session"), &json!("member"))
    );

    let own = told_password(&user, &["keys", "create", "laptop", "--mine", "--permission", "read-only"]);
    let id = own["id"].as_str().unwrap();
    assert_eq!((&own["owner"], &own["permission"]), (&json!("kim"), &json!("readOnly")));
    assert_eq!(listing(&user, &own), 200);
    assert_eq!(ids(&json(of(&user, &["keys", "list", "--mine"]))), [id]);
    assert_eq!(failure(of(&user, &["keys", "list"])).0, 4, "a member sees no keys of others");
    assert_eq!(failure(of(&user, &["keys", "disable", id])).0, 4);
    let given = user.json(&["keys", "create", "given", "--owner", "kim", "--permission", "admin"]);
    let label = user.json(&["keys", "create", "nobody's"]);
    assert_eq!((&given["owner"], &label["owner"]), (&json!("kim"), &json!("admin")));
    let (exit, text) = failure(user.command(&["keys", "create", "x", "--owner", "nobody"]));
    assert!(exit == 1 && text.contains("owner") && text.contains("no user"), "{exit} {text}");

    user.run(&["users", "disable", "kim"]);
    let all = [&own, &given, &label].map(|key| listing(&user, key));
    assert_eq!(all, [403, 403, 200], "theirs are refused, and nobody else's");
    user.run(&["users", "enable", "kim"]);
    assert_eq!([&own, &given].map(|key| listing(&user, key)), [403, 403], "until each is enabled");
    assert_eq!(user.json(&["keys", "enable", id]), json!({ "id": id, "disabled": false }));
    assert_eq!([&own, &given].map(|key| listing(&user, key)), [200, 403]);
    user.run(&["keys", "disable", id]);
    assert_eq!(listing(&user, &own), 403);

    told(of(&user, &["login", "kim", "--stdin"]), PASSWORD);
    let label = label["id"].as_str().unwrap();
    assert_eq!(failure(of(&user, &["keys", "delete", label, "--mine"])).0, 3, "it is not theirs");
    json(of(&user, &["keys", "delete", id, "--mine"]));
    assert_eq!(ids(&json(of(&user, &["keys", "list", "--mine"]))), [given["id"].as_str().unwrap()]);
    user.run(&["users", "delete", "kim"]);
    let left = user.json(&["keys", "list"]);
    assert!(ids(&left).contains(&label) && !left.to_string().contains("kim"), "{left}");
    user.run(&["keys", "delete", label]);

    let entries = user.json(&["audit", "list", "--target", "/api/v1/auth/keys/"]);
    let made = |line: &Value| {
        let entry = &line["entry"];
        entry["actor"] == "user:kim" && entry["target"] == json!(format!("/api/v1/auth/keys/{id}"))
    };
    assert_eq!(
        entries["entries"].as_array().unwrap().iter().filter(|line| made(line)).count(),
        2,
        "{entries}"
    );
}
