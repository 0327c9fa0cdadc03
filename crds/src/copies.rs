//! Where copies of the catalog's backups go besides the pools.

// KubeSchema copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SecretRef, Span};

/// A bucket of any S3, outside of this cluster, that copies of the catalog's backups go to: sealed as they are, so whoever keeps it reads
/// nothing of them. With the cluster's key (`datamesh admin key export`) and this bucket, the catalog can be restored when pools and gateways are gone.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupCopiesSpec {
    /// Where it is served, by HTTPS. The gateways' NetworkPolicy opens its port outward.
    #[schemars(length(min = 9, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?$')").message("gateway.backupCopies.endpoint: write one like https://s3.eu-central-1.amazonaws.com, without a name, a password or a query"))]
    pub endpoint: String,
    /// The region that requests are signed for; servers that have none mostly take `us-east-1`.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+$')").message("gateway.backupCopies.region: small letters, digits and '-', like us-east-1"))]
    pub region: String,
    /// The bucket. It must be there, and the key may list, read, write and delete in it.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$') && !self.contains('..')").message("gateway.backupCopies.bucket: write a bucket's name, like catalog-copies: small letters, digits, '.' and '-'"))]
    pub bucket: String,
    /// What the names of its objects begin with, like `demo/`. Clusters may share it: each has a folder of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new("self == '' || self.matches('^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?$')").message("gateway.backupCopies.prefix: write folders like demo/catalog/, each of letters, digits, '.', '_' and '-'"))]
    pub prefix: String,
    /// Whether the bucket stands in the path (`https://HOST/BUCKET/`) and not before the host.
    #[serde(default)]
    pub path_style: bool,
    /// Names a Secret with `accessKeyId` and `secretAccessKey`, and `ca.crt`, the certificates of the authorities that vouch for the
    /// server; left out: the public ones. All are read for each copy and may change; while one is missing or of no use, only copies
    /// are, and `BackupCopies` says so. A `ca.crt` that is added or taken away restarts the gateways, one at a time.
    pub secret_ref: SecretRef,
    /// How long a point can be come back to, like `168h`. The newest copy stays, however old it is.
    #[serde(default = "default_keep")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('87600h')").message("gateway.backupCopies.keep: at least 1h and at most 87600h, like 168h"))]
    pub keep: Span,
}

fn default_region() -> String {
    "us-east-1".into()
}

fn default_keep() -> Span {
    Span::new("168h")
}

/// Where `restore` finds backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestoreFrom {
    /// In the pools: what storage nodes keep.
    #[default]
    Mesh,
    /// At `backupCopies`: for when the pools are lost, or what they keep cannot be read.
    Copies,
}

impl RestoreFrom {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use kube::core::cel::ValidationErrors;

    use crate::DataMeshCluster;

    /// A cluster with copies, and these fields of its gateway besides, by their path.
    fn checked(fields: &[(&str, serde_json::Value)]) -> Result<(), ValidationErrors> {
        let copies = serde_json::json!({
            "endpoint": "https://s3.example.com:9000", "bucket": "copies", "secretRef": {"name": "offsite"},
        });
        let mut cluster = serde_json::json!({
            "apiVersion": "datamesh.io/v1alpha1", "kind": "DataMeshCluster", "metadata": {"name": "demo"},
            "spec": {
                "image": {"repository": "datamesh", "tag": "dev"},
                "gateway": {"volumeSize": "2Gi", "backupCopies": copies},
            },
        });
        for (path, value) in fields {
            let gateway = &mut cluster["spec"]["gateway"];
            match path.split_once('/') {
                Some((folder, field)) => gateway[folder][field] = value.clone(),
                None if value.is_null() => drop(gateway.as_object_mut().and_then(|all| all.remove(*path))),
                None => gateway[*path] = value.clone(),
            }
        }
        serde_json::from_value::<DataMeshCluster>(cluster).unwrap().validate_cel()
    }

    #[test]
    fn copies_have_a_place_and_something_to_copy() {
        checked(&[]).unwrap();
        checked(&[("restoreFrom", "Copies".into()), ("backupCopies/prefix", "a/b/".into())]).unwrap();
        let refused = |fields: &[(&str, serde_json::Value)], message: &str| {
            let errors = checked(fields).expect_err(message).to_string();
            assert!(errors.contains(message), "{errors} should say {message}");
        };
        for (field, bad) in [
            ("endpoint", "http://s3.example.com"),
            ("endpoint", "https://me:secret@s3.example.com"),
            ("endpoint", "https://s3.example.com/?x"),
            ("region", "EU west"),
            ("bucket", "Copies"),
            ("bucket", "a..b"),
            ("prefix", "/a"),
            ("prefix", "a/../b"),
            ("keep", "59m"),
        ] {
            let path = format!("backupCopies/{field}");
            refused(&[(&path, bad.into())], &format!("gateway.backupCopies.{field}"));
        }
        refused(&[("catalogBackups", "Off".into())], "nothing to copy");
        let nowhere = [("restoreFrom", "Copies".into()), ("backupCopies", serde_json::Value::Null)];
        refused(&nowhere, "gateway.restoreFrom");
    }
}
