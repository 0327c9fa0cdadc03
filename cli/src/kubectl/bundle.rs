//! The support bundle: an archive of what Kubernetes has of the clusters of a namespace, each file redacted before it is written.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::json;

use super::diagnose;
use super::gather::{Kubernetes, Snapshot};
use super::redact::Redactor;
use crate::args::{Format, Global};
use crate::failure::Failure;
use crate::output;

/// How hard the archive is compressed: logs shrink well at little cost.
const LEVEL: i32 = 9;
/// Logs that are fetched at once.
const PARALLEL_LOGS: usize = 4;

/// Kinds of objects that are asked for in the namespace.
const KINDS: usize = 5;

/// The files of an archive, redacted already: there is no other way in.
struct Files {
    redactor: Redactor,
    files: Vec<(String, String)>,
}

impl Files {
    fn text(&mut self, name: &str, text: &str) {
        self.files.push((name.to_owned(), self.redactor.text(text)));
    }

    fn object(&mut self, name: &str, object: &impl Serialize) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Answer(error.to_string());
        let value = serde_json::to_value(object).map_err(|error| wrong(&error))?;
        let text = serde_yaml::to_string(&self.redactor.object(value)).map_err(|error| wrong(&error))?;
        self.files.push((format!("{name}.yaml"), text));
        Ok(())
    }
}

impl Files {
    /// What was asked for beside the namespace. That it cannot be had is said in its place: a bundle must not fail for the
    /// failure it is about, and not everybody may read everything.
    fn answer<T: Serialize>(&mut self, name: &str, answer: &Result<T, Failure>) -> Result<(), Failure> {
        match answer {
            Ok(object) => self.object(name, object),
            Err(failure) => {
                self.text(&format!("{name}.txt"), &format!("not to be had: {failure}\n"));
                Ok(())
            }
        }
    }
}

/// Writes the archive.
pub(super) async fn run(
    kubernetes: &Kubernetes,
    global: &Global,
    file: Option<PathBuf>,
    log_lines: u32,
) -> Result<(), Failure> {
    let (snapshot, missing) = kubernetes.gather_some().await;
    if missing.len() == KINDS {
        // Nothing is known: there is no Kubernetes that answers, or none that this user may ask.
        return Err(missing
            .into_iter()
            .next()
            .map_or_else(|| Failure::Answer(String::new()), |(_, failure)| failure));
    }
    let mut files = Files { redactor: Redactor::new()?, files: Vec::new() };
    objects(&mut files, &snapshot)?;
    files.files.retain(|(name, _)| missing.iter().all(|(kind, _)| *name != format!("{kind}.yaml")));
    for (kind, failure) in &missing {
        files.text(&format!("not-to-be-had/{kind}.txt"), &format!("{failure}\n"));
    }
    files.answer("machines", &kubernetes.machines().await)?;
    let operators = kubernetes.operators().await;
    files.answer("operators", &operators)?;
    let pods: Vec<Pod> = snapshot.pods.iter().cloned().chain(operators.unwrap_or_default()).collect();
    logs(&mut files, kubernetes, &pods, log_lines).await;
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let file = file.unwrap_or_else(|| format!("datamesh-{}-{time}.tar.zst", snapshot.namespace).into());
    let count = files.files.len();
    write(&file, files.files).map_err(Failure::file(&file))?;
    if global.output == Format::Json {
        return output::json(&json!({ "file": file, "files": count }));
    }
    output::line(&format!("{} has {count} files; look through it before you give it away", file.display()))
}

fn objects(files: &mut Files, snapshot: &Snapshot) -> Result<(), Failure> {
    files.object("diagnosis", &diagnose::findings(snapshot))?;
    for cluster in &snapshot.clusters {
        files.object(&format!("clusters/{}", cluster.name_any()), cluster)?;
    }
    for pool in &snapshot.pools {
        files.object(&format!("pools/{}", pool.name_any()), pool)?;
    }
    for pod in &snapshot.pods {
        files.object(&format!("pods/{}", pod.name_any()), pod)?;
    }
    for claim in &snapshot.claims {
        files.object(&format!("volumes/{}", claim.name_any()), claim)?;
    }
    files.object("events", &snapshot.events)
}

