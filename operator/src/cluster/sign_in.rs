//! Mail and providers of OpenID Connect as the gateways' settings have them: what the spec says, with the files of the Secrets it names. Pure.

use std::collections::BTreeSet;

use datamesh_crds::{GatewaySpec, MailSpec, MailTls, OidcSpec, SecretRef};
use datamesh_settings::mail::{self, MailSettings};
use datamesh_settings::oidc::{OidcGroups, OidcRoles, OidcSettings};

use super::given_files::{CA_FIELD, FilesProblem, Given, GivenFiles};

const USER_FIELD: &str = "user";
const PASSWORD_FIELD: &str = "password";
const CLIENT_SECRET_FIELD: &str = "client-secret";
/// Where providers are reached that say nothing else.
const HTTPS: u16 = 443;

/// What is wrong; the sentence begins with the field.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInProblem {
    /// A Secret.
    #[error("{field}.secretRef: Secret {secret} {problem}")]
    Files {
        /// Of what.
        field: String,
        /// Its name.
        secret: String,
        /// Why.
        problem: FilesProblem,
    },
    /// Two of one name or issuer.
    #[error(
        "gateway.oidc: {what} `{which}` stands there twice: each provider has a name and an issuer of its own"
    )]
    Twice {
        /// What.
        what: &'static str,
        /// Which.
        which: String,
    },
    /// No port.
    #[error("gateway.mail.port: {0} is no port: it is 1 to 65535")]
    Port(i32),
}

/// How users sign in besides, and are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignIn {
    pub(crate) public_url: Option<String>,
    pub(crate) mail: Option<MailSettings>,
    pub(crate) oidc: Vec<OidcSettings>,
    /// Of all Secrets.
    pub(crate) files: Vec<GivenFiles>,
    /// Ports that gateways must reach outside.
    pub(crate) ports: BTreeSet<u16>,
}

/// Checks what the spec says of mail and providers.
pub(super) fn check(gateway: &GatewaySpec, given: &Given) -> Result<SignIn, SignInProblem> {
    let mut sign_in = SignIn { public_url: gateway.public_url.clone(), ..SignIn::default() };
    if let Some(spec) = &gateway.mail {
        let settings = sign_in.mail_of(spec, given)?;
        sign_in.mail = Some(settings);
    }
    once("name", gateway.oidc.iter().map(|provider| &provider.name))?;
    once("issuer", gateway.oidc.iter().map(|provider| &provider.issuer))?;
    for spec in &gateway.oidc {
        let settings = sign_in.provider_of(spec, given)?;
        sign_in.oidc.push(settings);
    }
    Ok(sign_in)
}

fn once<'a>(what: &'static str, all: impl Iterator<Item = &'a String>) -> Result<(), SignInProblem> {
    let mut seen = BTreeSet::new();
    for one in all {
        if !seen.insert(one) {
            return Err(SignInProblem::Twice { what, which: one.clone() });
        }
    }
    Ok(())
}

fn groups_of(groups: &datamesh_crds::OidcGroups) -> OidcGroups {
    let map = groups.map.iter().map(|(said, group)| (said.clone(), group.0.clone()));
    OidcGroups { claim: groups.claim.clone(), map: map.collect() }
}

/// The port in a URL, or that of HTTPS.
fn port_of(url: &str) -> u16 {
    let host = url.strip_prefix("https://").unwrap_or(url).split('/').next().unwrap_or_default();
    host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(HTTPS)
}

impl SignIn {
    fn mail_of(&mut self, spec: &MailSpec, given: &Given) -> Result<MailSettings, SignInProblem> {
        let port = u16::try_from(spec.port).map_err(|_| SignInProblem::Port(spec.port))?;
        self.ports.insert(port);
        let named = |problem| problem_of("gateway.mail".into(), spec.secret_ref.as_ref(), problem);
        let files =
            GivenFiles::named(spec.secret_ref.as_ref(), given, "mail".into(), &[USER_FIELD, PASSWORD_FIELD]);
        let files = files.map_err(named)?;
        files.iter().try_for_each(|files| files.both(USER_FIELD, PASSWORD_FIELD)).map_err(named)?;
        let file = |field| files.as_ref().and_then(|files| files.file(field));
        let settings = MailSettings {
            host: spec.host.clone(),
            port,
            tls: match spec.tls {
                MailTls::Starttls => mail::MailTls::Starttls,
                MailTls::Implicit => mail::MailTls::Implicit,
            },
            ca_file: file(CA_FIELD),
            user_file: file(USER_FIELD),
            password_file: file(PASSWORD_FIELD),
            from: spec.from.clone(),
            link_base: spec.link_base.clone(),
        };
        self.files.extend(files);
        Ok(settings)
    }

