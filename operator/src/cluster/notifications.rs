//! The webhooks an administrator gives for events of buckets: whether they and their Secrets are of use. Pure.

use datamesh_crds::NotificationTargetSpec;
use datamesh_settings::notifications::NotificationTarget;
use datamesh_shard::TargetName;
use reqwest::Url;

use super::given_files::{CA_FIELD, FilesProblem, Given, GivenFiles};

/// Has what messages are signed with.
const SECRET_FIELD: &str = "secret";

/// A webhook that can be used.
pub(crate) struct Webhook {
    name: TargetName,
    url: String,
    /// Where its server listens.
    pub(crate) port: u16,
    /// What messages are signed with, and the certificate of the server's CA where no public one vouches for it.
    pub(crate) files: Option<GivenFiles>,
}

/// What is wrong with a webhook; the sentence begins with its name. What stands in its Secret, or in its address, is never shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookProblem {
    /// The name is none.
    #[error("has a name that is none: small letters, digits, `.` and `-`")]
    Name,
    /// Two of one name.
    #[error("is there twice")]
    Twice,
    /// The address is none.
    #[error("has a url that is none: write one like https://hooks.example.org/datamesh, without a password")]
    Url,
    /// Its Secret.
    #[error("names Secret {secret}, which {problem}")]
    Files {
        /// Its name.
        secret: String,
        /// Why.
        problem: FilesProblem,
    },
}

/// Checks those of a spec; names the first that is of no use.
pub(super) fn check(
    specs: &[NotificationTargetSpec],
    given: &Given,
) -> Result<Vec<Webhook>, (String, WebhookProblem)> {
    let mut webhooks = Vec::<Webhook>::new();
    for spec in specs {
        let webhook = one(spec, given).map_err(|problem| (spec.name.clone(), problem))?;
        if webhooks.iter().any(|before| before.name == webhook.name) {
            return Err((spec.name.clone(), WebhookProblem::Twice));
        }
        webhooks.push(webhook);
    }
    Ok(webhooks)
}

fn one(spec: &NotificationTargetSpec, given: &Given) -> Result<Webhook, WebhookProblem> {
    let name = TargetName::new(&spec.name).map_err(|_| WebhookProblem::Name)?;
    let url = Url::parse(&spec.url).map_err(|_| WebhookProblem::Url)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let port = url.port_or_known_default().filter(|_| url.scheme() == "https" && is_plain);
    let port = port.ok_or(WebhookProblem::Url)?;
    let secret = spec.secret_ref.as_ref();
    let files = GivenFiles::named(secret, given, format!("notifications/{name}"), &[SECRET_FIELD]);
    let named = || secret.map(|named| named.name.clone()).unwrap_or_default();
    let files = files.map_err(|problem| WebhookProblem::Files { secret: named(), problem })?;
    Ok(Webhook { name, url: spec.url.clone(), port, files })
}

impl Webhook {
    /// In the gateway's settings.
    pub(crate) fn settings(&self) -> NotificationTarget {
        let file = |field| self.files.as_ref().and_then(|files| files.file(field));
        NotificationTarget {
            name: self.name.clone(),
            url: self.url.clone(),
            secret_file: file(SECRET_FIELD),
            ca_file: file(CA_FIELD),
        }
    }
}

#[cfg(test)]
mod tests {
    use datamesh_crds::SecretRef;

    use super::super::given_files::tests::{authority, secret};
    use super::*;
    use crate::pod::CONFIG_DIR;

    fn spec(name: &str, url: &str, secret: Option<&str>) -> NotificationTargetSpec {
        let secret_ref = secret.map(|name| SecretRef { name: name.into() });
        NotificationTargetSpec { name: name.into(), url: url.into(), secret_ref }
    }

    fn checked(specs: &[NotificationTargetSpec], fields: &[(&str, &str)]) -> Result<Vec<Webhook>, String> {
        let given = Given::from([("hooks".to_owned(), secret(fields))]);
        check(specs, &given).map_err(|(name, problem)| format!("{name} {problem}"))
    }

    const URL: &str = "https://hooks.example.org:8443/x";

    #[test]
    fn a_webhook_has_the_files_that_its_secret_has() {
        let both = [spec("a", URL, Some("hooks")), spec("b", "https://hooks.example.org/", None)];
        let all = checked(&both, &[("secret", "hunter2"), (CA_FIELD, &authority())]).unwrap();
        let settings = all[0].settings();
        let file = settings.secret_file.unwrap();
        assert_eq!(file.to_str().unwrap(), format!("{CONFIG_DIR}/notifications/a/secret"));
        assert!(settings.ca_file.is_some() && all[0].files.is_some());
        assert_eq!((all[0].port, all[1].port), (8443, 443));
        assert!(all[1].settings().secret_file.is_none() && all[1].files.is_none());
        let signed = checked(&both[..1], &[("secret", "hunter2")]).unwrap();
        assert!(signed[0].settings().ca_file.is_none());
    }

    #[test]
    fn what_is_of_no_use_is_named_and_no_secret_is_shown() {
        let refused = |specs: &[NotificationTargetSpec], why: &str| {
            let error = checked(specs, &[("password", "hunter2")]).err().unwrap();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        };
        refused(&[spec("a", URL, None), spec("a", URL, None)], "a is there twice");
        refused(&[spec("A b", URL, None)], "a name that is none");
        for url in ["hooks", "http://hooks.example.org", "https://me:hunter2@hooks.example.org/"] {
            refused(&[spec("a", url, None)], "a url that is none");
        }
        refused(&[spec("a", URL, Some("none"))], "names Secret none, which does not exist");
        refused(&[spec("a", URL, Some("hooks"))], "which has none of the fields secret, ca.crt");
    }
}
