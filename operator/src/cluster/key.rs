//! The cluster key: present, to be made, or missing. The one decision that must never be wrong, so it stands alone.

use std::collections::BTreeSet;

use datamesh_crds::{DataMeshCluster, label};
use datamesh_seal::ClusterSecret;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
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
    let known = known_fingerprints(cluster, found);
    let missing = |reason, problem: &str, fingerprint: Option<&str>| Key::Missing {
        reason,
        message: remedy(&cluster.name_any(), problem, found, fingerprint),
    };
    let Some(stored) = &found.key else {
        return if found.volumes.is_empty() {
            Key::New(ClusterSecret::generate())
        } else {
            missing("KeySecretMissing", "is missing", known.first().copied())
        };
    };
    let text = secrets::text_of(stored, names::KEY_FIELD);
    let Some(secret) = text.and_then(|text| ClusterSecret::from_hex(&text).ok()) else {
        let problem = format!("has no 64 hexadecimal digits in its field `{}`", names::KEY_FIELD);
        return missing("KeyUnreadable", &problem, known.first().copied());
    };
    let fingerprint = secret.fingerprint();
    // Without volumes there is nothing another key could fail to open.
    match known.into_iter().find(|other| *other != fingerprint) {
        Some(other) if !found.volumes.is_empty() => {
            let problem = format!("does not match the volumes: it holds key {fingerprint}");
            missing("WrongKey", &problem, Some(other))
        }
        _ => Key::Present(secret),
    }
}

/// Fingerprints of the key the volumes are sealed with. Where volumes note it they alone count: status and Secret can be
/// deleted and made anew by hand, and then say nothing, or what is not so.
fn known_fingerprints<'a>(cluster: &'a DataMeshCluster, found: &'a Found) -> Vec<&'a str> {
    let on_volumes: BTreeSet<&str> = found.volumes.iter().filter_map(noted_on).collect();
    if !on_volumes.is_empty() {
        return on_volumes.into_iter().collect();
    }
    let in_status = cluster.status.as_ref().and_then(|status| status.key_fingerprint.as_deref());
    let on_secret = found.key.as_ref().and_then(|stored| secrets::annotation(stored, label::FINGERPRINT));
    in_status.into_iter().chain(on_secret).collect()
}

fn noted_on(volume: &PersistentVolumeClaim) -> Option<&str> {
    volume.annotations().get(label::FINGERPRINT).map(String::as_str)
}

/// What is wrong with the Secret, what hangs on it and how to restore it.
fn remedy(cluster: &str, problem: &str, found: &Found, fingerprint: Option<&str>) -> String {
    let secret = names::cluster_key(cluster);
    let which = fingerprint.map_or_else(|| "it".to_owned(), |fingerprint| format!("key {fingerprint}"));
    let noted = found.volumes.iter().filter(|volume| noted_on(volume) == fingerprint).count();
    let volumes = if noted == 0 { found.volumes.len() } else { noted };
    format!(
        "Secret {secret} {problem}. {volumes} volumes are sealed with {which}: without it nothing on them can be read. \
         Restore it with `kubectl apply -f key.yaml`, the file `datamesh admin key export` made (a gateway \
         that still runs can make it now). No pod is touched and no new key is made meanwhile."
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;
    use crate::cluster::validate::tests::cluster;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const OTHER_KEY: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn fingerprint(key: &str) -> String {
        ClusterSecret::from_hex(key).unwrap().fingerprint()
    }

    /// Volumes with these notes.
    fn sealed_with(keys: &[Option<&str>]) -> Vec<PersistentVolumeClaim> {
        let volume = |key: &Option<&str>| {
            let mut volume = PersistentVolumeClaim::default();
            volume.metadata.annotations =
                key.map(|key| [(label::FINGERPRINT.to_owned(), fingerprint(key))].into());
            volume
        };
        keys.iter().map(volume).collect()
    }

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
        assert_eq!(judged.fingerprint(), Some(fingerprint(KEY)));
    }

    /// The cluster was deleted and applied again, so its status says nothing, and somebody made the Secret by hand.
    #[test]
    fn the_volumes_know_their_key_when_nothing_else_does() {
        let volumes = sealed_with(&[None, Some(KEY), Some(KEY)]);
        let wrong = Found { key: stored(OTHER_KEY), volumes: volumes.clone(), ..Found::default() };
        let judged = judge(&cluster(), &wrong);
        assert_eq!(missing_reason(&judged), Some("WrongKey"));
        assert_eq!(judged.fingerprint(), None, "the status would be overwritten");
        let Key::Missing { message, .. } = judged else { panic!("judged") };
        for part in [
            "demo-cluster-key does not match the volumes",
            &fingerprint(OTHER_KEY),
            &format!("2 volumes are sealed with key {}", fingerprint(KEY)),
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
        let restored = Found { key: stored(KEY), volumes: volumes.clone(), ..Found::default() };
        assert_eq!(judge(&cluster(), &restored).fingerprint(), Some(fingerprint(KEY)));
        let gone = Found { volumes, ..Found::default() };
        let Key::Missing { message, .. } = judge(&cluster(), &gone) else { panic!("judged") };
        assert!(message.contains(&fingerprint(KEY)), "{message}");
    }

    #[test]
    fn volumes_are_believed_before_status_and_secret() {
        let mut overwritten = cluster();
        overwritten.status = Some(datamesh_crds::DataMeshClusterStatus {
            key_fingerprint: Some(fingerprint(OTHER_KEY)),
            ..Default::default()
        });
        let right = Found { key: stored(KEY), volumes: sealed_with(&[Some(KEY)]), ..Found::default() };
        assert!(matches!(judge(&overwritten, &right), Key::Present(_)));
        let mixed = sealed_with(&[Some(KEY), Some(OTHER_KEY)]);
        for key in [KEY, OTHER_KEY] {
            let found = Found { key: stored(key), volumes: mixed.clone(), ..Found::default() };
            assert_eq!(missing_reason(&judge(&cluster(), &found)), Some("WrongKey"));
        }
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
