use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::client::ExportedKey;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Writes the cluster's key as the Secret the operator looks for.
pub(crate) async fn export_key(session: &Session, file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let exported = session.client.export_key().await?;
    let manifest = secret_manifest(&exported)?;
    let Some(path) = file else {
        std::io::stdout().lock().write_all(manifest.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    write_private(&path, manifest.as_bytes()).map_err(Failure::file(&path))?;
    let key = &exported.fingerprint;
    output::note(&format!("key {key} written to {}; keep it where the cluster is not", path.display()));
    session.show(&serde_json::json!({ "fingerprint": key, "file": path }), || Ok(()))
}

/// Writes a file only its owner may read; whole or not at all.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    // Never over an older export: it may be the only copy of another cluster's key.
    let mut out = options.write(true).create_new(true).mode(0o600).open(path)?;
    let written = out.write_all(content).and_then(|()| out.sync_all());
    if written.is_err() {
        // Half a key must not be taken for a copy.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// The Secret as YAML. The cluster's name is `namespace.name` on Kubernetes.
fn secret_manifest(key: &ExportedKey) -> Result<String, Failure> {
    let (namespace, name) = key.cluster.split_once('.').unwrap_or(("default", &key.cluster));
    let manifest = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("{name}-cluster-key"),
            "namespace": namespace,
            "annotations": { "datamesh.io/fingerprint": key.fingerprint },
            "labels": { "datamesh.io/cluster": name },
        },
        "type": "Opaque",
        "stringData": { "secret": key.secret },
    });
    let yaml = serde_yaml::to_string(&manifest).map_err(|error| Failure::Answer(error.to_string()))?;
    Ok(format!(
        "# The master key of DataMesh cluster {namespace}/{name}. Whoever has it can read everything.\n{yaml}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_private_and_never_written_over_another() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.yaml");
        write_private(&file, b"one").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_private(&file, b"two").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"one");
    }

    #[test]
    fn the_exported_secret_is_the_one_the_operator_looks_for() {
        let exported =
            ExportedKey { cluster: "mesh.demo".into(), fingerprint: "ab".into(), secret: "00ff".into() };
        let yaml = secret_manifest(&exported).unwrap();
        let value: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(value["metadata"]["name"], "demo-cluster-key");
        assert_eq!(value["metadata"]["namespace"], "mesh");
        assert_eq!(value["stringData"]["secret"], "00ff");
    }
}
