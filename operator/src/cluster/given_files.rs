//! Fields of a Secret that an administrator gives and gateways have as files: whether they are there, asked before anything is changed, for
//! a gateway that lacks one would not start. Pure.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_crds::{GatewaySpec, SecretRef};
use k8s_openapi::api::core::v1::Secret;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::pod::{self, CONFIG_DIR};
use crate::secrets;

/// Has certificates of authorities.
pub(crate) const CA_FIELD: &str = "ca.crt";
/// Bytes of a field that a gateway reads at most.
const FIELD_BYTES_MAX: usize = 64 << 10;

/// Secrets that a spec names for its gateways, by name, those that exist.
pub(crate) type Given = BTreeMap<String, Secret>;

/// Names of all of them: for mail, for providers that users sign in at, and for webhooks.
pub(super) fn secrets_of(gateway: &GatewaySpec) -> BTreeSet<&str> {
    let mail = gateway.mail.iter().filter_map(|mail| mail.secret_ref.as_ref());
    let oidc = gateway.oidc.iter().filter_map(|provider| provider.secret_ref.as_ref());
    let webhooks = gateway.notifications.iter().filter_map(|target| target.secret_ref.as_ref());
    mail.chain(oidc).chain(webhooks).map(|named| named.name.as_str()).collect()
}

/// What is wrong with the Secret; the sentence begins with its name. What stands in it is never shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilesProblem {
    /// No such Secret.
    #[error("does not exist in this namespace: make it, or leave secretRef out")]
    Absent,
    /// None of the fields that could be there.
    #[error("has none of the fields {0}: add one of them, or leave secretRef out")]
    Nothing(String),
    /// One of two fields that belong together.
    #[error("has a field {there} and no field {missing}: give both or none")]
    Half {
        /// It is there.
        there: &'static str,
        /// It is not.
        missing: &'static str,
    },
    /// Too long.
    #[error("has a field {0} of more than 64 KiB")]
    TooLong(&'static str),
    /// No certificates.
    #[error("has no PEM certificates of authorities in its field ca.crt")]
    Authorities,
}

/// Those that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenFiles {
    secret: String,
    /// Below [`CONFIG_DIR`].
    folder: String,
    fields: Vec<&'static str>,
    /// Of the authorities, which gateways read at their start alone.
    authorities_hash: Option<String>,
}

