use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::client::ExportedKey;
use crate::commands::Session;
use crate::failure::Failure;

/// Writes the cluster's key as the Secret the operator looks for.
pub(crate) async fn export_key(session: &Session, file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let exported = session.client.export_key().await?;
    let manifest = secret_manifest(&exported)?;
    match &file {
        None => std::io::stdout().lock().write_all(manifest.as_bytes())?,
        Some(path) => {
            let mut options = std::fs::OpenOptions::new();
            // Never over an older export: it may be the only copy of another cluster's key.
            let mut out =
                options.write(true).create_new(true).mode(0o600).open(path).map_err(Failure::file(path))?;
            out.write_all(manifest.as_bytes()).and_then(|()| out.sync_all()).map_err(Failure::file(path))?;
            eprintln!(
                "key {} written to {}; keep it where the cluster is not",
                exported.fingerprint,
                path.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
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
