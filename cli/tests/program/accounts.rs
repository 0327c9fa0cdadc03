//! Somebody signs in, acts, and is known to have.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::failure;
use super::store::{User, succeeded};

/// The program that knows a gateway and no token.
fn of(user: &User, args: &[&str]) -> Command {
    let mut command = user.unconfigured(args);
    command.env("DATAMESH_SERVER", user.store.url()).env("DATAMESH_CA_FILE", user.store.secret("ca.crt"));
    command
}

/// What it prints when it is told these lines.
fn told(mut command: Command, lines: &str) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    succeeded(child.wait_with_output().unwrap())
}

fn json(command: Command) -> Value {
    let mut command = command;
    serde_json::from_slice(&succeeded(command.args(["--output", "json"]).output().unwrap())).unwrap()
}

#[test]
fn somebody_signs_in_and_is_known_to_have() {
    let user = User::new();
    let made = user.json(&["users", "create", "carol", "--role", "auditor"]);
    let code = made["code"].as_str().unwrap();
    assert_eq!(failure(of(&user, &["ls"])).0, 2, "nobody is signed in");
    let lines = format!("{code}\na long enough password\n");
    told(of(&user, &["login", "carol", "--code", "--stdin"]), &lines);
    let saved = user.file(".local/state/datamesh/session.json");
    assert_eq!(std::fs::metadata(saved).unwrap().permissions().mode() & 0o777, 0o600);

    user.write("x", b"text".to_vec());
    succeeded(of(&user, &["put", "x", "carol/x"]).output().unwrap());
    assert_eq!(failure(of(&user, &["users", "list"])).0, 4, "an auditor makes no users");
    let made = json(of(&user, &["tokens", "create", "reader", "--scope", "read"]));
    let by_token = |args: &[&str]| {
        let mut command = of(&user, args);
        command.env("DATAMESH_TOKEN", made["token"].as_str().unwrap());
        command
    };
    succeeded(by_token(&["ls"]).output().unwrap());
    assert_eq!(failure(by_token(&["rm", "carol/x"])).0, 4, "it was made for reading");
    let listed = json(of(&user, &["tokens", "list"]));
    assert!(listed["tokens"][0]["name"] == "reader" && listed["tokens"][0].get("token").is_none());
    let sessions = json(of(&user, &["sessions", "list"]));
    let device = sessions["sessions"][0]["device"].as_str().unwrap();
    assert!(device.starts_with("datamesh/") && sessions["sessions"][0]["address"] == "127.0.0.1");

    let audit = json(of(&user, &["audit", "list", "--actor", "user:carol"]));
    let actions: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["entry"]["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"POST /api/v1/auth/login"), "{actions:?}");
    assert!(actions.iter().any(|action| action.starts_with("PUT ")), "{actions:?}");
    let verified = json(of(&user, &["audit", "verify"]));
    assert_eq!(verified["findings"], json!([]));
    assert!(verified["entries"].as_u64().unwrap() >= 4, "{verified}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.json");
    let against = || of(&user, &["audit", "verify", "--against", path.to_str().unwrap()]);
    std::fs::write(&path, verified.to_string()).unwrap();
    assert_eq!(json(against())["findings"], json!([]));
    let mut longer = verified.clone();
    longer["heads"][0]["count"] = json!(1_000_000);
    std::fs::write(&path, longer.to_string()).unwrap();
    assert_eq!(against().output().unwrap().status.code(), Some(7), "the chain is shorter than it was");
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(failure(against()).0, 2);
    let exported = succeeded(of(&user, &["audit", "export"]).output().unwrap());
    let lines: Vec<Value> =
        exported.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert!(lines.len() >= 4);

    told(of(&user, &["password", "--stdin"]), "a long enough password\nanother long password\n");
    succeeded(of(&user, &["logout"]).output().unwrap());
    assert_eq!(failure(of(&user, &["ls"])).0, 2);
    told(of(&user, &["login", "carol", "--stdin"]), "another long password\n");
    succeeded(of(&user, &["ls"]).output().unwrap());
    user.run(&["users", "disable", "carol"]);
    assert_eq!(failure(of(&user, &["ls"])).0, 4, "refused at once");
    user.run(&["users", "delete", "carol"]);
}
