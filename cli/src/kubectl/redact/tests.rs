//! Each shape that a secret was seen in, and what must stay for a bundle to be of use.

use serde_json::json;

use super::*;

/// Each with the secret that must not be found afterwards.
const PLANTED: &[(&str, &str)] = &[
    ("Authorization: Bearer 0123456789abcdef", "0123456789abcdef"),
    ("authorization: basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("login with dmt_AQEBAQEBAQEBAQEBAQEBAQ failed", "AQEBAQEB"),
    ("session dms_ZZZZZZZZZZ-_ZZ ended", "ZZZZZZZZZZ"),
    (r#"{"password":"hunter two \" three","user":"x"}"#, "hunter"),
    (r#"{"password":"hunter two \" three","user":"x"}"#, "three"),
    ("PGPASSWORD='correct horse'", "horse"),
    ("adminToken: s3cr3t-admin", "s3cr3t-admin"),
    ("GET /b/k?X-Amz-Signature=fe5f80&x=1", "fe5f80"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    ("postgres://mesh:pa55word@db.example/catalog", "pa55word"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
    ("key 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "8899aabbccddeeff"),
    ("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\nafter", "MIGHAgEA"),
    (r#"body="{\"password\":\"hunter2\"}""#, "hunter2"),
    (r#"body="{\"password\":\"hunter2 , second\",\"user\":\"x\"}""#, "second"),
    (r#"outer="{\\\"token\\\": \\\"hunter2\\\"}""#, "hunter2"),
    (r#"Login { password: Some("hunter2"), user: "x" }"#, "hunter2"),
    (r#"Login { token: Token("hunter2 again") }"#, "again"),
    (r#"{"password" : "hunter2"}"#, "hunter2"),
    (r#"tokens: ["abcdef","ghijkl"]"#, "abcdef"),
    (r#"tokens: ["abcdef","ghijkl"]"#, "ghijkl"),
    ("password: correct horse", "horse"),
    ("postgres://u:pa/ss@h/db", "pa/ss"),
    ("postgres://u:p@ss@h/db", "ss@"),
    ("POSTGRES://u:hunter2@h/db", "hunter2"),
    ("mesh:hunter2@tcp(db:3306)/x", "hunter2"),
    ("AccountKey=abcd==;x", "abcd"),
    ("Server=db;Pwd=hunter2;", "hunter2"),
    ("passphrase=hunter2", "hunter2"),
    ("Cookie: theme=dark; sid=hunter2", "hunter2"),
    ("Authorization: Token hunter2", "hunter2"),
    ("master_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAECAwQ"),
    ("data AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAECAwQ"),
    ("cut -----BEGIN EC PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49", "MIGHAgEA"),
];

#[test]
fn every_rule_holds() {
    assert!(RULES.iter().all(Option::is_some));
}

#[test]
fn planted_secrets_are_not_found_again() {
    let redactor = Redactor::new().unwrap();
    for (text, secret) in PLANTED {
        assert!(text.contains(secret), "the test looks for what was never there: {text}");
        let told = redactor.text(text);
        assert!(!told.contains(secret) && told.contains("<redacted "), "{told}");
    }
    assert!(redactor.text(PLANTED[13].0).ends_with("after"));
}

#[test]
fn what_explains_a_failure_stays() {
    let redactor = Redactor::new().unwrap();
    for text in [
        "2026-11-30T00:00:00Z WARN demo-main-2 is away; 3 segments short",
        "secretName: demo-tokens",
        r#"MountVolume.SetUp failed for volume "tokens" : secret "demo-tokens" not found"#,
        "https://demo-gateway.datamesh.svc:8443/api/v1/status",
        "Pulling image ghcr.io/datamesh/node:v1@sha256:abc",
        "topologyKey: kubernetes.io/hostname",
        "peer 12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp is away",
        "put key=photos/2026/a.jpg in 12ms",
    ] {
        assert_eq!(redactor.text(text), text);
    }
    let twice = redactor.text("token=abc token=abc token=abd");
    let marks: Vec<&str> = twice.split(' ').filter(|part| part.ends_with('>')).collect();
    assert!(marks[0] == marks[1] && marks[1] != marks[2], "{twice}");
    assert_ne!(Redactor::new().unwrap().mark("abc"), redactor.mark("abc"));
}

#[test]
fn objects_lose_values_of_variables_and_copies_of_themselves() {
    let redactor = Redactor::new().unwrap();
    let object = json!({
        "metadata": {
            "name": "demo",
            "managedFields": [{ "manager": "x" }],
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{…}", "token": "planted-1 planted-4" },
        },
        "spec": { "containers": [{
            "env": [{ "name": "HARMLESS", "value": "planted-2" }],
            "args": ["--password=planted-3", "--keep", "--admin-token", "planted-5", "--also"],
        }], "volumes": [{ "secret": { "secretName": "demo-tokens" } }] },
    });
    let told = redactor.object(object);
    let text = told.to_string();
    assert!(
        !text.contains("planted") && !text.contains("managedFields") && !text.contains("last-applied"),
        "{text}"
    );
    let named = redactor.object(json!({
        "token": ["planted-6"],
        "credentials": { "a": "planted-7", "deep": [{ "b": 7777 }] },
        "settings": [{ "name": "password", "value": "planted-8" }],
        "topologyKey": "kubernetes.io/hostname",
    }));
    let shown = named.to_string();
    assert!(!shown.contains("planted") && !shown.contains("7777"), "{shown}");
    assert_eq!(named["topologyKey"], "kubernetes.io/hostname");
    let args = &told["spec"]["containers"][0]["args"];
    assert_eq!((&args[1], &args[4]), (&json!("--keep"), &json!("--also")));
    assert_eq!(told["spec"]["volumes"][0]["secret"]["secretName"], "demo-tokens");
}
