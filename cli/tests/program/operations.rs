//! What the cluster does by itself, on real processes: jobs and backups.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};

use super::failure;
use super::store::{Store, User, new_seed, random};

fn words(user: &User, args: &[&str]) -> String {
    String::from_utf8(user.run(args)).unwrap()
}

/// The job of that id, while there is one.
fn job(user: &User, id: &str) -> Option<Value> {
    let jobs = user.json(&["jobs"]);
    jobs["items"].as_array().unwrap().iter().find(|job| job["id"] == id).cloned()
}

#[test]
fn drains_are_jobs_and_a_backup_is_made_and_listed() {
    // One more than 4+2 needs, each a process.
    let user = User::of(Arc::new(Store::start_with(7, &["--processes", "--no-restart"])));
    let seed = new_seed();
    for n in 0..6 {
        user.write("data", random(seed + n, 3 << 20));
        user.run(&["put", "data", &format!("jobs/{n}")]);
    }
    let id = "drain:main:node-4";
    called_off(&user, id);
    watched(&user, id);
    let refused = failure(user.command(&["jobs", "cancel", "scrub:main"]));
    assert!(refused.0 == 6 && refused.1.contains("spec.scrub.paused"), "{refused:?}");
    backed_up(&user);
}

/// A node that does nothing gives nothing away.
fn called_off(user: &User, id: &str) {
    let _held = user.store.hold("node-4");
    user.run(&["node", "drain", "node-4", "--no-wait"]);
    let drain = job(user, id).unwrap();
    assert_eq!(
        (&drain["kind"], &drain["pool"], &drain["node"]),
        (&json!("drain"), &json!("main"), &json!("node-4"))
    );
    assert_eq!(drain["progress"]["unit"], json!("bytes"));
    assert!(drain["sinceUnixMs"].is_u64() && drain["canBeCancelled"] == json!(true), "{drain}");
    assert!(words(user, &["jobs"]).contains(id));
    assert!(words(user, &["jobs", "show", id]).contains(&format!("datamesh jobs cancel {id}")));
    assert!(words(user, &["jobs", "cancel", id]).contains("is called off"));
    assert_eq!(job(user, id), None);
    for command in ["show", "watch", "cancel"] {
        assert_eq!(failure(user.command(&["jobs", command, id])).0, 3, "{command}");
    }
}

fn watched(user: &User, id: &str) {
    let held = user.store.hold("node-4");
    user.run(&["node", "drain", "node-4", "--no-wait"]);
    let mut watch = user.command(&["jobs", "watch", id, "-o", "json"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut told = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(told.next().unwrap()["jobs"][0]["id"], json!(id));
    drop(held);
    assert_eq!(told.last().unwrap(), json!({ "jobs": [] }));
    assert!(watch.wait().unwrap().success());
    let node = user.json(&["node", "status", "node-4"]);
    assert_eq!(node[0]["drain"]["state"], json!("Drained"));
}

fn backed_up(user: &User) {
    let made = user.json(&["backup", "now"]);
    let revision = made["asked"]["revision"].as_u64().unwrap();
    assert!(made["newest"]["revision"].as_u64().unwrap() >= revision, "{made}");
    let listed = user.json(&["backup", "list"]);
    let newest = &listed["points"][0];
    assert!(newest["revision"].as_u64().unwrap() >= revision && newest["place"] == json!("mesh"), "{listed}");
    assert!(newest["nodes"].as_u64().unwrap() > 2 && newest["bytes"].as_u64().unwrap() > 0, "{listed}");
    assert!(words(user, &["backup", "list"]).contains(newest["id"].as_str().unwrap()));
    let said = words(user, &["backup", "status"]);
    assert!(said.contains("newest ") && said.contains("docs/backups.md"), "{said}");
    let asked = user.json(&["backup", "now", "--no-wait"])["revision"].as_u64().unwrap();
    assert!(asked > revision);
    let seen = user.json(&["backup", "status"]);
    assert_eq!(seen["asked"]["revision"], json!(asked));
}
