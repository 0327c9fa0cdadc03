//! Somebody signs in, acts, and is known to have.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::failure;
use super::store::{User, succeeded};

/// The program that knows a gateway and no token.
pub(super) fn of(user: &User, args: &[&str]) -> Command {
    let mut command = user.unconfigured(args);
    command.env("DATAMESH_SERVER", user.store.url()).env("DATAMESH_CA_FILE", user.store.secret("ca.crt"));
    command
}

/// What it prints when it is told these lines.
pub(super) fn told(mut command: Command, lines: &str) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    succeeded(child.wait_with_output().unwrap())
}

pub(super) fn json(command: Command) -> Value {
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
    let create = ["tokens", "create", "reader", "--scope", "read", "--stdin", "--output", "json"];
    let made: Value = serde_json::from_slice(&told(of(&user, &create), "a long enough password\n")).unwrap();
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

#[test]
fn somebody_comes_by_an_invitation_and_adds_a_second_factor() {
    let user = User::new();
    assert_eq!(user.json(&["users", "registration"])["registration"], "closed");
    user.run(&["users", "registration", "invite"]);
    let made = user.json(&["invites", "create", "--role", "auditor"]);
    let listed = user.json(&["invites", "list"]);
    assert_eq!(
        (&listed["invites"][0]["id"], &listed["invites"][0]["role"]),
        (&made["id"], &json!("auditor"))
    );
    let code = made["code"].as_str().unwrap();
    assert!(!listed.to_string().contains(code));
    let lines = format!("{code}\na long enough password\n");
    told(of(&user, &["register", "dora", "--invite", "--stdin"]), &lines);
    let failed = of(&user, &["register", "eve", "--invite", "--stdin"]);
    assert_eq!(refused(failed, &lines), 4, "the invitation was used");
    assert_eq!(user.json(&["invites", "list"])["invites"], json!([]));
    let made = user.json(&["invites", "create"]);
    let id = made["id"].as_str().unwrap();
    user.run(&["invites", "revoke", id]);
    assert_eq!(failure(of_admin(&user, &["invites", "revoke", id])).0, 3);

    let (secret, recovery) = with_second_factor(&user);
    let status = json(of(&user, &["second-factor", "status"]));
    assert_eq!((&status["enabled"], &status["recoveryCodesLeft"]), (&json!(true), &json!(10)));
    assert_eq!(secret.len(), 32);
    succeeded(of(&user, &["logout"]).output().unwrap());
    let login = || of(&user, &["login", "dora", "--stdin"]);
    assert_eq!(refused(login(), "a long enough password\nno code\n"), 4);
    told(login(), &format!("a long enough password\n{}\n", recovery[0]));
    let disable = of(&user, &["second-factor", "disable", "--stdin"]);
    told(disable, &format!("a long enough password\n{}\n", recovery[1]));
    told(login(), "a long enough password\n");
    assert_eq!(failure(of_admin(&user, &["users", "clear-second-factor", "dora"])).0, 3, "there is none");
}

fn of_admin(user: &User, args: &[&str]) -> Command {
    user.command(args)
}

/// The exit code of a program that fails on these lines.
fn refused(mut command: Command, lines: &str) -> i32 {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait().unwrap().code().unwrap()
}

/// Adds a second factor as a program would: it reads the secret and answers with a code. Gives the secret and the recovery codes.
fn with_second_factor(user: &User) -> (String, Vec<String>) {
    let mut command = of(user, &["second-factor", "enable", "--stdin", "--output", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut asked, answered) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    asked.write_all(b"a long enough password\n").unwrap();
    let mut answers = serde_json::Deserializer::from_reader(answered).into_iter::<Value>();
    let offer = answers.next().unwrap().unwrap();
    let secret = offer["secret"].as_str().unwrap().to_owned();
    let key = totp_rs::Secret::try_from_base32(&secret).unwrap();
    let phone = totp_rs::Builder::new().with_secret(key).build().unwrap();
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    asked.write_all(format!("{}\n", phone.generate(seconds)).as_bytes()).unwrap();
    let codes = answers.next().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    let codes = codes["recoveryCodes"].as_array().unwrap();
    (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

#[test]
fn what_is_somebody_s_is_shared_and_what_was_deleted_comes_back() {
    let user = User::new();
    let made = user.json(&["users", "create", "fred"]);
    let lines = format!("{}\na long enough password\n", made["code"].as_str().unwrap());
    told(of(&user, &["login", "fred", "--code", "--stdin"]), &lines);
    user.write("x", b"text".to_vec());
    succeeded(of(&user, &["put", "x", "fred/x"]).output().unwrap());
    let made = json(of(&user, &["shares", "create", "fred/", "--downloads", "3"]));
    assert!(made["link"].as_str().unwrap().starts_with(&format!("{}/api/v1/shared/dml_", user.store.url())));
    assert_eq!((&made["prefix"], &made["downloads"]), (&json!("fred/"), &json!(3)));
    let listed = json(of_admin(&user, &["shares", "list", "--of", "fred"]));
    assert_eq!((&listed["shares"][0]["id"], listed["shares"][0].get("link")), (&made["id"], None));
    let id = made["id"].as_str().unwrap();
    succeeded(of(&user, &["shares", "end", id]).output().unwrap());
    assert_eq!(failure(of_admin(&user, &["shares", "end", id, "--of", "fred"])).0, 3);
    assert_eq!(failure(of(&user, &["shares", "create", "fred", "--drop"])).0, 2, "a drop box is in a folder");

    let zip = json(of(&user, &["zip", "fred/"]));
    assert_eq!((&zip["file"], &user.read("fred.zip")[..2]), (&json!("fred.zip"), &b"PK"[..]));
    assert_eq!(failure(of(&user, &["zip", "fred"])).0, 2, "a folder ends with a slash");

    // A bucket of its own: the others' is to keep no versions.
    user.run(&["buckets", "create", "freds"]);
    let of_bucket = |args: &[&str]| of(&user, &[&["--bucket", "freds"], args].concat());
    let trash = |args: &[&str]| json(of_bucket(&[&["trash"], args].concat()));
    succeeded(of_bucket(&["put", "x", "fred/x"]).output().unwrap());
    assert_eq!(trash(&["keep", "--days", "7"]), json!({ "days": 7, "keeps": true }));
    succeeded(of_bucket(&["rm", "fred/x"]).output().unwrap());
    assert_eq!(trash(&["list", "fred/"])["deleted"][0]["key"], "fred/x");
    assert_eq!(trash(&["restore", "fred/x"])["restored"]["size"], 4);
    succeeded(of_bucket(&["rm", "fred/x"]).output().unwrap());
    assert_eq!(trash(&["empty", "fred/"]), json!({ "purged": 1 }));
    assert_eq!(failure(of_bucket(&["trash", "restore", "fred/x"])).0, 2, "there is none");
    user.write("newer", b"newer bytes".to_vec());
    succeeded(of_bucket(&["put", "x", "kept"]).output().unwrap());
    succeeded(of_bucket(&["put", "newer", "kept"]).output().unwrap());
    succeeded(of_bucket(&["put", "x", "kept-too"]).output().unwrap());
    let versions = json(of_bucket(&["versions", "list", "kept"]))["versions"].clone();
    assert_eq!(json(of_bucket(&["versions", "list", "-r", "kept"]))["versions"].as_array().unwrap().len(), 3);
    let older = versions[1]["version"].as_str().unwrap();
    assert_eq!(
        (&versions[0]["size"], &versions[1]["size"], &versions[2]),
        (&json!(11), &json!(4), &json!(null))
    );
    succeeded(of_bucket(&["get", "kept", "older", "--version", older]).output().unwrap());
    assert_eq!(user.read("older"), user.read("x"));
    assert_eq!(json(of_bucket(&["versions", "restore", "kept", older]))["restored"]["size"], 4);
    succeeded(of_bucket(&["get", "kept", "restored"]).output().unwrap());
    assert_eq!(user.read("restored"), user.read("x"));
    assert_eq!(failure(of_bucket(&["get", "kept", "-", "--version", "ff"])).0, 1, "that is no id");
    assert_eq!(trash(&["off"]), json!({ "days": 7, "keeps": false }));
}
