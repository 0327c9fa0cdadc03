//! Transfers that are killed, broken or disturbed, each at a known byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use crate::relay::{Order, Relay, Then};
use crate::store::{User, new_seed, random, succeeded};

const MIB: u64 = 1 << 20;
/// Three parts: 64, 64 and 2 MiB.
const BIG_BYTES: u64 = 130 * MIB;

/// Kills a command at the point where the relay holds it.
fn kill_held(relay: &Relay, mut child: Child) {
    relay.wait_held();
    child.kill().unwrap();
    child.wait().unwrap();
    relay.order(Order::Cut);
}

#[test]
fn large_transfers_go_on_where_a_kill_or_a_break_stopped_them() {
    let user = User::new();
    let content = user.write("big", random(new_seed(), usize::try_from(BIG_BYTES).unwrap()));
    put_is_killed_and_resumed(&user);
    get_is_killed_and_resumed(&user, &content);
    get_survives_breaks(&user, &content);
}

fn put_is_killed_and_resumed(user: &User) {
    let relay = Relay::start(0, user.store.https_port, Then::Hold(96 * MIB), Then::Pass);
    let put = || {
        let mut command = user.command(&["put", "big", "--output", "json"]);
        command.env("DATAMESH_SERVER", relay.url());
        command
    };
    kill_held(&relay, put().spawn().unwrap());
    assert_eq!(user.command(&["get", "big", "none"]).output().unwrap().status.code(), Some(3));
    let before = relay.up();
    let answer: serde_json::Value = serde_json::from_slice(&succeeded(put().output().unwrap())).unwrap();
    assert_eq!(answer["stored"][0]["object"]["size"], BIG_BYTES);
    let durability = answer["stored"][0]["durability"].as_str().unwrap();
    assert!(durability == "whole" || durability.starts_with("short"), "{durability}");
    let sent = relay.up() - before;
    assert!((66 * MIB..68 * MIB).contains(&sent), "{sent} bytes sent: the first part of 64 MiB was there");
}

fn get_is_killed_and_resumed(user: &User, content: &[u8]) {
    let relay = Relay::start(0, user.store.https_port, Then::Pass, Then::Hold(64 * MIB));
    let get = || {
        let mut command = user.command(&["get", "big", "copy"]);
        command.env("DATAMESH_SERVER", relay.url());
        command
    };
    kill_held(&relay, get().stdout(Stdio::null()).spawn().unwrap());
    let kept = std::fs::metadata(user.file("copy.datamesh-part")).unwrap().len();
    // What is missing of 64 MiB was still in sockets when the program died.
    assert!((32 * MIB..65 * MIB).contains(&kept) && !user.file("copy").exists(), "{kept} bytes kept");
    let before = relay.down();
    succeeded(get().output().unwrap());
    let (rest, fetched) = (BIG_BYTES - kept, relay.down() - before);
    assert!((rest..rest + MIB).contains(&fetched), "{fetched} bytes fetched of {rest}");
    assert!(user.read("copy") == content);
    assert!(!user.file("copy.datamesh-part").exists());
}

/// More breaks than patience: each one counts anew after progress.
fn get_survives_breaks(user: &User, content: &[u8]) {
    let relay = Relay::start(0, user.store.https_port, Then::Pass, Then::Break(24 * MIB));
    let get = |target| {
        let mut command = user.command(&["get", "big", target, "--retry-seconds", "1"]);
        succeeded(command.env("DATAMESH_SERVER", relay.url()).output().unwrap())
    };
    get("again");
    assert!(user.read("again") == content);
    assert!(get("-") == content);
}

#[test]
fn a_gateway_that_comes_back_is_found() {
    let user = User::new();
    let content = user.write("waits", random(new_seed(), 100_000));
    user.run(&["put", "waits"]);
    for args in
        [&["get", "waits", "copy"][..], &["get", "waits", "-"], &["ls"], &["put", "waits"], &["status"]]
    {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = user.command(args);
        command.env("DATAMESH_SERVER", format!("https://127.0.0.1:{port}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        assert!(said.contains("trying again"), "{args:?}: {said}");
        let _gateway = Relay::start(port, user.store.https_port, Then::Pass, Then::Pass);
        succeeded(child.wait_with_output().unwrap());
    }
    assert!(user.read("copy") == content);
}

#[test]
fn a_file_that_changes_while_it_is_put_is_not_stored() {
    let user = User::new();
    user.write("changes", random(new_seed(), 40 << 20));
    let relay = Relay::start(0, user.store.https_port, Then::Hold(4 * MIB), Then::Pass);
    let mut command = user.command(&["put", "changes"]);
    let child = command.env("DATAMESH_SERVER", relay.url()).stderr(Stdio::piped()).spawn().unwrap();
    relay.wait_held();
    std::fs::File::options().append(true).open(user.file("changes")).unwrap().write_all(b"more").unwrap();
    relay.order(Order::GoOn);
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{complaint}");
    assert!(complaint.contains("changes was changed meanwhile"), "{complaint}");
    assert_eq!(user.command(&["get", "changes", "copy"]).output().unwrap().status.code(), Some(3));
}
