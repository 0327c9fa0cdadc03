//! Objects are copied, moved, found and summed.

use std::process::Stdio;

use serde_json::json;

use super::relay::{Order, Relay, Then};
use super::store::{User, new_seed, random};
use super::{failure, keys};

#[test]
fn objects_are_copied_and_moved() {
    let user = User::new();
    let content = user.write("big", random(new_seed(), 9_000_001));
    user.run(&["put", "big", "copies/a/big"]);
    user.run(&["put", "big", "copies/a/deep/big"]);
    let copied = user.json(&["cp", "copies/a/big", "copies/b/"]);
    assert_eq!(
        (&copied["copied"][0]["from"], &copied["copied"][0]["object"]["key"]),
        (&json!("copies/a/big"), &json!("copies/b/big"))
    );
    assert!(user.run(&["get", "copies/b/big", "-"]) == content);
    user.run(&["cp", "-r", "copies/a/", "copies/c/"]);
    assert_eq!(keys(&user.json(&["ls", "-R", "copies/c/"])), ["copies/c/big", "copies/c/deep/big"]);
    user.run(&["mv", "-r", "copies/c/", "copies/d/"]);
    let left = ["copies/a/big", "copies/a/deep/big", "copies/b/big", "copies/d/big", "copies/d/deep/big"];
    assert_eq!(keys(&user.json(&["ls", "-r", "copies/"])), left);
    assert!(user.run(&["get", "copies/d/deep/big", "-"]) == content);
}

#[test]
fn what_would_lose_an_object_is_refused() {
    let user = User::new();
    user.write("one", b"one".to_vec());
    user.write("two", b"two".to_vec());
    user.run(&["put", "one", "lost/one"]);
    user.run(&["put", "two", "lost/two"]);
    for args in
        [&["mv", "lost/one", "lost/one"][..], &["mv", "lost/one", "lost/"], &["mv", "-r", "lost/", "lost/"]]
    {
        let (code, text) = failure(user.command(args));
        assert!(code == 2 && text.contains("onto itself"), "{args:?}: {text}");
    }
    user.run(&["put", "one", "lost/old/one"]);
    for args in [&["mv", "-r", "lost/", "lost/old/"][..], &["cp", "-r", "lost/", "lost/old/"]] {
        let (code, text) = failure(user.command(args));
        assert!(code == 2 && text.contains("to be copied itself"), "{args:?}: {text}");
    }
    assert_eq!(failure(user.command(&["mv", "--no-clobber", "lost/one", "lost/two"])).0, 6);
    assert_eq!(failure(user.command(&["mv", "lost/none", "lost/two"])).0, 3);
    assert_eq!(user.run(&["get", "lost/one", "-"]), b"one");
    assert_eq!(user.run(&["get", "lost/two", "-"]), b"two");
}

#[test]
fn what_is_stored_while_it_is_moved_stays() {
    let user = User::new();
    user.write("old", random(new_seed(), 9_000_001));
    user.write("new", b"new".to_vec());
    user.run(&["put", "old", "moving/a"]);
    let relay = Relay::start(0, user.store.https_port, Then::Pass, Then::Hold(4 << 20));
    let mut command = user.command(&["mv", "moving/a", "moving/b"]);
    let child = command.env("DATAMESH_SERVER", relay.url()).stdout(Stdio::null()).spawn().unwrap();
    relay.wait_held();
    user.run(&["put", "new", "moving/a"]);
    relay.order(Order::GoOn);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(6));
    assert_eq!(user.run(&["get", "moving/a", "-"]), b"new");
    assert!(user.run(&["get", "moving/b", "-"]) == user.read("old"));
}

#[test]
fn objects_are_found_and_summed() {
    let user = User::new();
    for (name, bytes) in [("a.jpg", 2000), ("b.txt", 3000), ("c.jpg", 10)] {
        user.write(name, random(new_seed(), bytes));
        user.run(&["put", name, "found/2026/"]);
    }
    user.run(&["put", "c.jpg", "found/old/"]);
    let found = |args: &[&str]| {
        let all = user.json(&[&["find", "found/"], args].concat());
        keys(&all).into_iter().map(|key| key.trim_start_matches("found/").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["--name", "*.jpg"]), ["2026/a.jpg", "2026/c.jpg", "old/c.jpg"]);
    assert_eq!(found(&["--name", "*.jpg", "--larger", "1K"]), ["2026/a.jpg"]);
    assert_eq!(found(&["--smaller", "1K", "--newer", "1h"]), ["2026/c.jpg", "old/c.jpg"]);
    assert_eq!(found(&["--older", "1h"]), Vec::<String>::new());
    let summed = user.json(&["du", "found/"]);
    assert_eq!(summed["total"], json!({ "objects": 4, "bytes": 5020 }));
    assert_eq!(summed["folders"][0], json!({ "folder": "found/2026/", "objects": 3, "bytes": 5010 }));
    let shown = String::from_utf8(user.run(&["du", "found/", "--depth", "0"])).unwrap();
    assert!(shown.contains("4.90 KiB") && !shown.contains("2026"), "{shown}");
    assert_eq!(failure(user.command(&["find", "--larger", "much"])).0, 2);
}