impl GivenFiles {
    /// Looks for `wanted` fields, and authorities, in the Secret that is called `secret`.
    pub(super) fn check(
        (secret, given): (&str, Option<&Secret>),
        folder: String,
        wanted: &[&'static str],
    ) -> Result<Self, FilesProblem> {
        let given = given.ok_or(FilesProblem::Absent)?;
        let all = wanted.iter().copied().chain([CA_FIELD]);
        let mut fields = Vec::new();
        for field in all.clone() {
            let Some(text) = secrets::text_of(given, field) else { continue };
            if text.len() > FIELD_BYTES_MAX {
                return Err(FilesProblem::TooLong(field));
            }
            fields.push(field);
        }
        if fields.is_empty() {
            return Err(FilesProblem::Nothing(all.collect::<Vec<_>>().join(", ")));
        }
        let authorities = secrets::text_of(given, CA_FIELD);
        let authorities_hash = authorities.map(|pem| hash_of_authorities(&pem)).transpose()?;
        Ok(Self { secret: secret.to_owned(), folder, fields, authorities_hash })
    }

    /// The same of a Secret that a spec need not name.
    pub(super) fn named(
        secret: Option<&SecretRef>,
        given: &Given,
        folder: String,
        wanted: &[&'static str],
    ) -> Result<Option<Self>, FilesProblem> {
        let check = |named: &SecretRef| Self::check((&named.name, given.get(&named.name)), folder, wanted);
        secret.map(check).transpose()
    }

    /// That both are there, or none.
    pub(super) fn both(&self, one: &'static str, other: &'static str) -> Result<(), FilesProblem> {
        match (self.fields.contains(&one), self.fields.contains(&other)) {
            (true, false) => Err(FilesProblem::Half { there: one, missing: other }),
            (false, true) => Err(FilesProblem::Half { there: other, missing: one }),
            _ => Ok(()),
        }
    }

    fn path(&self, field: &str) -> String {
        format!("{}/{field}", self.folder)
    }

    /// Where the gateway finds a field, if it is there.
    pub(crate) fn file(&self, field: &'static str) -> Option<std::path::PathBuf> {
        let there = self.fields.contains(&field);
        there.then(|| format!("{CONFIG_DIR}/{}", self.path(field)).into())
    }

    /// The files, for a pod.
    pub(crate) fn projection(&self) -> k8s_openapi::api::core::v1::VolumeProjection {
        let paths: Vec<_> = self.fields.iter().map(|field| (*field, self.path(field))).collect();
        let files: Vec<_> = paths.iter().map(|(field, path)| (*field, path.as_str())).collect();
        pod::secret_files(self.secret.clone(), &files)
    }

    /// Changes when a gateway must start anew for what is in the files.
    pub(crate) fn authorities_hash(&self) -> Option<&str> {
        self.authorities_hash.as_deref()
    }
}

fn hash_of_authorities(pem: &str) -> Result<String, FilesProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or(FilesProblem::Authorities)?;
    }
    if roots.is_empty() { Err(FilesProblem::Authorities) } else { Ok(pod::short_hash(pem.as_bytes())) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A Secret with these fields.
    pub(crate) fn secret(fields: &[(&str, &str)]) -> Secret {
        Secret { data: secrets::data(fields), ..Secret::default() }
    }

    /// Certificates of an authority.
    pub(crate) fn authority() -> String {
        crate::secrets::text_of(&crate::cluster::given_tls::tests::good().0, CA_FIELD).unwrap().to_string()
    }

    fn checked(fields: &[(&str, &str)]) -> Result<GivenFiles, FilesProblem> {
        let given = secret(fields);
        GivenFiles::check(("mail", Some(&given)), "mail".into(), &["user", "password"])
    }

    #[test]
    fn what_is_there_is_mounted_and_nothing_else() {
        let ca = authority();
        let files =
            checked(&[("user", "u"), ("password", "hunter2"), (CA_FIELD, &ca), ("more", "x")]).unwrap();
        assert_eq!(files.file("password").unwrap().to_str(), Some("/etc/datamesh/mail/password"));
        let yaml = serde_yaml::to_string(&files.projection()).unwrap();
        assert!(
            yaml.contains("name: mail") && yaml.contains("path: mail/ca.crt") && !yaml.contains("more"),
            "{yaml}"
        );
        assert!(!format!("{files:?}").contains("hunter2"));
        let plain = checked(&[("user", "u"), ("password", "p")]).unwrap();
        assert_eq!((plain.file(CA_FIELD), plain.authorities_hash()), (None, None));
        let renewed = format!("{ca}{ca}");
        assert_ne!(checked(&[(CA_FIELD, &renewed)]).unwrap().authorities_hash(), files.authorities_hash());
    }

    #[test]
    fn what_a_gateway_would_not_start_with_is_told_before() {
        let absent = GivenFiles::check(("mail", None), "mail".into(), &["user"]);
        assert_eq!(absent, Err(FilesProblem::Absent));
        assert_eq!(checked(&[("name", "x")]), Err(FilesProblem::Nothing("user, password, ca.crt".into())));
        assert_eq!(
            checked(&[("user", " ")]),
            Err(FilesProblem::Nothing("user, password, ca.crt".into())),
            "empty"
        );
        assert_eq!(checked(&[("user", "u"), (CA_FIELD, "text")]), Err(FilesProblem::Authorities));
        assert_eq!(checked(&[("user", &"u".repeat(70_000))]), Err(FilesProblem::TooLong("user")));
        let half = checked(&[("password", "p")]).unwrap().both("user", "password");
        assert_eq!(half, Err(FilesProblem::Half { there: "password", missing: "user" }));
        assert!(checked(&[("password", "p"), ("user", "u")]).unwrap().both("user", "password").is_ok());
    }
}
