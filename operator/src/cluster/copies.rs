//! Where copies of the catalog's backups go: checked, and as the gateways have it. Its Secret may be missing or wrong: that stops nothing
//! else, so nobody looks at what is in it here. Gateways read it for each copy and say what is wrong with it. Pure.

use std::net::Ipv4Addr;
use std::time::Duration;

use datamesh_crds::{BackupCopiesSpec, SpanError};
use datamesh_settings::BackupCopies;
use k8s_openapi::api::core::v1::{Secret, VolumeProjection};
use reqwest::Url;

use super::given_files::CA_FIELD;
use crate::pod::{self, CONFIG_DIR};

const ID_FIELD: &str = "accessKeyId";
const KEY_FIELD: &str = "secretAccessKey";
/// Below [`CONFIG_DIR`].
const FOLDER: &str = "backup-copies";

/// A place for copies that can be used.
pub(crate) struct CopiesPlace {
    spec: BackupCopiesSpec,
    keep: Duration,
    /// Whether the Secret's own authorities vouch for the server, and the public ones do not. Until there is the Secret nobody knows.
    has_own_authorities: bool,
    /// Where its server listens.
    pub(crate) port: u16,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopiesProblem {
    /// The address is none.
    #[error("gateway.backupCopies.endpoint: it is no address; write one like https://s3.example.com")]
    Endpoint,
    /// The bucket cannot stand before an address.
    #[error(
        "gateway.backupCopies.pathStyle: a bucket cannot stand before an address like {0}; set pathStyle to true"
    )]
    PathStyle(String),
    /// The time is none.
    #[error("gateway.backupCopies.keep: {0}")]
    Keep(#[from] SpanError),
    /// There is nothing to copy.
    #[error(
        "gateway.backupCopies: the catalog is in your PostgreSQL, which is backed up there: leave backupCopies out"
    )]
    Elsewhere,
}

/// Checks that of a spec, whose Secret may be there.
pub(super) fn check(
    spec: Option<&BackupCopiesSpec>,
    secret: Option<&Secret>,
    in_database: bool,
) -> Result<Option<CopiesPlace>, CopiesProblem> {
    let Some(spec) = spec else { return Ok(None) };
    if in_database {
        return Err(CopiesProblem::Elsewhere);
    }
    let url = Url::parse(&spec.endpoint).map_err(|_| CopiesProblem::Endpoint)?;
    let port = url.port_or_known_default().ok_or(CopiesProblem::Endpoint)?;
    match url.host_str() {
        Some(host) if !spec.path_style && host.parse::<Ipv4Addr>().is_ok() => {
            return Err(CopiesProblem::PathStyle(host.to_owned()));
        }
        _ => {}
    }
    let fields = secret.map(|secret| secret.data.iter().flatten());
    let has_own_authorities = fields.is_none_or(|mut all| all.any(|(field, _)| field == CA_FIELD));
    Ok(Some(CopiesPlace { keep: spec.keep.duration()?, has_own_authorities, port, spec: spec.clone() }))
}

impl CopiesPlace {
    /// In the gateways' settings.
    pub(crate) fn settings(&self) -> BackupCopies {
        let file = |field: &str| format!("{CONFIG_DIR}/{FOLDER}/{field}").into();
        let spec = &self.spec;
        BackupCopies {
            endpoint: spec.endpoint.clone(),
            region: spec.region.clone(),
            bucket: spec.bucket.clone(),
            prefix: spec.prefix.clone(),
            path_style: spec.path_style,
            access_key_id_file: file(ID_FIELD),
            secret_access_key_file: file(KEY_FIELD),
            ca_file: self.has_own_authorities.then(|| file(CA_FIELD)),
            keep_seconds: self.keep.as_secs(),
        }
    }

    /// The Secret's files, for a pod, which starts without them.
    pub(crate) fn projection(&self) -> VolumeProjection {
        let paths = [ID_FIELD, KEY_FIELD, CA_FIELD].map(|field| (field, format!("{FOLDER}/{field}")));
        let files: Vec<_> = paths.iter().map(|(field, path)| (*field, path.as_str())).collect();
        let mut projection = pod::secret_files(self.spec.secret_ref.name.clone(), &files);
        if let Some(secret) = &mut projection.secret {
            secret.optional = Some(true);
        }
        projection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(endpoint: &str) -> BackupCopiesSpec {
        let spec =
            serde_json::json!({"endpoint": endpoint, "bucket": "copies", "secretRef": {"name": "offsite"}});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_place_is_in_the_settings_and_its_files_may_be_missing() {
        let place = check(Some(&spec("https://s3.example.com:9000")), None, false).unwrap().unwrap();
        let settings = place.settings();
        assert_eq!(
            (settings.keep_seconds, settings.region.as_str(), place.port),
            (7 * 24 * 3600, "us-east-1", 9000)
        );
        assert_eq!(settings.access_key_id_file.to_str(), Some("/etc/datamesh/backup-copies/accessKeyId"));
        let secret = place.projection().secret.unwrap();
        assert_eq!((secret.optional, secret.name.as_str()), (Some(true), "offsite"));
        assert_eq!(secret.items.unwrap().len(), 3);
        assert!(check(None, None, true).unwrap().is_none());
    }

    #[test]
    fn public_authorities_vouch_only_where_the_secret_has_none() {
        let ca_file = |fields: &[&str]| {
            let data = fields.iter().map(|field| ((*field).to_owned(), Default::default())).collect();
            let secret = Secret { data: Some(data), ..Secret::default() };
            let place = check(Some(&spec("https://s3.example.com")), Some(&secret), false);
            place.unwrap().unwrap().settings().ca_file
        };
        assert_eq!(ca_file(&[ID_FIELD, KEY_FIELD]), None);
        assert!(ca_file(&[ID_FIELD, KEY_FIELD, CA_FIELD]).is_some(), "though it is empty");
        let unknown = check(Some(&spec("https://s3.example.com")), None, false).unwrap().unwrap();
        assert!(unknown.settings().ca_file.is_some());
    }

    #[test]
    fn what_is_of_no_use_is_named() {
        let problem = |spec: &BackupCopiesSpec, in_database| {
            check(Some(spec), None, in_database).err().unwrap().to_string()
        };
        assert!(problem(&spec("https://10.1.2.3:9000"), false).contains("backupCopies.pathStyle"));
        assert!(problem(&spec("https://"), false).contains("backupCopies.endpoint"));
        assert!(problem(&spec("https://s3.example.com"), true).contains("your PostgreSQL"));
    }
}
