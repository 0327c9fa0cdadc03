//! What gateway and storage pods share: a restricted container, its probes, and the volume of one StatefulSet. Pure.

use std::collections::BTreeMap;

use datamesh_crds::{Amount, Resources, Size, label};
use datamesh_seal::ClusterSecret;
use datamesh_settings::HEALTH_PORT;
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapProjection, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, KeyToPath, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements,
    SeccompProfile, SecretProjection, SecurityContext, Volume, VolumeMount, VolumeProjection,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::meta::{self, Labels};
use crate::names;

pub(crate) mod running;
#[cfg(test)]
mod tests;

/// User and group of every process, as in the image.
const USER: i64 = 65532;
/// Readable by owner and group only; the group is the pod's fsGroup.
const SECRET_MODE: i32 = 0o440;
/// Seconds a process has to finish what it does when it is stopped; longer than its own grace (`node/src/stop.rs`).
const STOP_GRACE_SECONDS: i64 = 60;
/// Variable the processes read what they log from (`node/src/args.rs`).
const LOG_VARIABLE: &str = "DATAMESH_LOG";
/// Tries of the startup probe, 5 s apart: recovering a large store may take its time, ten minutes at most.
const STARTUP_TRIES: i32 = 120;
/// Folder of settings, keys and tokens in the container.
pub(crate) const CONFIG_DIR: &str = "/etc/datamesh";
/// Folder of the data volume in the container.
pub(crate) const DATA_DIR: &str = "/data";

/// Everything that differs between the pods.
pub(crate) struct PodParts {
    /// Metadata of the StatefulSet; labels and annotations are its volume's, too.
    pub(crate) meta: ObjectMeta,
    /// Labels that select its one pod.
    pub(crate) selector: Labels,
    /// The headless Service it belongs to.
    pub(crate) service: String,
    /// `gateway` or `storage`: the subcommand.
    pub(crate) role: &'static str,
    /// The image.
    pub(crate) image: String,
    /// When it is pulled.
    pub(crate) pull_policy: &'static str,
    /// cpu and memory.
    pub(crate) resources: Resources,
    /// What is logged.
    pub(crate) log_level: String,
    /// Named ports besides health.
    pub(crate) ports: Vec<(&'static str, u16)>,
    /// Files in [`CONFIG_DIR`].
    pub(crate) files: Vec<VolumeProjection>,
    /// Hash of the settings the process starts with.
    pub(crate) settings_hash: String,
    /// Where it may run.
    pub(crate) affinity: Option<Affinity>,
    /// Size of the data volume's claim template.
    pub(crate) volume_size: Size,
    /// Class of the data volume.
    pub(crate) storage_class_name: Option<String>,
}

/// The StatefulSet of one pod with one volume that outlives it.
pub(crate) fn stateful_set(parts: PodParts) -> StatefulSet {
    let claim = claim_template(&parts.meta, &parts.volume_size, parts.storage_class_name.clone());
    let (mut meta, selector, service) = (parts.meta.clone(), parts.selector.clone(), parts.service.clone());
    let template = template(meta.labels.clone().unwrap_or_default(), parts);
    annotate(&mut meta, label::TEMPLATE_HASH, hash_of(&template));
    StatefulSet {
        metadata: meta,
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            // With the default, OrderedReady, a pod that never becomes ready is never replaced, not even by the template
            // that would cure it (kubernetes#67250). There is one pod, so nothing else changes by it.
            pod_management_policy: Some("Parallel".into()),
            service_name: Some(service),
            selector: meta::selector(selector),
            template,
            volume_claim_templates: Some(vec![claim]),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".into()),
                when_scaled: Some("Retain".into()),
            }),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// `meta`, noting the key that what is stored under it is sealed with: its volume keeps the note when all else is gone.
pub(crate) fn sealed_with(mut meta: ObjectMeta, key: &ClusterSecret) -> ObjectMeta {
    annotate(&mut meta, label::FINGERPRINT, key.fingerprint());
    meta
}

fn annotate(meta: &mut ObjectMeta, key: &str, value: String) {
    meta.annotations.get_or_insert_default().insert(key.to_owned(), value);
}

/// Says whether two templates are the same to a pod.
fn hash_of(template: &PodTemplateSpec) -> String {
    let bytes = serde_json::to_vec(template).unwrap_or_default();
    short_hash(&bytes)
}

/// 16 hexadecimal digits that change when the bytes do.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    hex::encode(&blake3::hash(bytes).as_bytes()[..8])
}

