//! Step 3: the objects of a valid cluster. Pure but for keys and certificates that do not exist yet.

use datamesh_seal::ClusterSecret;
use jiff::civil::Date;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::dereference::Found;
use super::validate::ValidCluster;
use crate::certificates::CertificateError;
use crate::names;
use crate::secrets::NoEntropy;
use crate::volume::{self, Growth};

pub(crate) mod config_map;
mod network_policy;
pub(crate) mod pod_disruption_budget;
pub(crate) mod secret;
mod service;
mod stateful_set;

/// Why objects could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The settings file.
    #[error("cannot write settings: {0}")]
    Settings(#[from] serde_yaml::Error),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A token.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// What shall exist.
pub(crate) struct Objects {
    /// Made once and never changed.
    pub(crate) tokens: Option<Secret>,
    /// Own CA and the gateway's certificate, as far as they are new.
    pub(crate) certificates: Vec<Secret>,
    pub(crate) settings: ConfigMap,
    pub(crate) services: Vec<Service>,
    pub(crate) network_policies: Vec<NetworkPolicy>,
    pub(crate) budget: PodDisruptionBudget,
    pub(crate) growth: Option<Growth>,
    pub(crate) gateway: StatefulSet,
    /// Where all of it belongs.
    pub(crate) namespace: String,
}

/// Builds all of it.
pub(crate) fn build(
    cluster: &ValidCluster,
    found: &Found,
    key: &ClusterSecret,
    today: Date,
) -> Result<Objects, BuildError> {
    let settings_text = config_map::settings(cluster, key).to_yaml()?;
    let gateway = stateful_set::gateway(cluster, key, &settings_text);
    Ok(Objects {
        tokens: secret::tokens(cluster, found)?,
        certificates: secret::certificates(cluster, found, today)?,
        settings: config_map::config_map(cluster, settings_text),
        services: vec![service::gateway(cluster), service::mesh(cluster)],
        network_policies: network_policy::all(cluster),
        budget: pod_disruption_budget::gateway(cluster),
        growth: volume::to_grow(
            &found.volumes,
            &names::gateway(&cluster.family.cluster),
            &cluster.volume_size,
        ),
        gateway: volume::keep_claim_template(gateway, found.gateway.as_ref()),
        namespace: cluster.family.namespace.clone(),
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::cluster::validate::{self, tests::cluster};
    use crate::golden::golden;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn built(found: &Found) -> Objects {
        let key = ClusterSecret::from_hex(KEY).unwrap();
        let valid = validate::validate(&cluster(), found, UnixTime::now()).unwrap();
        build(&valid, found, &key, jiff::civil::date(2030, 1, 1)).unwrap()
    }

    /// What is here in the repository is what runs at users: a difference would restart their gateways.
    #[test]
    fn the_gateway_is_as_it_always_was() {
        let objects = built(&Found::default());
        golden("gateway-stateful-set.yaml", &objects.gateway);
        golden("gateway-settings.yaml", &objects.settings);
    }

    /// What the gateway's settings say of a field, once the spec was changed.
    fn said(field: &str, change: impl FnOnce(&mut datamesh_crds::GatewaySpec)) -> Option<String> {
        let mut cluster = cluster();
        change(&mut cluster.spec.gateway);
        let found = Found::default();
        let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
        let key = ClusterSecret::from_hex(KEY).unwrap();
        let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
        let text = objects.settings.data.unwrap().remove(names::SETTINGS_FIELD).unwrap();
        text.lines().find_map(|line| Some(line.trim().strip_prefix(field)?.strip_prefix(": ")?.to_owned()))
    }

    /// The default is not written: builds that know no cache go on, and a new operator restarts nothing.
    #[test]
    fn the_gateway_is_told_of_its_cache_where_the_spec_says_so() {
        let told =
            |bytes| said("cacheBytes", |gateway| gateway.cache_bytes = datamesh_crds::Size::new(bytes));
        assert_eq!(told("32Mi"), None);
        assert_eq!(told("64Mi").as_deref(), Some("67108864"));
        assert_eq!(told("0").as_deref(), Some("0"));
    }

    /// The same of how long deleted files are kept.
    #[test]
    fn the_gateway_is_told_of_its_retention_where_the_spec_says_so() {
        let told = |span| {
            said("deletedRetentionSeconds", |gateway| {
                gateway.deleted_retention = datamesh_crds::Span::new(span);
            })
        };
        assert_eq!((told("1h"), told("60m")), (None, None));
        assert_eq!(told("36h").as_deref(), Some("129600"));
    }

    /// An operator that knows S3 restarts no gateway by itself, least of all one whose image does not know it.
    #[test]
    fn s3_is_served_where_the_spec_says_so() {
        let mut cluster = cluster();
        let text = |cluster: &datamesh_crds::DataMeshCluster| {
            let found = Found::default();
            let valid = validate::validate(cluster, &found, UnixTime::now()).unwrap();
            let key = ClusterSecret::from_hex(KEY).unwrap();
            let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
            let set = serde_yaml::to_string(&objects.gateway).unwrap();
            let around = serde_yaml::to_string(&(objects.services, objects.network_policies)).unwrap();
            [set, serde_yaml::to_string(&objects.settings).unwrap(), around]
        };
        assert!(text(&cluster).iter().all(|text| !text.contains("9000")));
        cluster.spec.gateway.s3 = Some(datamesh_crds::S3Spec { domain: Some("s3.example.com".into()) });
        let [set, settings, around] = text(&cluster);
        assert!(set.contains("containerPort: 9000") && around.matches("port: 9000").count() == 2, "{around}");
        assert!(settings.contains("listen: 0.0.0.0:9000") && settings.contains("domain: s3.example.com"));
    }

    /// With a database the gateway has its files and may reach it; nothing else changes.
    #[test]
    fn a_catalog_in_postgres_is_mounted_and_reachable() {
        let mut cluster = cluster();
        let spec = serde_json::json!({"postgres": {"secretRef": {"name": "pg"}, "port": 6432}});
        cluster.spec.catalog = Some(serde_json::from_value(spec).unwrap());
        let fields = [("uri", "postgres://u:hunter2@db:6432/dm"), ("ca.crt", "PEM")];
        let secret = Secret { data: crate::secrets::data(&fields), ..Secret::default() };
        let found = Found { database: Some(secret), ..Found::default() };
        let key = ClusterSecret::from_hex(KEY).unwrap();
        let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
        let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
        let set = serde_yaml::to_string(&objects.gateway).unwrap();
        let settings = serde_yaml::to_string(&objects.settings).unwrap();
        assert!(set.contains("catalog-database/ca.crt") && set.contains("name: pg"), "{set}");
        assert!(settings.contains("uriFile: /etc/datamesh/catalog-database/uri"), "{settings}");
        assert!(!set.contains("hunter2") && !settings.contains("hunter2"));
        assert!(serde_yaml::to_string(&objects.network_policies).unwrap().contains("port: 6432"));
    }

    #[test]
    fn what_surrounds_the_gateway_is_as_it_always_was() {
        let objects = built(&Found::default());
        golden("cluster-services.yaml", &objects.services);
        golden("cluster-network-policies.yaml", &objects.network_policies);
        golden("gateway-budget.yaml", &objects.budget);
    }

    #[test]
    fn building_again_changes_no_template() {
        let first = built(&Found::default());
        let mut live = first.gateway.clone();
        live.metadata.uid = Some("u".into());
        let second = built(&Found { gateway: Some(live), ..Found::default() });
        assert_eq!(first.gateway, second.gateway);
    }

    #[test]
    fn a_larger_volume_leaves_the_claim_template_alone() {
        let live = built(&Found::default()).gateway;
        let mut larger = cluster();
        larger.spec.gateway.volume_size = datamesh_crds::Size::new("9Gi");
        let found = Found { gateway: Some(live.clone()), ..Found::default() };
        let valid = validate::validate(&larger, &found, UnixTime::now()).unwrap();
        let key = ClusterSecret::from_hex(KEY).unwrap();
        let again = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
        let templates = |set: &StatefulSet| set.spec.as_ref().unwrap().volume_claim_templates.clone();
        assert_eq!(templates(&again.gateway), templates(&live));
    }

    #[test]
    fn secrets_are_made_once() {
        let first = built(&Found::default());
        let [ca, tls] = <[Secret; 2]>::try_from(first.certificates).unwrap();
        let found = Found { tokens: first.tokens, ca: Some(ca), tls: Some(tls), ..Found::default() };
        let second = built(&found);
        assert!(second.tokens.is_none() && second.certificates.is_empty());
    }

    #[test]
    fn certificates_are_renewed_in_time_and_for_new_names() {
        let first = built(&Found::default());
        let [ca, tls] = <[Secret; 2]>::try_from(first.certificates).unwrap();
        let found = Found { ca: Some(ca), tls: Some(tls), ..Found::default() };
        let valid = validate::validate(&cluster(), &found, UnixTime::now()).unwrap();
        let names = |found: &Found, day| -> Vec<String> {
            let made = secret::certificates(&valid, found, day).unwrap();
            made.iter().map(|secret| secret.metadata.name.clone().unwrap()).collect()
        };
        assert!(names(&found, jiff::civil::date(2030, 2, 20)).is_empty());
        assert_eq!(names(&found, jiff::civil::date(2030, 3, 10)), ["demo-gateway-tls"]);
        assert_eq!(names(&found, jiff::civil::date(2039, 6, 1)), ["demo-ca", "demo-gateway-tls"]);
        let moved = Found { addresses: vec!["172.30.0.2".into()], ..found };
        assert_eq!(names(&moved, jiff::civil::date(2030, 2, 20)), ["demo-gateway-tls"]);
    }
}
