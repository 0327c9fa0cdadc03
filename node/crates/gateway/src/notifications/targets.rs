//! Whom there is to tell: the webhooks of the settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_settings::notifications::NotificationTarget;
use datamesh_settings::{SettingsError, read_secret};
use datamesh_shard::TargetName;
use parking_lot::Mutex;
use reqwest::Url;

use super::webhook::Webhook;
use crate::outward::{Authorities, NoAuthorities, is_this_machine};

/// Targets at most: each has a worker.
const TARGETS_MAX: usize = 32;

/// Why the settings' targets are refused.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Too many.
    #[error("notifications: {0} targets where {TARGETS_MAX} are the most")]
    TooMany(usize),
    /// A name twice.
    #[error("notifications: two targets have the name {0}")]
    Twice(TargetName),
    /// The address is none.
    #[error("notifications {0}: url is no address like `https://hooks.example.org/datamesh`")]
    Url(TargetName),
    /// It holds a password, which logs of others would show.
    #[error("notifications {0}: url holds a name or a password: leave them out, and give a secretFile")]
    Password(TargetName),
    /// Not encrypted, and not on this machine.
    #[error("notifications {0}: url is not `https`, which only an address on this machine may do without")]
    InTheClear(TargetName),
    /// A secret's file.
    #[error(transparent)]
    Secret(#[from] SettingsError),
    /// Nobody vouches for it.
    #[error("notifications {name}: {source}")]
    Authorities {
        /// Of which target.
        name: TargetName,
        /// The file's fault.
        source: NoAuthorities,
    },
    /// TLS cannot be prepared.
    #[error("notifications {0}: the connection cannot be prepared")]
    Client(TargetName),
}

/// A webhook.
#[derive(Debug)]
pub struct Target {
    pub(crate) name: TargetName,
    pub(crate) webhook: Webhook,
}

impl Target {
    /// Checks a target of the settings and the files that it names; reaches for nobody. Blocking.
    ///
    /// # Errors
    /// Names the target, the field and the remedy.
    pub fn open(settings: NotificationTarget) -> Result<Self, TargetError> {
        let NotificationTarget { name, url, secret_file, ca_file } = settings;
        let url = Url::parse(&url).map_err(|_| TargetError::Url(name.clone()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Password(name));
        }
        match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_this_machine(host) => {}
            ("http", Some(_)) => return Err(TargetError::InTheClear(name)),
            _ => return Err(TargetError::Url(name)),
        }
        if let Some(file) = &secret_file {
            drop(zeroize::Zeroizing::new(read_secret(file)?));
        }
        let authorities = Authorities::of(ca_file.as_deref())
            .map_err(|source| TargetError::Authorities { name: name.clone(), source })?;
        let webhook = Webhook::new(url, secret_file, authorities);
        let webhook = webhook.map_err(|_| TargetError::Client(name.clone()))?;
        Ok(Self { name, webhook })
    }

    /// All targets of the settings.
    ///
    /// # Errors
    /// As above; too many, and names that are there twice.
    pub fn open_all(settings: &[NotificationTarget]) -> Result<Vec<Self>, TargetError> {
        if settings.len() > TARGETS_MAX {
            return Err(TargetError::TooMany(settings.len()));
        }
        let twice = |n: usize| settings[..n].iter().any(|before| before.name == settings[n].name);
        if let Some(n) = (0..settings.len()).find(|n| twice(*n)) {
            return Err(TargetError::Twice(settings[n].name.clone()));
        }
        settings.iter().cloned().map(Self::open).collect()
    }
}

/// Those that this gateway knows, and what keeps it from telling some of them.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    all: Vec<Arc<Target>>,
    failing: Mutex<BTreeMap<TargetName, String>>,
}

impl Targets {
    pub(crate) fn new(all: Vec<Target>) -> Self {
        Self { all: all.into_iter().map(Arc::new).collect(), failing: Mutex::default() }
    }

    pub(crate) fn all(&self) -> &[Arc<Target>] {
        &self.all
    }

    pub(crate) fn has(&self, name: &TargetName) -> bool {
        self.all.iter().any(|target| target.name == *name)
    }

    /// A target was told something, or was not, and why.
    pub(crate) fn told(&self, name: &TargetName, failure: Option<String>) {
        let mut failing = self.failing.lock();
        match failure {
            Some(why) => failing.insert(name.clone(), why),
            None => failing.remove(name),
        };
    }

    /// Why the last message to a target did not arrive, where this gateway sent it.
    pub(crate) fn failure(&self, name: &TargetName) -> Option<String> {
        self.failing.lock().get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<Target, String> {
        let name = TargetName::new("hook").unwrap();
        let settings = NotificationTarget { name, url: url.into(), secret_file: None, ca_file: None };
        Target::open(settings).map_err(|error| error.to_string())
    }

    #[test]
    fn only_addresses_that_are_encrypted_or_near_are_taken() {
        for good in
            ["https://hooks.example.org/x?y=z", "http://localhost:1/", "http://127.0.0.1:1", "http://[::1]:1"]
        {
            assert!(open(good).is_ok(), "{good}");
        }
        let refused = [
            ("hooks.example.org", "url is no address"),
            ("file:///etc/passwd", "url is no address"),
            ("http://hooks.example.org", "not `https`"),
            ("http://10.0.0.1/", "not `https`"),
            ("http://localhost.example.org/", "not `https`"),
            ("https://me:secret@hooks.example.org", "holds a name or a password"),
        ];
        for (url, why) in refused {
            let error = open(url).map(|_| ()).unwrap_err();
            assert!(error.contains("notifications hook") && error.contains(why), "{url}: {error}");
            assert!(!error.contains("secret@"), "{error}");
        }
    }

    #[test]
    fn a_name_is_one_target_s_and_files_are_read_at_once() {
        let hook = |name: &str| NotificationTarget {
            name: TargetName::new(name).unwrap(),
            url: "https://hooks.example.org".into(),
            secret_file: None,
            ca_file: None,
        };
        assert_eq!(Target::open_all(&[hook("a"), hook("b")]).unwrap().len(), 2);
        let twice = Target::open_all(&[hook("a"), hook("b"), hook("a")]).unwrap_err().to_string();
        assert_eq!(twice, "notifications: two targets have the name a");
        let many: Vec<_> = (0..33).map(|n| hook(&format!("n{n}"))).collect();
        assert!(Target::open_all(&many).unwrap_err().to_string().contains("33 targets"));
        let nowhere = Some(std::path::PathBuf::from("/nowhere"));
        let secret = Target::open(NotificationTarget { secret_file: nowhere.clone(), ..hook("a") });
        assert!(secret.unwrap_err().to_string().contains("/nowhere"));
        let ca = Target::open(NotificationTarget { ca_file: nowhere, ..hook("a") }).unwrap_err();
        assert!(ca.to_string().contains("caFile /nowhere"), "{ca}");
    }
}