async fn logs(files: &mut Files, kubernetes: &Kubernetes, pods: &[Pod], lines: u32) {
    let wanted = pods.iter().flat_map(|pod| {
        containers(pod).into_iter().map(move |(container, previous)| (pod, container, previous))
    });
    let fetches = wanted.map(|(pod, container, previous)| async move {
        let log = kubernetes.log(pod, &container, (lines, previous)).await;
        let life = if previous { "-previous" } else { "" };
        let text = log.unwrap_or_else(|failure| format!("not to be had: {failure}\n"));
        (format!("logs/{}-{container}{life}.log", pod.name_any()), text)
    });
    let fetched: Vec<_> = futures::stream::iter(fetches).buffered(PARALLEL_LOGS).collect().await;
    fetched.iter().for_each(|(name, text)| files.text(name, text));
}

/// Containers of a pod, those that prepare it first, and those that ended before, once more.
fn containers(pod: &Pod) -> Vec<(String, bool)> {
    let statuses: Vec<_> = pod.status.iter().flat_map(diagnose::container_statuses).collect();
    let restarted =
        |name: &str| statuses.iter().any(|status| status.name == name && status.restart_count > 0);
    let all = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let lives = |name: &str| [Some(false), restarted(name).then_some(true)].into_iter().flatten();
    all.flat_map(|one| lives(&one.name).map(|previous| (one.name.clone(), previous))).collect()
}

/// Writes the archive for its owner alone, never over another one. What could not be written whole does not stay.
fn write(path: &Path, files: Vec<(String, String)>) -> std::io::Result<()> {
    let out = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let written = pack(out, files);
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

fn pack(out: std::fs::File, files: Vec<(String, String)>) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(out, LEVEL)?);
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("datamesh-bundle/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::kubectl::recorded;

    /// The names and texts of an archive.
    fn read(path: &Path) -> Vec<(String, String)> {
        let file = zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut archive = tar::Archive::new(file);
        let text = |entry: std::io::Result<tar::Entry<'_, _>>| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        };
        archive.entries().unwrap().map(text).collect()
    }

    #[test]
    fn an_archive_has_everything_and_no_planted_secret() {
        let mut snapshot = recorded::broken();
        let planted = "planted-secret-value";
        let pod = &mut snapshot.pods[0];
        pod.metadata.annotations.get_or_insert_default().insert("admin-token".into(), planted.into());
        snapshot.events[0].note = Some(format!("probe failed: password={planted}"));
        snapshot.pools[0]
            .metadata
            .annotations
            .get_or_insert_default()
            .insert("kubectl.kubernetes.io/last-applied-configuration".into(), planted.into());
        let mut files = Files { redactor: Redactor::new().unwrap(), files: Vec::new() };
        objects(&mut files, &snapshot).unwrap();
        files.text("logs/demo-main-0-0-node.log", &format!("Authorization: Bearer {planted}\nlast words\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.tar.zst");
        write(&path, files.files).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let found = read(&path);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "diagnosis.yaml",
            "clusters/demo.yaml",
            "pools/main.yaml",
            "events.yaml",
            "logs/demo-main-0-0-node.log",
        ] {
            assert!(names.contains(&format!("datamesh-bundle/{name}").as_str()), "{name} of {names:?}");
        }
        assert!(found.iter().any(|(_, text)| text.contains("OOMKilled")));
        assert!(found.iter().any(|(_, text)| text.ends_with("last words\n")));
        let leaks: Vec<_> = found.iter().filter(|(_, text)| text.contains(planted)).collect();
        assert!(leaks.is_empty(), "{leaks:?}");
        assert_eq!(write(&path, Vec::new()).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn the_log_before_a_restart_is_asked_for_too() {
        let snapshot = recorded::broken();
        let of = |name: &str| containers(snapshot.pods.iter().find(|pod| pod.name_any() == name).unwrap());
        assert_eq!(of("demo-main-2-0"), [("node".to_owned(), false), ("node".to_owned(), true)]);
        assert_eq!(of("demo-main-0-0"), [("node".to_owned(), false)]);
        let mut pod = snapshot.pods[1].clone();
        let spec = pod.spec.as_mut().unwrap();
        spec.init_containers = Some(vec![k8s_openapi::api::core::v1::Container {
            name: "prepare".into(),
            ..Default::default()
        }]);
        assert_eq!(containers(&pod)[0], ("prepare".to_owned(), false));
    }
}
