//! The program as users run it, on a real store.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "program/accounts.rs"]
mod accounts;
#[path = "program/audit.rs"]
mod audit;
#[path = "program/copies.rs"]
mod copies;
#[path = "program/operations.rs"]
mod operations;
#[path = "program/outputs.rs"]
mod outputs;
#[path = "program/owners.rs"]
mod owners;
#[path = "program/plugin.rs"]
mod plugin;
#[path = "program/provider.rs"]
mod provider;
#[path = "program/relay.rs"]
mod relay;
#[path = "program/store.rs"]
mod store;
#[path = "program/syncs.rs"]
mod syncs;
#[path = "program/transfers.rs"]
mod transfers;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use store::{User, new_seed, random, succeeded};

fn keys(listing: &Value) -> Vec<&str> {
    listing["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect()
}

/// Exit code and complaint of a command that fails.
fn failure(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn files_go_in_are_listed_come_back_and_go() {
    let user = User::new();
    let seed = new_seed();
    for (name, bytes) in [("empty", 0), ("small", 100), ("large", 9_000_001)] {
        let content = user.write(name, random(seed, bytes));
        let answer = user.json(&["put", name, "dir/"]);
        assert_eq!((&answer["skipped"], &answer["stored"][0]["durability"]), (&json!(0), &json!("whole")));
        let object = &answer["stored"][0]["object"];
        assert_eq!((&object["key"], &object["size"]), (&json!(format!("dir/{name}")), &json!(bytes)));
        let key = format!("dir/{name}");
        let fetched = user.json(&["get", &key, "copy"]);
        assert_eq!(fetched["fetched"], json!([{ "key": key, "path": "copy", "size": bytes }]));
        assert!(user.read("copy") == content, "{name} differs");
    }
    assert!(user.json(&["ls"])["commonPrefixes"].as_array().unwrap().contains(&json!("dir/")));
    assert_eq!(keys(&user.json(&["ls", "dir/"])), ["dir/empty", "dir/large", "dir/small"]);
    assert_eq!(keys(&user.json(&["ls", "--recursive", "di"])), ["dir/empty", "dir/large", "dir/small"]);
    assert!(String::from_utf8(user.run(&["ls", "dir/s"])).unwrap().contains("dir/small"));
    // What lay in the catalog alone is gone with its row; what nodes hold is kept for an hour first.
    let gone = user.json(&["rm", "dir/empty"]);
    assert_eq!(gone["deleted"], json!(["dir/empty"]));
    assert_eq!(gone["erasures"][0]["erasedBy"], gone["erasures"][0]["keptUntil"]);
    let gone = user.json(&["rm", "--recursive", "dir/"]);
    assert_eq!(gone["deleted"], json!(["dir/large", "dir/small"]));
    assert_eq!(
        (&gone["erasures"][0]["key"], &gone["erasures"][0]["waitsFor"]),
        (&json!("dir/large"), &json!([]))
    );
    let time = |name: &str| gone["erasures"][0][name].as_str().unwrap().to_owned();
    assert!(time("keptUntil") < time("erasedBy"), "{gone}");
    assert_eq!(user.json(&["rm", "dir/large"]), json!({ "deleted": ["dir/large"], "erasures": [] }));
    assert_eq!(keys(&user.json(&["ls", "--recursive", "dir"])), Vec::<&str>::new());
}

#[test]
fn a_file_is_shredded_and_what_stays_is_said() {
    let user = User::new();
    let seed = new_seed();
    for (name, bytes) in [("small", 100), ("large", 9_000_001), ("later", 500_000)] {
        user.write(name, random(seed, bytes));
        user.json(&["put", name, "shredded/"]);
    }
    let gone = user.json(&["rm", "--shred", "shredded/small", "shredded/large", "shredded/none"]);
    assert_eq!(gone["deleted"], json!(["shredded/small", "shredded/large", "shredded/none"]));
    let shreds = gone["shreds"].as_array().unwrap();
    assert_eq!(shreds.len(), 2, "{gone}");
    for shredding in shreds {
        assert_eq!((&shredding["state"], &shredding["partly"]), (&json!("over"), &json!([])), "{gone}");
        assert!(!shredding["stays"].as_array().unwrap().is_empty());
    }
    let said = String::from_utf8(user.run(&["rm", "--shred", "--no-wait", "-r", "shredded/"])).unwrap();
    assert!(
        said.contains("deleted shredded/later; shredding it as ") && said.contains("what stays: "),
        "{said}"
    );
    let all = user.json(&["shreds"]);
    assert_eq!(all["shreds"].as_array().unwrap().len(), 3);
    let id = shreds[0]["id"].as_str().unwrap();
    assert!(String::from_utf8(user.run(&["shreds", id])).unwrap().contains("out of the files"));
    user.run(&["shreds", id, "--forget"]);
    assert_eq!(user.json(&["shreds"])["shreds"].as_array().unwrap().len(), 2);
    let unknown = user.command(&["shreds", id]);
    assert_eq!(failure(unknown).0, 3);
}

#[test]
fn a_folder_comes_back_as_it_was_and_what_is_no_file_is_told() {
    let user = User::new();
    let names = ["a", "sub/b", "sub/deep/c d", "sub/ä%2e?#"];
    for name in names {
        user.write(&format!("top/{name}"), name.as_bytes().to_vec());
    }
    std::os::unix::fs::symlink("/etc/passwd", user.file("top/sub/link")).unwrap();
    let output = user.command(&["put", "-r", "top", "-o", "json"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("skipped top/sub/link: a symbolic link"), "{complaint}");
    let answer: Value = serde_json::from_slice(&succeeded(output)).unwrap();
    assert_eq!((answer["stored"].as_array().unwrap().len(), &answer["skipped"]), (4, &json!(1)));
    user.run(&["get", "-r", "top/", "back"]);
    for name in names {
        assert_eq!(user.read(&format!("back/top/{name}")), name.as_bytes());
    }
}

#[test]
fn standard_input_and_output_serve_for_files() {
    let user = User::new();
    let content = random(new_seed(), 5_000_000);
    let mut put =
        user.command(&["put", "-", "stream"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(&content).unwrap();
    succeeded(put.wait_with_output().unwrap());
    assert!(user.run(&["get", "stream", "-"]) == content);
}

#[test]
fn the_gateway_is_found_by_environment_options_or_the_file_at_home() {
    let user = User::new();
    let token = std::fs::read_to_string(user.store.secret("token")).unwrap();
    let mut by_environment = user.unconfigured(&["status", "-o", "json"]);
    by_environment.env("DATAMESH_SERVER", user.store.url()).env("DATAMESH_TOKEN", &token);
    by_environment.env("DATAMESH_CA_FILE", user.store.secret("ca.crt"));
    let status: Value = serde_json::from_slice(&succeeded(by_environment.output().unwrap())).unwrap();
    assert_eq!(status["pools"][0]["members"].as_array().unwrap().len(), 6);

    let (url, authority) = (user.store.url(), user.store.secret("ca.crt"));
    let mut by_options =
        user.unconfigured(&["ls", "--server", &url, "--ca-file", authority.to_str().unwrap()]);
    succeeded(by_options.env("DATAMESH_TOKEN", &token).output().unwrap());

    user.write(".config/datamesh/config.yaml", std::fs::read(user.store.secret("cli.yaml")).unwrap());
    let shown = succeeded(user.unconfigured(&["status"]).output().unwrap());
    assert!(String::from_utf8(shown).unwrap().contains("takes writes"));
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let user = User::new();
    user.write("codes", b"content".to_vec());
    user.run(&["put", "codes"]);
    let code = |args: &[&str]| failure(user.command(args)).0;
    assert_eq!(code(&["put"]), 2);
    assert_eq!(code(&["put", "/dev/null", "key"]), 2);
    assert_eq!(code(&["ls", "--bucket", "../uploads"]), 2);
    assert_eq!(failure(user.unconfigured(&["ls"])).0, 2);
    assert_eq!(code(&["get", "nothing"]), 3);
    assert_eq!(code(&["put", "codes", "--no-clobber"]), 6);

    let mut wrong_token = user.command(&["ls"]);
    wrong_token.env("DATAMESH_TOKEN", "not the token of this cluster");
    assert_eq!(failure(wrong_token).0, 4);
    // Also where the refusal comes while megabytes are still being sent.
    user.write("megabytes", vec![0; 40 << 20]);
    for _ in 0..10 {
        let mut put = user.command(&["put", "megabytes", "--retry-seconds", "0"]);
        put.env("DATAMESH_TOKEN", "not the token of this cluster");
        assert_eq!(failure(put).0, 4);
    }
    let mut as_user = user.command(&["admin", "key", "export"]);
    as_user.env("DATAMESH_ADMIN_TOKEN", std::fs::read_to_string(user.store.secret("token")).unwrap());
    assert_eq!(failure(as_user).0, 4);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (exit, text) =
        failure(user.command(&["ls", "--retry-seconds", "0", "--server", &format!("https://{nobody}")]));
    assert!(exit == 5 && text.contains("cannot reach the gateway"), "{text}");
    // A certificate that is refused is not waited for.
    let mut without_authority = user.unconfigured(&["ls", "--server", &user.store.url()]);
    without_authority.env("DATAMESH_TOKEN", "any");
    let (exit, text) = failure(without_authority);
    assert!(exit == 5 && !text.contains("trying again"), "{text}");
}

#[test]
fn no_command_acts_on_another_key_than_it_names() {
    let user = User::new();
    user.write("x", b"kept".to_vec());
    for key in ["x", "logs/a"] {
        user.run(&["put", "x", key]);
    }
    // Other clients can store such a key: the gateway takes keys as they stand.
    user.put_raw("logs/../x", "other");
    for args in [
        &["rm", "logs/../x"][..],
        &["rm", "--recursive", "logs/"],
        &["get", "logs/../x", "y"],
        &["get", "logs/../x", "-"],
        &["put", "x", "logs/%2e%2e/../x"],
        &["rm", "--bucket", "..", "x"],
    ] {
        let (exit, text) = failure(user.command(args));
        assert!(exit == 2 && text.contains(".."), "{args:?}: {exit} {text}");
    }
    assert_eq!(user.run(&["get", "x", "-"]), b"kept");
    assert!(keys(&user.json(&["ls", "-r", "logs/.."])) == ["logs/../x"]);
}

#[test]
fn the_exported_key_is_the_clusters_and_private() {
    let user = User::new();
    user.run(&["admin", "key", "export", "key.yaml"]);
    let exported = user.read("key.yaml");
    let secret = std::fs::read_to_string(user.store.secret("cluster-secret")).unwrap();
    assert!(String::from_utf8_lossy(&exported).contains(secret.trim()));
    let mode = std::fs::metadata(user.file("key.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_ne!(failure(user.command(&["admin", "key", "export", "key.yaml"])).0, 0);
    assert!(user.read("key.yaml") == exported && user.run(&["admin", "key", "export"]) == exported);
}

#[test]
fn key_pairs_are_made_shown_and_revoked() {
    let user = User::new();
    let made =
        user.json(&["keys", "create", "backup", "--permission", "read-only", "--only-bucket", "photos"]);
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!((&made["permission"], &made["buckets"]), (&json!("readOnly"), &json!(["photos"])));
    let listed = user.json(&["keys", "list"]);
    let ours = |listed: &Value| {
        listed["keys"].as_array().unwrap().iter().any(|key| key["id"] == id && key["name"] == "backup")
    };
    assert!(ours(&listed) && !listed.to_string().contains(secret), "a secret is shown once");
    assert!(String::from_utf8(user.run(&["keys", "list"])).unwrap().contains(id));
    user.run(&["keys", "delete", id]);
    assert!(!ours(&user.json(&["keys", "list"])));
    assert_eq!(failure(user.command(&["keys", "delete", id])).0, 3);
    let shown = String::from_utf8(user.run(&["keys", "create", "other"])).unwrap();
    assert!(
        shown.starts_with("AWS_ACCESS_KEY_ID=") && shown.contains("\nAWS_SECRET_ACCESS_KEY="),
        "as a shell reads it"
    );
    assert_eq!(failure(user.command(&["keys", "create", "x", "--only-bucket", "NO"])).0, 1);
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(env!("CARGO_BIN_EXE_datamesh")).args(["completion", shell]).output();
        let script = String::from_utf8(succeeded(output.unwrap())).unwrap();
        assert!(script.contains("datamesh") && script.contains("recursive"), "{shell}");
    }
}