    fn provider_of(&mut self, spec: &OidcSpec, given: &Given) -> Result<OidcSettings, SignInProblem> {
        // What a provider names may be elsewhere than itself, and mostly is where HTTPS is.
        self.ports.extend([HTTPS, port_of(&spec.issuer)]);
        let folder = format!("oidc/{}", spec.name);
        let files = GivenFiles::named(spec.secret_ref.as_ref(), given, folder, &[CLIENT_SECRET_FIELD]);
        let field = || format!("gateway.oidc[{}]", spec.name);
        let files = files.map_err(|problem| problem_of(field(), spec.secret_ref.as_ref(), problem))?;
        let file = |field| files.as_ref().and_then(|files| files.file(field));
        let settings = OidcSettings {
            name: spec.name.clone(),
            issuer: spec.issuer.clone(),
            client_id: spec.client_id.clone(),
            client_secret_file: file(CLIENT_SECRET_FIELD),
            ca_file: file(CA_FIELD),
            scopes: spec.scopes.clone(),
            roles: spec.roles.as_ref().map(|roles| OidcRoles {
                claim: roles.claim.clone(),
                map: roles.map.iter().map(|(said, role)| (said.clone(), role.as_str().to_owned())).collect(),
            }),
            groups: spec.groups.as_ref().map(groups_of),
            devices: spec.devices,
            register: spec.register,
        };
        self.files.extend(files);
        Ok(settings)
    }
}

fn problem_of(field: String, named: Option<&SecretRef>, problem: FilesProblem) -> SignInProblem {
    SignInProblem::Files { field, secret: named.map(|named| named.name.clone()).unwrap_or_default(), problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::given_files::tests::secret;
    use super::super::validate::tests::cluster;
    use super::*;

    fn checked(mail: serde_json::Value, oidc: serde_json::Value, given: &Given) -> Result<SignIn, String> {
        let mut gateway = cluster().spec.gateway;
        gateway.mail = serde_json::from_value(mail).unwrap();
        gateway.oidc = serde_json::from_value(oidc).unwrap();
        gateway.public_url = Some("https://files.example.com".into());
        check(&gateway, given).map_err(|problem| problem.to_string())
    }

    fn mail() -> serde_json::Value {
        json!({"host": "smtp.example.com", "from": "DataMesh <d@example.com>", "secretRef": {"name": "smtp"}})
    }

    fn provider(name: &str, issuer: &str) -> serde_json::Value {
        json!({"name": name, "issuer": issuer, "clientId": "datamesh", "secretRef": {"name": "id"}})
    }

    #[test]
    fn the_settings_name_the_files_that_are_there() {
        let smtp = secret(&[("user", "u"), ("password", "p")]);
        let id = secret(&[("client-secret", "s")]);
        let given: Given = [("smtp".to_owned(), smtp), ("id".to_owned(), id)].into();
        let oidc = json!([provider("work", "https://id.example.com:8443/realms/work")]);
        let valid = checked(mail(), oidc, &given).unwrap();
        let mail = valid.mail.unwrap();
        assert_eq!(mail.password_file.unwrap().to_str(), Some("/etc/datamesh/mail/password"));
        assert_eq!((mail.port, mail.ca_file), (587, None));
        let file = valid.oidc[0].client_secret_file.clone().unwrap();
        assert_eq!(file.to_str(), Some("/etc/datamesh/oidc/work/client-secret"));
        assert_eq!(valid.ports, [443, 587, 8443].into());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let none = Given::new();
        let absent = checked(mail(), json!([]), &none).unwrap_err();
        assert!(absent.starts_with("gateway.mail.secretRef: Secret smtp does not exist"), "{absent}");
        let half: Given = [("smtp".to_owned(), secret(&[("user", "u")]))].into();
        assert!(checked(mail(), json!([]), &half).unwrap_err().contains("no field password"));
        let absent = checked(json!(null), json!([provider("work", "https://a")]), &none).unwrap_err();
        assert!(absent.starts_with("gateway.oidc[work].secretRef: Secret id does not exist"), "{absent}");
        let id: Given = [("id".to_owned(), secret(&[("client-secret", "s")]))].into();
        let twice =
            checked(json!(null), json!([provider("a", "https://x"), provider("b", "https://x")]), &id);
        assert!(twice.unwrap_err().contains("issuer `https://x` stands there twice"));
        let twice =
            checked(json!(null), json!([provider("a", "https://x"), provider("a", "https://y")]), &id);
        assert!(twice.unwrap_err().contains("name `a` stands there twice"));
    }
}
