//! Folders and the bucket become the same, whatever happened to either.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::relay::{Order, Relay, Then};
use super::store::{User, new_seed, random, succeeded};
use super::{failure, keys};

fn sync(user: &User, args: &[&str]) -> Value {
    user.json(&[&["sync"], args].concat())
}

/// What was done, as `verb path`.
fn steps(answer: &Value) -> Vec<String> {
    let steps = answer["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", step["do"].as_str().unwrap(), step["path"].as_str().unwrap())).collect()
}

/// Names of the files of a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn two_folders_and_the_bucket_become_the_same() {
    let user = User::new();
    user.write("one/a", b"a".to_vec());
    user.write("one/deep/b", b"b".to_vec());
    std::fs::create_dir(user.file("two")).unwrap();
    assert_eq!(steps(&sync(&user, &["one", "both", "--dry-run"])), ["upload a", "upload deep/b"]);
    assert_eq!(keys(&user.json(&["ls", "-r", "both/"])), Vec::<&str>::new(), "a dry run does nothing");
    assert_eq!(steps(&sync(&user, &["one", "both"])), ["upload a", "upload deep/b"]);
    assert_eq!(steps(&sync(&user, &["two", "both/"])), ["download a", "download deep/b"]);
    assert_eq!(user.read("two/deep/b"), b"b");
    assert_eq!(
        (sync(&user, &["one", "both"])["steps"].clone(), sync(&user, &["two", "both"])["steps"].clone()),
        (json!([]), json!([]))
    );

    // Changed here, deleted there, and added.
    user.write("one/a", b"changed".to_vec());
    std::fs::remove_file(user.file("two/deep/b")).unwrap();
    user.write("two/c", b"c".to_vec());
    assert_eq!(steps(&sync(&user, &["one", "both"])), ["upload a"]);
    assert_eq!(steps(&sync(&user, &["two", "both"])), ["download a", "upload c", "deleteRemote deep/b"]);
    assert_eq!(steps(&sync(&user, &["one", "both"])), ["download c", "deleteLocal deep/b"]);
    assert_eq!(files(&user.file("one")), ["a", "c"], "a folder that is empty now goes");
    assert_eq!(user.read("two/a"), b"changed");
}

