//! `kubectl-datamesh` where there is no Kubernetes. What it says of one: the unit tests, by recorded objects, and a promise of the
//! end-to-end tests.

use std::process::Command;

use super::failure;
use super::store::{beside, succeeded};

fn plugin(args: &[&str]) -> Command {
    let mut command = Command::new(beside("kubectl-datamesh"));
    command.env_clear().env("HOME", "/nonexistent").args(args);
    command
}

#[test]
fn without_a_kubernetes_it_says_what_to_do() {
    for args in
        [&["status"][..], &["diagnose"], &["bundle", "/nonexistent/x"], &["drain", "main", "demo-main-0"]]
    {
        let (code, text) = failure(plugin(args));
        assert!(code == 2 && text.contains("KUBECONFIG"), "{args:?}: {code} {text}");
    }
}

#[test]
fn it_is_called_by_kubectl_and_documents_its_exit_codes() {
    let shown = String::from_utf8(succeeded(plugin(&["--help"]).output().unwrap())).unwrap();
    assert!(shown.contains("Usage: kubectl datamesh") && shown.contains("130"), "{shown}");
}
