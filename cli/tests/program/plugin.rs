//! `kubectl-datamesh` as people run it, on an API server that answers what was recorded of one, and where there is none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::failure;
use super::store::beside;

/// What a log has that nobody may be given.
const PLANTED: &str = "planted-token-of-somebody";

/// Answers lists and logs, and remembers what it was asked.
struct ApiServer {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    /// `state`: which of the recorded objects.
    fn start(state: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembers = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, asked) = (client.unwrap(), Arc::clone(&remembers));
                std::thread::spawn(move || serve(client, state, &asked));
            }
        });
        Self { port, asked }
    }

    /// The plugin with a kubeconfig for this server.
    fn plugin(&self, home: &Path, args: &[&str]) -> Command {
        let server = format!("http://127.0.0.1:{}", self.port);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{ "name": "here", "cluster": { "server": server } }],
            "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "me", "namespace": "datamesh" } }],
            "users": [{ "name": "me", "user": {} }],
        });
        std::fs::write(home.join("kubeconfig"), config.to_string()).unwrap();
        let mut command = plugin(args);
        command.env("KUBECONFIG", home.join("kubeconfig")).current_dir(home);
        command
    }
}

fn plugin(args: &[&str]) -> Command {
    let mut command = Command::new(beside("kubectl-datamesh"));
    command.env_clear().env("HOME", "/nonexistent").args(args);
    command
}

fn serve(mut client: TcpStream, state: &str, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    for line in lines.by_ref() {
        if line.unwrap().is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, kind, body) = answer(path.split('?').next().unwrap_or_default(), state);
    asked.lock().unwrap().push(path);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(body.as_bytes()));
}

fn answer(path: &str, state: &str) -> (&'static str, &'static str, String) {
    let api = "/apis/datamesh.io/v1alpha1/namespaces/datamesh";
    if state == "restricted" && (path.ends_with("/events") || path.ends_with("/persistentvolumeclaims")) {
        let status = json!({ "kind": "Status", "status": "Failure", "message": "not for you", "reason": "Forbidden", "code": 403 });
        return ("403 Forbidden", "application/json", status.to_string());
    }
    let file = match path {
        path if path.ends_with("/log") => {
            return (
                "200 OK",
                "text/plain",
                format!("listens\nAuthorization: Bearer {PLANTED}\nlast words\n"),
            );
        }
        path if path == format!("{api}/datameshclusters") => "clusters",
        path if path == format!("{api}/storagepools") => "pools",
        "/api/v1/namespaces/datamesh/pods" => "pods",
        "/api/v1/pods" => "operators",
        "/api/v1/namespaces/datamesh/persistentvolumeclaims" => "claims",
        "/apis/events.k8s.io/v1/namespaces/datamesh/events" => "events",
        _ => {
            let status = json!({ "kind": "Status", "status": "Failure", "message": "no such thing", "reason": "NotFound", "code": 404 });
            return ("404 Not Found", "application/json", status.to_string());
        }
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/kubectl/{file}-{state}.yaml"));
    // Of what is well, there are no events and no volumes on record.
    let items: Value = std::fs::read(file).map_or(json!([]), |text| serde_yaml::from_slice(&text).unwrap());
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items });
    ("200 OK", "application/json", list.to_string())
}

/// Exit code and what it printed.
fn ran(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 7)), "{}: {said}", output.status);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_is_wrong_is_said_and_is_an_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let (well, broken) = (ApiServer::start("well"), ApiServer::start("broken"));
    let (code, shown) = ran(well.plugin(home.path(), &["status"]));
    assert!(code == 0 && shown.contains("demo") && shown.contains("6/6"), "{code}: {shown}");
    let (code, shown) = ran(well.plugin(home.path(), &["diagnose"]));
    assert!(code == 0 && shown.starts_with("Nothing is wrong"), "{code}: {shown}");
    let (code, shown) = ran(broken.plugin(home.path(), &["status", "-o", "json"]));
    let status: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &status["clusters"][0]["status"]["nodesUp"]), (7, &json!(5)));
    let (code, shown) = ran(broken.plugin(home.path(), &["diagnose"]));
    assert!(code == 7 && shown.starts_with("CRITICAL: cluster demo: DataSafe"), "{shown}");
    assert!(
        shown.contains("drain of demo-main-5: Stalled") && shown.contains("raise resources.memory"),
        "{shown}"
    );
    let (code, text) = failure(broken.plugin(home.path(), &["drain", "main", "demo-main-0"]));
    assert!(code == 2 && text.contains("nodes would be left"), "{text}");
    let (code, text) = failure(broken.plugin(home.path(), &["status", "-n", "elsewhere"]));
    assert!(code == 3 && text.contains("no such thing"), "{text}");
}

#[test]
fn a_bundle_has_logs_and_no_secret_was_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let server = ApiServer::start("broken");
    let (code, shown) = ran(server.plugin(home.path(), &["bundle", "bundle.tar.zst", "-o", "json"]));
    assert_eq!(code, 0, "{shown}");
    let mut text = String::new();
    let packed = std::fs::File::open(home.path().join("bundle.tar.zst")).unwrap();
    let mut names = Vec::new();
    for entry in tar::Archive::new(zstd::Decoder::new(packed).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        names.push(entry.path().unwrap().display().to_string());
        entry.read_to_string(&mut text).unwrap();
    }
    assert!(names.contains(&"datamesh-bundle/logs/demo-main-2-0-node-previous.log".to_owned()), "{names:?}");
    assert!(
        names.contains(&"datamesh-bundle/logs/datamesh-operator-5d4-x-operator.log".to_owned()),
        "{names:?}"
    );
    assert!(
        names.contains(&"datamesh-bundle/machines.txt".to_owned()),
        "not everybody may read them: {names:?}"
    );
    assert!(text.contains("last words") && text.contains("OOMKilled") && !text.contains(PLANTED));
    let asked = server.asked.lock().unwrap();
    assert!(asked.len() > 6 && asked.iter().all(|path| !path.contains("/secrets")), "{asked:?}");
}

#[test]
fn who_may_not_read_everything_gets_a_bundle_of_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let server = ApiServer::start("restricted");
    let (code, shown) = ran(server.plugin(home.path(), &["bundle", "rest.tar.zst", "-o", "json"]));
    assert_eq!(code, 0, "{shown}");
    let packed = std::fs::File::open(home.path().join("rest.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    for name in ["not-to-be-had/events.txt", "not-to-be-had/volumes.txt", "diagnosis.yaml"] {
        assert!(names.contains(&format!("datamesh-bundle/{name}")), "{name} of {names:?}");
    }
    assert!(!names.contains(&"datamesh-bundle/events.yaml".to_owned()), "none is not the same as not known");
    // Nothing is told of a namespace without clusters.
    assert_eq!(ran(server.plugin(home.path(), &["status"])).0, 7);
}

#[test]
fn without_a_kubernetes_it_says_what_to_do() {
    for args in
        [&["status"][..], &["diagnose"], &["bundle", "/nonexistent/x"], &["drain", "main", "demo-main-0"]]
    {
        let (code, text) = failure(plugin(args));
        assert!(code == 2 && text.contains("KUBECONFIG"), "{args:?}: {code} {text}");
    }
    let (_, shown) = ran(plugin(&["--help"]));
    assert!(shown.contains("Usage: kubectl datamesh") && shown.contains("130"), "{shown}");
}