#[test]
fn both_versions_of_a_conflict_are_kept() {
    let user = User::new();
    user.write("one/a.txt", b"old".to_vec());
    user.write("one/same", b"same".to_vec());
    sync(&user, &["one", "conflict"]);
    std::fs::create_dir(user.file("two")).unwrap();
    sync(&user, &["two", "conflict"]);
    user.write("one/a.txt", b"ours".to_vec());
    user.write("two/a.txt", b"them".to_vec());
    user.write("one/new", b"alike".to_vec());
    user.write("two/new", b"alike".to_vec());
    sync(&user, &["one", "conflict"]);
    let answer = sync(&user, &["two", "conflict"]);
    assert_eq!(steps(&answer), ["keepBoth a.txt"], "what is alike is no conflict");
    let copy = answer["steps"][0]["becomes"].as_str().unwrap();
    assert!(copy.starts_with("a (conflict ") && copy.ends_with(").txt"), "{copy}");
    sync(&user, &["one", "conflict"]);
    for folder in ["one", "two"] {
        assert_eq!(user.read(&format!("{folder}/a.txt")), b"ours");
        assert_eq!(user.read(&format!("{folder}/{copy}")), b"them");
    }
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    let user = User::new();
    for key in ["leave/../../escaped", "leave//x", "leave/link/x", "leave/file/x", "leave/x.datamesh-part/b"]
    {
        user.put_raw(key, "escaped");
    }
    user.write("folder/file", b"file".to_vec());
    std::fs::create_dir(user.file("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", user.file("folder/link")).unwrap();
    let output = user.command(&["sync", "folder", "leave", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "a file where a folder is, on the other side");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(steps(&answer), Vec::<String>::new());
    let skipped: Vec<&str> =
        answer["skipped"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["../../escaped", "/x", "file", "file/x", "link", "link/x", "x.datamesh-part/b"]);
    let there = || keys(&user.json(&["ls", "-r", "leave/"])).len();
    let before = there();
    user.command(&["sync", "folder", "leave"]).output().unwrap();
    assert_eq!(there(), before, "what is left alone is not deleted by the next run");
    assert_eq!(
        (files(&user.file("folder")), files(&user.file("outside"))),
        (vec!["file".to_owned(), "link".to_owned()], vec![])
    );
    assert!(!user.file("escaped").exists() && !user.home.path().parent().unwrap().join("escaped").exists());
}

#[test]
fn one_way_deletes_only_when_told() {
    let user = User::new();
    user.write("folder/a", b"a".to_vec());
    user.write("x", b"x".to_vec());
    user.run(&["put", "x", "oneway/x"]);
    let up = ["folder", "oneway", "--direction", "up"];
    assert_eq!(steps(&sync(&user, &up)), ["upload a"]);
    assert_eq!(steps(&sync(&user, &[&up[..], &["--delete"]].concat())), ["deleteRemote x"]);
    user.write("folder/b", b"b".to_vec());
    let down = ["folder", "oneway", "--direction", "down"];
    assert_eq!(steps(&sync(&user, &down)), Vec::<String>::new());
    assert_eq!(steps(&sync(&user, &[&down[..], &["--delete"]].concat())), ["deleteLocal b"]);

    // A folder whose volume is not there must not empty the bucket.
    std::fs::remove_file(user.file("folder/a")).unwrap();
    for args in [&["sync", "folder", "oneway"][..], &["mirror", "folder", "oneway", "--delete"]] {
        let (code, text) = failure(user.command(args));
        assert!(code == 2 && text.contains("1 objects would be deleted"), "{args:?}: {text}");
    }
    assert_eq!(keys(&user.json(&["ls", "oneway/"])), ["oneway/a"]);
    assert_eq!(steps(&sync(&user, &["folder", "oneway", "--dry-run"])), ["deleteRemote a"]);
    assert_eq!(steps(&sync(&user, &["folder", "oneway", "--mass-delete"])), ["deleteRemote a"]);
    user.write("folder/c", b"c".to_vec());
    sync(&user, &["folder", "oneway"]);
    user.run(&["rm", "oneway/c"]);
    let (code, text) = failure(user.command(&["sync", "folder", "oneway"]));
    assert!(code == 2 && text.contains("1 files would be deleted"), "{text}");
    // Nor must a mistyped prefix empty the folder.
    let down = ["sync", "folder", "mistyped", "--direction", "down", "--delete"];
    assert_eq!(failure(user.command(&down)).0, 2);
    assert_eq!(files(&user.file("folder")), ["c"]);
    assert_eq!(failure(user.command(&["sync", "folder", "oneway", "--delete"])).0, 2);
    assert_eq!(failure(user.command(&["sync", "nowhere", "oneway"])).0, 2);
}

#[test]
fn a_damaged_state_is_told_and_without_it_nothing_is_deleted() {
    let user = User::new();
    user.write("folder/a", b"a".to_vec());
    sync(&user, &["folder", "state"]);
    let syncs = user.file(".local/state/datamesh/syncs");
    let state = files(&syncs).into_iter().find(|name| name.ends_with(".json")).unwrap();
    std::fs::write(syncs.join(&state), "{").unwrap();
    let (code, text) = failure(user.command(&["sync", "folder", "state"]));
    assert!(code == 2 && text.contains(&state) && text.contains("remove the file"), "{text}");
    std::fs::remove_file(syncs.join(&state)).unwrap();
    user.write("folder/b", b"b".to_vec());
    std::fs::remove_file(user.file("folder/a")).unwrap();
    assert_eq!(steps(&sync(&user, &["folder", "state"])), ["download a", "upload b"]);
}

#[test]
fn a_mirror_follows_what_changes() {
    let user = User::new();
    user.write("folder/a", b"a".to_vec());
    let mut command = user.command(&["mirror", "folder", "mirrored", "--watch", "--delete"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "upload    a");
    assert!(notes.next().unwrap().unwrap().contains("is watched"));
    let (code, text) = failure(user.command(&["sync", "folder", "mirrored"]));
    assert!(code == 2 && text.contains("is running"), "two at once: {text}");
    user.write("folder/new/b", b"b".to_vec());
    assert_eq!(line(), "upload    new/b");
    user.write("folder/a", b"changed".to_vec());
    assert_eq!(line(), "upload    a");
    std::fs::rename(user.file("folder/new"), user.file("folder/renamed")).unwrap();
    assert_eq!([line(), line()], ["delete    new/b (in the bucket)", "upload    renamed/b"]);
    // Moved away, it deletes nothing of what is not at its path any more.
    std::fs::rename(user.file("folder"), user.file("away")).unwrap();
    user.write("away/a", b"elsewhere".to_vec());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(notes.next().unwrap().unwrap().contains("is not the folder any more"));
    std::fs::rename(user.file("away"), user.file("folder")).unwrap();
    user.write("folder/a", b"changed".to_vec());
    assert_eq!(keys(&user.json(&["ls", "-r", "mirrored/"])), ["mirrored/a", "mirrored/renamed/b"]);
    assert_eq!(user.run(&["get", "mirrored/a", "-"]), b"changed");
    // What was done is known: nothing moves again, but what was written meanwhile.
    user.json(&["mirror", "folder", "mirrored"]);
    let again = succeeded(user.command(&["mirror", "folder", "mirrored", "-o", "json"]).output().unwrap());
    assert_eq!(serde_json::from_slice::<Value>(&again).unwrap()["steps"], json!([]));
}

#[test]
fn a_sync_that_was_killed_is_done_by_the_next_one() {
    let user = User::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        user.write(&format!("folder/{name}"), random(new_seed(), 2 << 20));
    }
    let relay = Relay::start(0, user.store.https_port, Then::Hold(5 << 20), Then::Pass);
    let mut command = user.command(&["sync", "folder", "killed"]);
    let mut child = command.env("DATAMESH_SERVER", relay.url()).stdout(Stdio::null()).spawn().unwrap();
    relay.wait_held();
    child.kill().unwrap();
    child.wait().unwrap();
    relay.order(Order::Cut);
    let again = sync(&user, &["folder", "killed"]);
    assert_eq!(again["unfinished"], json!([]));
    assert_eq!(files(&user.file("folder")), names, "what is alike is no conflict");
    assert_eq!(keys(&user.json(&["ls", "killed/"])), names.map(|name| format!("killed/{name}")));
    assert_eq!(sync(&user, &["folder", "killed"])["steps"], json!([]));
}

#[test]
fn what_is_stored_while_it_is_synchronised_is_not_written_over() {
    let user = User::new();
    user.write("folder/a", b"old".to_vec());
    sync(&user, &["folder", "racing"]);
    let ours = user.write("folder/a", random(new_seed(), 9_000_001));
    user.write("theirs", b"theirs".to_vec());
    let relay = Relay::start(0, user.store.https_port, Then::Hold(4 << 20), Then::Pass);
    let mut command = user.command(&["sync", "folder", "racing"]);
    command.env("DATAMESH_SERVER", relay.url()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    relay.wait_held();
    user.run(&["put", "theirs", "racing/a"]);
    relay.order(Order::GoOn);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(7) && said.contains("not done: a: "), "{}: {said}", output.status);
    assert_eq!(user.run(&["get", "racing/a", "-"]), b"theirs");
    let answer = sync(&user, &["folder", "racing"]);
    assert_eq!(steps(&answer), ["keepBoth a"]);
    let copy = answer["steps"][0]["becomes"].as_str().unwrap();
    assert!(user.run(&["get", &format!("racing/{copy}"), "-"]) == ours);
}

/// Steps take their time: a file that was away at the look, as while git checks out, is back when its turn comes.
#[test]
fn a_file_that_is_back_keeps_its_object() {
    let user = User::new();
    user.write("folder/a", b"old".to_vec());
    user.write("folder/z", b"z".to_vec());
    sync(&user, &["folder", "back"]);
    user.write("folder/a", random(new_seed(), 9_000_001));
    // As many as are under way at once: the deletion waits for the first.
    for name in ["b", "c", "d", "e", "f", "g", "h"] {
        user.write(&format!("folder/{name}"), b"new".to_vec());
    }
    std::fs::remove_file(user.file("folder/z")).unwrap();
    let relay = Relay::start(0, user.store.https_port, Then::Hold(4 << 20), Then::Pass);
    let mut command = user.command(&["sync", "folder", "back"]);
    command.env("DATAMESH_SERVER", relay.url()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    relay.wait_held();
    user.write("folder/z", b"back".to_vec());
    relay.order(Order::GoOn);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(7) && said.contains("not done: z: "), "{}: {said}", output.status);
    assert_eq!(user.run(&["get", "back/z", "-"]), b"z");
    assert_eq!(steps(&sync(&user, &["folder", "back"])), ["upload z"]);
}
