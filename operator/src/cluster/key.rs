//! The cluster key: present, to be made, or missing. The one decision that must never be wrong, so it stands alone.

use datamesh_crds::{DataMeshCluster, label};
use datamesh_seal::ClusterSecret;
use kube::ResourceExt;

use super::dereference::Found;
use crate::{names, secrets};

/// The cluster key.
pub(crate) enum Key {
    /// It is there.
    Present(ClusterSecret),
    /// There was none and nothing that would need it: this one is to be kept.
    New(ClusterSecret),
    /// Volumes exist that it opens, and it is not there, or another one is.
    Missing {
        /// For machines.
        reason: &'static str,
        /// For people: how to restore it.
        message: String,
    },
}

impl Key {
    /// The fingerprint of a stored key. A new one has none yet: the pass may end before it is kept.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        match self {
            Self::Present(secret) => Some(secret.fingerprint()),
            Self::New(_) | Self::Missing { .. } => None,
        }
    }
}

/// Judges what was found. Makes a key only where neither a key nor any volume is.
pub(crate) fn judge(cluster: &DataMeshCluster, found: &Found) -> Key {
    let name = cluster.name_any();
    let known = cluster.status.as_ref().and_then(|status| status.key_fingerprint.as_deref());
    let Some(stored) = &found.key else {
        return if found.volumes.is_empty() {
            Key::New(ClusterSecret::generate())
        } else {
            missing(&name, "KeySecretMissing", "is missing", found.volumes.len(), known)
        };
    };
    let text = secrets::text_of(stored, names::KEY_FIELD);
    let Some(secret) = text.and_then(|text| ClusterSecret::from_hex(&text).ok()) else {
        let problem = format!("has no 64 hexadecimal digits in its field `{}`", names::KEY_FIELD);
        return missing(&name, "KeyUnreadable", &problem, found.volumes.len(), known);
    };
    let fingerprint = secret.fingerprint();
    let noted = secrets::annotation(stored, label::FINGERPRINT);
    // Without volumes there is nothing another key could fail to open.
    let expected = [known, noted].into_iter().flatten().find(|other| *other != fingerprint);
    if let (Some(expected), false) = (expected, found.volumes.is_empty()) {
        let problem = format!("holds the key {fingerprint}, but the volumes belong to {expected}");
        return missing(&name, "WrongKey", &problem, found.volumes.len(), Some(expected));
    }
    Key::Present(secret)
}

fn missing(cluster: &str, reason: &'static str, problem: &str, volumes: usize, known: Option<&str>) -> Key {
    let secret = names::cluster_key(cluster);
    let which = known.map_or_else(|| "it".to_owned(), |known| format!("key {known}"));
    let message = format!(
        "Secret {secret} {problem}. {volumes} volumes are sealed with {which}: without it nothing on them can be read. \
         Restore it with `kubectl apply -f key.yaml`, the file `datamesh admin key export` made (a gateway \
         that still runs can make it now). No pod is touched and no new key is made meanwhile."
    );
    Key::Missing { reason, message }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};

    use super::*;
    use crate::cluster::validate::tests::cluster;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn stored(text: &str) -> Option<Secret> {
        Some(Secret { data: secrets::data(&[(names::KEY_FIELD, text)]), ..Secret::default() })
    }

    fn found(key: Option<Secret>, volumes: usize) -> Found {
        Found { key, volumes: vec![PersistentVolumeClaim::default(); volumes], ..Found::default() }
    }

    fn missing_reason(key: &Key) -> Option<&'static str> {
        match key {
            Key::Missing { reason, message } => {
                assert!(
                    message.contains("kubectl apply -f key.yaml") && message.contains("No pod is touched")
                );
                assert!(!message.contains(&KEY[..16]), "a message shows a key");
                Some(reason)
            }
            Key::Present(_) | Key::New(_) => None,
        }
    }

    #[test]
    fn a_key_is_made_only_where_nothing_is() {
        assert!(matches!(judge(&cluster(), &found(None, 0)), Key::New(_)));
        assert_eq!(missing_reason(&judge(&cluster(), &found(None, 1))), Some("KeySecretMissing"));
    }

    #[test]
    fn a_stored_key_is_used() {
        let judged = judge(&cluster(), &found(stored(KEY), 7));
        let expected = ClusterSecret::from_hex(KEY).unwrap().fingerprint();
        assert_eq!(judged.fingerprint(), Some(expected));
    }

    #[test]
    fn another_key_is_refused_by_status_and_by_annotation() {
        let mut known = cluster();
        known.status = Some(datamesh_crds::DataMeshClusterStatus {
            key_fingerprint: Some("0123456789abcdef".into()),
            ..Default::default()
        });
        assert_eq!(missing_reason(&judge(&known, &found(stored(KEY), 1))), Some("WrongKey"));
        let mut noted = found(stored(KEY), 1);
        let annotations = [(label::FINGERPRINT.to_owned(), "0123456789abcdef".to_owned())];
        noted.key.as_mut().unwrap().metadata.annotations = Some(annotations.into());
        assert_eq!(missing_reason(&judge(&cluster(), &noted)), Some("WrongKey"));
        assert!(matches!(judge(&known, &found(stored(KEY), 0)), Key::Present(_)));
    }

    #[test]
    fn an_unreadable_key_is_not_replaced() {
        for text in ["", "xyz", &KEY[1..]] {
            assert_eq!(
                missing_reason(&judge(&cluster(), &found(stored(text), 0))),
                Some("KeyUnreadable"),
                "{text}"
            );
        }
    }
}
