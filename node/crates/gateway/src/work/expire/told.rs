//! What ended in one step: for the counters, and as one entry of the audit.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::ObjectKey;
use datamesh_catalog::catalog::Ended;
use datamesh_shard::BucketName;

use crate::api::App;
use crate::audit::Deed;

/// Counts by kind, with the first and the last key.
#[derive(Default)]
pub(super) struct Told {
    counts: BTreeMap<&'static str, u64>,
    rules: BTreeSet<String>,
    keys: Option<(ObjectKey, ObjectKey)>,
}

impl Told {
    pub(super) fn version(&mut self, key: &ObjectKey, ended: Ended, rule: &str) {
        let kind = match ended {
            Ended::Object => "object",
            Ended::Hidden => "hidden",
            Ended::Version => "version",
            Ended::Marker => "marker",
        };
        self.count(kind, key, rule);
    }

    pub(super) fn upload(&mut self, key: &ObjectKey, rule: &str) {
        self.count("upload", key, rule);
    }

    fn count(&mut self, kind: &'static str, key: &ObjectKey, rule: &str) {
        *self.counts.entry(kind).or_default() += 1;
        self.rules.insert(rule.to_owned());
        let (_, last) = self.keys.get_or_insert_with(|| (key.clone(), key.clone()));
        last.clone_from(key);
    }

    /// In words; `None`: nothing ended.
    fn detail(&self) -> Option<String> {
        let (first, last) = self.keys.as_ref()?;
        let counts = self.counts.iter().map(|(kind, count)| format!("{kind}: {count}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        // Names of users' own making stand last: what is too long is cut off there.
        Some(format!("{counts}; from {:?} to {:?}, by {:?}", first.to_string(), last.to_string(), self.rules))
    }

    /// Counts it and writes it down.
    pub(super) async fn tell(&self, app: &App, bucket: &BucketName) {
        let Some(detail) = self.detail() else { return };
        self.counts.iter().for_each(|(kind, count)| app.metrics.expired(kind, *count));
        tracing::info!(counts = ?self.counts, "rules of a bucket ended something");
        let deed = Deed { actor: super::ACTOR, action: "s3:Expire", target: format!("/{bucket}"), detail };
        if let Err(error) = app.audit.write(deed).await {
            tracing::error!(%error, "the audit's entry of what rules ended is not written down yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_of_many_ends() {
        let key = |key: &str| ObjectKey::new(key).unwrap();
        let mut told = Told::default();
        assert_eq!(told.detail(), None);
        for name in ["a", "b", "c"] {
            told.version(&key(name), Ended::Version, "old");
        }
        told.upload(&key("d\n"), "left");
        let text = r#"upload: 1, version: 3; from "a" to "d\n", by {"left", "old"}"#;
        assert_eq!(told.detail().as_deref(), Some(text));
    }
}