fn template(labels: Labels, parts: PodParts) -> PodTemplateSpec {
    let annotations = BTreeMap::from([(label::SETTINGS_HASH.to_owned(), parts.settings_hash.clone())]);
    let config = Volume {
        name: "config".into(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(SECRET_MODE),
            sources: Some(parts.files.clone()),
        }),
        ..Volume::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            affinity: parts.affinity.clone(),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security()),
            termination_grace_period_seconds: Some(STOP_GRACE_SECONDS),
            volumes: Some(vec![config]),
            containers: vec![container(parts)],
            ..PodSpec::default()
        }),
    }
}

fn container(parts: PodParts) -> Container {
    let ports = parts.ports.iter().copied().chain([("health", HEALTH_PORT)]);
    Container {
        name: parts.role.into(),
        image: Some(parts.image),
        image_pull_policy: Some(parts.pull_policy.into()),
        command: Some(vec!["datamesh-node".into()]),
        args: Some(vec![
            parts.role.into(),
            "--settings".into(),
            format!("{CONFIG_DIR}/{}", names::SETTINGS_FIELD),
        ]),
        env: Some(vec![env(LOG_VARIABLE, &parts.log_level), pod_address_env("ADVERTISE_HOST")]),
        ports: Some(ports.map(|(name, port)| container_port(name, port)).collect()),
        resources: requirements(&parts.resources),
        security_context: Some(container_security()),
        startup_probe: Some(Probe { failure_threshold: Some(STARTUP_TRIES), ..probe("/livez", 5) }),
        liveness_probe: Some(Probe { failure_threshold: Some(6), ..probe("/livez", 10) }),
        readiness_probe: Some(probe("/readyz", 5)),
        volume_mounts: Some(vec![
            mount("config", CONFIG_DIR, true),
            mount(names::DATA_VOLUME, DATA_DIR, false),
        ]),
        ..Container::default()
    }
}

fn env(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.into()), value_from: None }
}

fn pod_address_env(name: &str) -> EnvVar {
    let field = ObjectFieldSelector { field_path: "status.podIP".into(), api_version: Some("v1".into()) };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.into(), value: None, value_from: Some(source) }
}

fn container_port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port.into(),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("health".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

fn requirements(resources: &Resources) -> Option<ResourceRequirements> {
    let quantities = |amounts: &BTreeMap<String, Amount>| {
        let map = amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.as_str().into())));
        (!amounts.is_empty()).then(|| map.collect())
    };
    Some(ResourceRequirements {
        requests: quantities(&resources.requests),
        limits: quantities(&resources.limits),
        claims: None,
    })
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // Large stores would otherwise be walked file by file at each start.
        fs_group_change_policy: Some("OnRootMismatch".into()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

fn claim_template(meta: &ObjectMeta, size: &Size, class: Option<String>) -> PersistentVolumeClaim {
    // Labels and annotations stay on the claim when all else is deleted: by them it is found again, with its zone and key.
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::DATA_VOLUME.into()),
            labels: meta.labels.clone(),
            annotations: meta.annotations.clone(),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: class,
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), size.quantity())].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// The settings file of `config_map` among the container's files.
pub(crate) fn settings_file(config_map: String) -> VolumeProjection {
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: config_map,
            items: Some(vec![item(names::SETTINGS_FIELD, names::SETTINGS_FIELD)]),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

/// Fields of a Secret among the container's files: (field, path in [`CONFIG_DIR`]).
pub(crate) fn secret_files(secret: String, files: &[(&str, &str)]) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: secret,
            items: Some(files.iter().map(|&(key, path)| item(key, path)).collect()),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.into(), path: path.into(), mode: None }
}
