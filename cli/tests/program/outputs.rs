//! What programs rely on: every command answers in JSON.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::failure;
use super::store::{User, succeeded};

/// Print what is a file, whatever is asked for; are refused here, as six nodes that are up can spare none; or need a program that
/// makes codes, or an invitation, and are called in `accounts`; or a provider, in `provider`; or something that goes on for a while, in
/// `operations`.
const NO_DOCUMENT: &[&str] = &[
    "completion",
    "identities unbind",
    "jobs cancel",
    "node drain",
    "node replace",
    "register",
    "second-factor enable",
    "second-factor disable",
    "users clear-second-factor",
];

/// Calls commands and remembers which.
struct Caller {
    user: User,
    called: BTreeSet<String>,
    /// Signs its requests by the session instead of by tokens.
    signed_in: bool,
}

impl Caller {
    /// What a command prints, told these lines.
    fn told(&mut self, lines: &str, name: &str, args: &[&str]) -> Vec<u8> {
        self.called.insert(name.to_owned());
        let all: Vec<&str> = name.split(' ').chain(args.iter().copied()).chain(["-o", "json"]).collect();
        let mut command = self.user.unconfigured(&all);
        if self.signed_in {
            command.env("DATAMESH_SERVER", self.user.store.url());
            command.env("DATAMESH_CA_FILE", self.user.store.secret("ca.crt"));
        } else {
            command.env("DATAMESH_CONFIG", self.user.store.secret("cli.yaml"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        succeeded(child.wait_with_output().unwrap())
    }

    /// One document.
    fn call(&mut self, name: &str, args: &[&str]) -> Value {
        document(name, &self.told("", name, args))
    }

    /// A document a line.
    fn lines(&mut self, name: &str) -> usize {
        let printed = self.told("", name, &[]);
        let lines = printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.inspect(|line| drop(document(name, line))).count()
    }
}

fn document(name: &str, printed: &[u8]) -> Value {
    let text = String::from_utf8_lossy(printed);
    serde_json::from_slice(printed).unwrap_or_else(|error| panic!("{name}: {error}: {text:?}"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

#[test]
fn every_command_speaks_json() {
    let mut caller = Caller { user: User::new(), called: BTreeSet::new(), signed_in: false };
    files(&mut caller);
    trash(&mut caller);
    cluster(&mut caller);
    accounts(&mut caller);
    let there: BTreeSet<String> = datamesh_cli::reference::command_names().into_iter().collect();
    let without: BTreeSet<String> = NO_DOCUMENT.iter().map(|name| (*name).to_owned()).collect();
    assert!(without.is_subset(&there) && there.len() > 30, "{there:?}");
    let left: Vec<_> = there.difference(&caller.called).filter(|name| !without.contains(*name)).collect();
    assert!(left.is_empty(), "call these here, too: {left:?}");
}

fn files(caller: &mut Caller) {
    caller.user.write("x", b"content".to_vec());
    caller.call("put", &["x", "outputs/x"]);
    caller.call("get", &["outputs/x", "y"]);
    caller.call("ls", &["outputs/"]);
    caller.call("cp", &["outputs/x", "outputs/y"]);
    caller.call("mv", &["outputs/y", "outputs/z"]);
    caller.call("find", &["outputs/"]);
    caller.call("du", &["outputs/"]);
    caller.call("zip", &["outputs/", "outputs.zip"]);
    std::fs::create_dir(caller.user.file("folder")).unwrap();
    caller.call("sync", &["folder", "outputs"]);
    caller.call("mirror", &["folder", "outputs"]);
    caller.call("rm", &["-r", "outputs/"]);
    caller.call("shreds", &[]);
}

/// In a bucket of its own: the others' is to keep no versions.
fn trash(caller: &mut Caller) {
    caller.call("buckets create", &["outputs"]);
    let bucket = ["--bucket", "outputs"];
    let mut call = |name: &str, args: &[&str]| caller.call(name, &[args, &bucket].concat());
    call("trash keep", &[]);
    call("trash show", &[]);
    for name in ["purge", "restore"] {
        call("put", &["x", "x"]);
        call("rm", &["x"]);
        call("trash list", &[]);
        call(&format!("trash {name}"), &["x"]);
    }
    let listed = call("versions list", &["x"]);
    call("versions restore", &["x", text(&listed["versions"][0], "version")]);
    call("trash empty", &[]);
    call("trash off", &[]);
    let shown = caller.call("buckets show", &["outputs"]);
    assert_eq!((&shown["kind"], &shown["trashDays"]), (&"managed".into(), &Value::Null));
    caller.call("buckets list", &[]);
    let private = caller.call("buckets create", &["sealed", "--private"]);
    assert_eq!(text(&private, "kind"), "private");
    caller.call("buckets remove", &["sealed"]);
}

fn cluster(caller: &mut Caller) {
    caller.call("status", &[]);
    let nodes = caller.call("node status", &[]);
    let node = text(&nodes[0], "node").to_owned();
    caller.call("node undrain", &[&node]);
    // Scrubs are told of once a node has reported.
    let scrubbed =
        |jobs: &Value| jobs["items"].as_array().unwrap().iter().any(|job| job["id"] == "scrub:main");
    let begun = Instant::now();
    while !scrubbed(&caller.call("jobs list", &[])) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no scrub is among the jobs");
    }
    let scrub = caller.call("jobs show", &["scrub:main"]);
    assert_eq!(text(&scrub, "kind"), "scrub");
    assert!(caller.lines("jobs watch") > 0);
    let made = caller.call("backup now", &[]);
    assert_eq!(made["asked"]["done"], true);
    caller.call("backup status", &[]);
    assert!(!caller.call("backup list", &[])["points"].as_array().unwrap().is_empty());
    caller.call("mesh status", &[]);
    caller.call("mesh diagnose", &[]);
    assert!(caller.lines("fsck") > 0);
    caller.call("man", &["pages"]);
    assert!(caller.user.file("pages/datamesh-node-drain.1").is_file());
    caller.call("admin key export", &["exported.yaml"]);
    caller.call("audit list", &["--limit", "3"]);
    assert!(caller.lines("audit export") > 0);
    caller.call("audit verify", &[]);
    let key = caller.call("keys create", &["outputs"]);
    caller.call("keys list", &[]);
    assert_eq!(caller.call("keys disable", &[text(&key, "id")])["disabled"], true);
    assert_eq!(caller.call("keys enable", &[text(&key, "id")])["disabled"], false);
    caller.call("keys delete", &[text(&key, "id")]);
    assert_eq!(text(&caller.call("whoami", &[]), "via"), "file");
}

fn accounts(caller: &mut Caller) {
    let made = caller.call("users create", &["olga"]);
    let lines = format!("{}\na long enough password\n", text(&made, "code"));
    caller.called.insert("login".to_owned());
    caller.signed_in = true;
    document("login", &caller.told(&lines, "login", &["olga", "--code", "--stdin"]));
    let told = caller.told("a long enough password\n", "tokens create", &["reader", "--stdin"]);
    let token = document("tokens create", &told);
    let told = caller.told("a long enough password\n", "keys create", &["own", "--mine", "--stdin"]);
    let key = document("keys create", &told);
    assert_eq!(caller.call("keys list", &["--mine"])["keys"][0]["owner"], "olga");
    caller.call("keys delete", &[text(&key, "id"), "--mine"]);
    assert_eq!(caller.call("whoami", &[])["user"]["name"], "olga");
    assert!(caller.call("identities list", &[])["identities"].as_array().unwrap().is_empty());
    caller.call("second-factor status", &[]);
    let share = caller.call("shares create", &["outputs/"]);
    caller.call("shares list", &[]);
    caller.call("shares end", &[text(&share, "id")]);
    caller.call("tokens list", &[]);
    caller.call("tokens delete", &[text(&token, "id")]);
    document("email", &caller.told("a long enough password\n", "email", &["--none", "--stdin"]));
    let lines = "a long enough password\nanother long password\n";
    document("password", &caller.told(lines, "password", &["--stdin"]));
    let sessions = caller.call("sessions list", &[]);
    let session = text(&sessions["sessions"][0], "id").to_owned();
    caller.call("sessions end", &[&session]);
    caller.call("logout", &[]);
    caller.signed_in = false;
    caller.call("users list", &[]);
    caller.call("users registration", &[]);
    groups(caller);
    let invitation = caller.call("invites create", &[]);
    caller.call("invites list", &[]);
    caller.call("invites revoke", &[text(&invitation, "id")]);
    caller.call("users role", &["olga", "auditor"]);
    caller.call("users sign-out", &["olga"]);
    let changed = caller.call("users email", &["olga", "olga@example.org"]);
    assert_eq!(text(&changed, "email"), "olga@example.org");
    assert!(caller.call("users email", &["olga", "--none"])["email"].is_null());
    caller.call("users disable", &["olga"]);
    caller.call("users enable", &["olga"]);
    caller.call("users reset", &["olga"]);
    caller.call("users delete", &["olga"]);
}

fn groups(caller: &mut Caller) {
    let made = caller.call("groups create", &["watch", "--role", "auditor"]);
    assert_eq!(text(&made, "role"), "auditor");
    caller.call("groups add", &["watch", "olga"]);
    let shown = caller.call("groups show", &["watch"]);
    assert_eq!((&shown["members"], &shown["users"][0]), (&1.into(), &"olga".into()));
    caller.call("groups role", &["watch", "none"]);
    assert_eq!(caller.call("groups list", &[])["groups"][0]["members"], 1);
    caller.call("groups remove", &["watch", "olga"]);
    caller.call("groups delete", &["watch"]);
}

#[test]
fn a_command_that_fails_prints_no_document() {
    let user = User::new();
    let output = user.command(&["get", "outputs/none", "none", "-o", "json"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    let (code, text) = failure(user.command(&["ls", "-o", "xml"]));
    assert!(code == 2 && text.contains("json"), "{text}");
}

#[test]
fn manual_pages_and_help_name_the_exit_codes() {
    let user = User::new();
    for args in [&["man"][..], &["--help"]] {
        let shown = String::from_utf8(succeeded(user.unconfigured(args).output().unwrap())).unwrap();
        assert!(shown.contains("130") && shown.contains("precondition"), "{args:?}: {shown}");
    }
    let shown = succeeded(user.unconfigured(&["completion", "--help"]).output().unwrap());
    assert!(String::from_utf8(shown).unwrap().contains("bash-completion/completions/datamesh"));
}
