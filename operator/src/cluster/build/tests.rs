use rustls::pki_types::UnixTime;

use super::*;
use crate::cluster::validate::{self, tests::cluster};
use crate::golden::golden;
use crate::names;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn built(found: &Found) -> Objects {
    built_of(1, found)
}

/// A cluster with so many gateways.
pub(crate) fn valid_of(gateways: i32, found: &Found) -> ValidCluster {
    let mut cluster = cluster();
    cluster.spec.gateway.replicas = gateways;
    validate::validate(&cluster, found, UnixTime::now()).unwrap()
}

/// The gateways of a cluster, without its certificates, which take time to make.
pub(crate) fn gateways_of(cluster: &ValidCluster, found: &Found) -> Vec<GatewayObjects> {
    gateways(cluster, found, &ClusterSecret::from_hex(KEY).unwrap()).unwrap()
}

/// The objects of a cluster with so many gateways.
pub(crate) fn built_of(gateways: i32, found: &Found) -> Objects {
    let key = ClusterSecret::from_hex(KEY).unwrap();
    build(&valid_of(gateways, found), found, &key, jiff::civil::date(2030, 1, 1)).unwrap()
}

/// What is here in the repository is what runs at users: a difference would restart their gateways.
#[test]
fn the_gateway_is_as_it_always_was() {
    let objects = built(&Found::default());
    golden("gateway-stateful-set.yaml", &objects.gateways[0].stateful_set);
    golden("gateway-settings.yaml", &objects.gateways[0].settings);
}

/// What the gateway's settings say of a field, once the spec was changed.
fn said(field: &str, change: impl FnOnce(&mut datamesh_crds::GatewaySpec)) -> Option<String> {
    let mut cluster = cluster();
    change(&mut cluster.spec.gateway);
    let found = Found::default();
    let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let mut objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
    let text = objects.gateways.remove(0).settings.data.unwrap().remove(names::SETTINGS_FIELD).unwrap();
    text.lines().find_map(|line| Some(line.trim().strip_prefix(field)?.strip_prefix(": ")?.to_owned()))
}

/// The default is not written: builds that know no cache go on, and a new operator restarts nothing.
#[test]
fn the_gateway_is_told_of_its_cache_where_the_spec_says_so() {
    let told = |bytes| said("cacheBytes", |gateway| gateway.cache_bytes = datamesh_crds::Size::new(bytes));
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

/// And of how long the audit is.
#[test]
fn the_gateway_is_told_how_long_the_audit_is_kept_where_the_spec_says_so() {
    let told = |span| {
        said("auditRetentionSeconds", |gateway| gateway.audit_retention = datamesh_crds::Span::new(span))
    };
    assert_eq!((told("9600h"), told("576000m")), (None, None));
    assert_eq!(told("720h").as_deref(), Some("2592000"));
}

/// And of what to restore.
#[test]
fn the_gateway_is_told_what_to_restore_where_the_spec_says_so() {
    let told = |wish: Option<&str>| said("restore", |gateway| gateway.restore = wish.map(str::to_owned));
    assert_eq!(told(None), None);
    assert_eq!(told(Some("newest")).as_deref(), Some("newest"));
}

/// And of no backups, where none are wanted.
#[test]
fn the_gateway_makes_backups_unless_the_spec_says_otherwise() {
    let told = |wanted| said("catalogBackups", |gateway| gateway.catalog_backups = wanted);
    assert_eq!(told(datamesh_crds::CatalogBackups::Mesh), None);
    assert_eq!(told(datamesh_crds::CatalogBackups::Off).as_deref(), Some("Off"));
}

/// The same of how many requests it takes.
#[test]
fn the_gateway_is_told_of_its_limits_where_the_spec_says_so() {
    use datamesh_crds::{PortLimitsSpec, RequestLimitsSpec, RequestRateSpec};
    let told = |known| {
        let rest = Some(PortLimitsSpec { known, ..PortLimitsSpec::default() });
        let limits = Some(RequestLimitsSpec { rest, s3: None });
        said("burst", |gateway| gateway.request_limits = limits)
    };
    assert_eq!(told(None), None, "what is as usual is not written");
    assert_eq!(told(Some(RequestRateSpec { burst: 200_000, per_second: 50_000 })), None);
    // What is left out is written too: strangers come first.
    assert_eq!(told(Some(RequestRateSpec { burst: 300, per_second: 100 })).as_deref(), Some("2000"));
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
        let set = serde_yaml::to_string(&objects.gateways[0].stateful_set).unwrap();
        let around = serde_yaml::to_string(&(objects.services, objects.network_policies)).unwrap();
        [set, serde_yaml::to_string(&objects.gateways[0].settings).unwrap(), around]
    };
    assert!(text(&cluster).iter().all(|text| !text.contains("9000")));
    cluster.spec.gateway.s3 = Some(datamesh_crds::S3Spec { domain: Some("s3.example.com".into()) });
    let [set, settings, around] = text(&cluster);
    assert!(set.contains("containerPort: 9000") && around.matches("port: 9000").count() == 2, "{around}");
    assert!(settings.contains("listen: 0.0.0.0:9000") && settings.contains("domain: s3.example.com"));
}

/// Only the Service of clients: nodes have none from outside.
#[test]
fn traffic_from_outside_keeps_its_address_where_the_spec_says_so() {
    use datamesh_crds::{Exposure, ExposureType, ExternalTrafficPolicy};
    let mut cluster = cluster();
    cluster.spec.gateway.exposure = Exposure {
        type_: ExposureType::NodePort,
        node_port: None,
        external_traffic_policy: Some(ExternalTrafficPolicy::Local),
    };
    let found = Found::default();
    let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
    let services = serde_yaml::to_string(&objects.services).unwrap();
    assert_eq!(services.matches("externalTrafficPolicy: Local").count(), 1, "{services}");
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
    let set = serde_yaml::to_string(&objects.gateways[0].stateful_set).unwrap();
    let settings = serde_yaml::to_string(&objects.gateways[0].settings).unwrap();
    assert!(set.contains("catalog-database/ca.crt") && set.contains("name: pg"), "{set}");
    assert!(settings.contains("uriFile: /etc/datamesh/catalog-database/uri"), "{settings}");
    assert!(!set.contains("hunter2") && !settings.contains("hunter2"));
    assert!(serde_yaml::to_string(&objects.network_policies).unwrap().contains("port: 6432"));
}

/// Back on the gateways' volumes it is by way of the first one's, which is told of the others once it has it.
#[test]
fn a_catalog_comes_back_to_several_gateways_by_way_of_the_first() {
    let mut cluster = cluster();
    cluster.spec.gateway.replicas = 3;
    let spec = serde_json::json!({"postgres": {"secretRef": {"name": "pg"}}, "keptBy": "Gateways"});
    cluster.spec.catalog = Some(serde_json::from_value(spec).unwrap());
    let secret = Secret {
        data: crate::secrets::data(&[("uri", "postgres://u:p@db/dm?sslmode=disable")]),
        ..Secret::default()
    };
    let found = Found { database: Some(secret), ..Found::default() };
    let key = ClusterSecret::from_hex(KEY).unwrap();
    for (kept, moves, told) in [
        (datamesh_crds::CatalogKeeper::Postgres, true, None),
        (datamesh_crds::CatalogKeeper::Gateways, false, Some("3")),
    ] {
        let status =
            datamesh_crds::DataMeshClusterStatus { catalog_kept_by: Some(kept), ..Default::default() };
        let cluster = datamesh_crds::DataMeshCluster { status: Some(status), ..cluster.clone() };
        let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
        let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
        assert_eq!(objects.gateways.len(), 3);
        for gateway in &objects.gateways {
            let settings = serde_yaml::to_string(&gateway.settings).unwrap();
            let first = settings.find("- node: demo-gateway\n").unwrap();
            assert!(first < settings.find("- node: demo-gateway-2\n").unwrap(), "{settings}");
            assert_eq!(settings.contains("catalogMove: FromDatabase"), moves, "{settings}");
            assert_eq!(settings.contains("catalog-database/uri"), moves, "{settings}");
            let annotations = gateway.stateful_set.metadata.annotations.as_ref().unwrap();
            let told_of = annotations.get(datamesh_crds::label::GATEWAYS_TOLD).map(String::as_str);
            assert_eq!(told_of, told);
            assert_eq!(gateway.is_on_volumes, !moves);
        }
    }
}

/// The same of webhooks: their Secrets' fields are files, and their ports are open outward.
#[test]
fn webhooks_are_in_the_settings_and_reachable() {
    use crate::cluster::given_files::tests::{authority, secret};
    let mut cluster = cluster();
    let target = |name: &str, url: &str, secret: Option<&str>| datamesh_crds::NotificationTargetSpec {
        name: name.into(),
        url: url.into(),
        secret_ref: secret.map(|name| datamesh_crds::SecretRef { name: name.into() }),
    };
    cluster.spec.gateway.notifications = vec![
        target("hook", "https://hooks.example.org:8443/x", Some("hooks")),
        target("other", "https://hooks.example.org:8443/y", None),
    ];
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let built = |fields: &[(&str, &str)]| {
        let found = Found { given: [("hooks".to_owned(), secret(fields))].into(), ..Found::default() };
        let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
        let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
        let set = serde_yaml::to_string(&objects.gateways[0].stateful_set).unwrap();
        let settings = serde_yaml::to_string(&objects.gateways[0].settings).unwrap();
        [set, settings, serde_yaml::to_string(&objects.network_policies).unwrap()]
    };
    let [set, settings, policies] = built(&[("secret", "hunter2")]);
    assert!(set.contains("notifications/hook/secret") && set.contains("name: hooks"), "{set}");
    assert!(!set.contains("ca.crt") && !set.contains("hunter2") && !settings.contains("hunter2"));
    assert!(settings.contains("secretFile: /etc/datamesh/notifications/hook/secret"), "{settings}");
    assert!(settings.contains("url: https://hooks.example.org:8443/y"), "{settings}");
    assert_eq!(
        policies.matches("port: 8443").count(),
        2,
        "one for clients, one for both webhooks: {policies}"
    );
    assert_eq!(built(&[("secret", "hunter3")])[0], set, "the secret is read for each message");
    let ca = authority();
    let anew = built(&[("ca.crt", &format!("{ca}{ca}"))]);
    assert_ne!(built(&[("ca.crt", &ca)])[0], anew[0], "authorities are read at the start");
    let refused = validate::validate(&cluster, &Found::default(), UnixTime::now()).err().unwrap().to_string();
    assert!(refused.contains("gateway.notifications: hook names Secret hooks"), "{refused}");
}

/// What is given for mail and providers is mounted, named in the settings and reachable; a new authority starts the gateway anew, a new
/// password does not.
#[test]
fn mail_and_providers_are_mounted_and_reachable() {
    use crate::cluster::given_files::tests::{authority, secret};
    let mut cluster = cluster();
    let gateway = &mut cluster.spec.gateway;
    gateway.public_url = Some("https://files.example.com".into());
    let mail = serde_json::json!({"host": "smtp.example.com", "from": "d@example.com", "secretRef": {"name": "smtp"}});
    gateway.mail = Some(serde_json::from_value(mail).unwrap());
    let provider = serde_json::json!({
        "name": "work", "issuer": "https://id.example.com", "clientId": "datamesh", "secretRef": {"name": "id"},
        "roles": {"claim": "groups", "map": {"admins": "admin"}}, "register": true,
        "groups": {"claim": "teams", "map": {"developers": "devs"}},
    });
    gateway.oidc = vec![serde_json::from_value(provider).unwrap()];
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let text = |password: &str, authorities: &str| {
        let smtp = secret(&[("user", "u"), ("password", password), ("ca.crt", authorities)]);
        let given =
            [("smtp".to_owned(), smtp), ("id".to_owned(), secret(&[("client-secret", "hunter3")]))].into();
        let found = Found { given, ..Found::default() };
        let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
        let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
        let yaml = |settings| serde_yaml::to_string(settings).unwrap();
        let around = serde_yaml::to_string(&objects.network_policies).unwrap();
        let set = serde_yaml::to_string(&objects.gateways[0].stateful_set).unwrap();
        [set, yaml(&objects.gateways[0].settings), around]
    };
    let ca = authority();
    let [set, settings, around] = text("hunter2", &ca);
    for path in ["mail/password", "mail/ca.crt", "oidc/work/client-secret"] {
        assert!(set.contains(&format!("path: {path}")), "{set}");
        assert!(settings.contains(&format!("/etc/datamesh/{path}")), "{settings}");
    }
    for line in [
        "publicUrl: https://files.example.com",
        "admins: admin",
        "developers: devs",
        "register: true",
        "tls: starttls",
    ] {
        assert!(settings.contains(line), "{settings}");
    }
    assert!(around.contains("port: 587") && around.contains("port: 443"), "{around}");
    assert!(!format!("{set}{settings}{around}").contains("hunter"));
    assert_eq!(text("another", &ca)[0], set, "a password is read for each mail");
    assert_ne!(text("hunter2", &format!("{ca}{ca}"))[0], set, "authorities are read at the start");
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
    let mut live = first.gateways[0].stateful_set.clone();
    live.metadata.uid = Some("u".into());
    let second = built(&Found { gateways: vec![live], ..Found::default() });
    assert_eq!(first.gateways[0].stateful_set, second.gateways[0].stateful_set);
}

#[test]
fn a_larger_volume_leaves_the_claim_template_alone() {
    let live = built(&Found::default()).gateways.remove(0).stateful_set;
    let mut larger = cluster();
    larger.spec.gateway.volume_size = datamesh_crds::Size::new("9Gi");
    let found = Found { gateways: vec![live.clone()], ..Found::default() };
    let valid = validate::validate(&larger, &found, UnixTime::now()).unwrap();
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let again = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
    let templates = |set: &StatefulSet| set.spec.as_ref().unwrap().volume_claim_templates.clone();
    assert_eq!(templates(&again.gateways[0].stateful_set), templates(&live));
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

/// Three gateways: each with a StatefulSet, settings and a volume of its own, around them what is around one.
#[test]
fn three_gateways_are_as_they_always_were() {
    let (one, three) = (built(&Found::default()), built_of(3, &Found::default()));
    let sets: Vec<_> = three.gateways.iter().map(|gateway| &gateway.stateful_set).collect();
    golden("gateways-stateful-sets.yaml", &sets);
    let settings: Vec<_> = three.gateways.iter().map(|gateway| &gateway.settings).collect();
    golden("gateways-settings.yaml", &settings);
    assert_eq!(one.services, three.services);
    assert_eq!(one.network_policies, three.network_policies);
    assert_eq!(one.budget, three.budget);
}

/// A selector can never change: the second gateway must not ask for another one of the first.
#[test]
fn the_first_gateway_stays_the_same_object_when_others_come() {
    let spec = |objects: &Objects| objects.gateways[0].stateful_set.spec.clone().unwrap();
    let (one, three) = (spec(&built(&Found::default())), spec(&built_of(3, &Found::default())));
    assert_eq!(one.selector, three.selector);
    assert_eq!(one.service_name, three.service_name);
    assert_eq!(one.volume_claim_templates, three.volume_claim_templates);
    assert_eq!(one.template.metadata.unwrap().labels, three.template.metadata.unwrap().labels);
}

/// A StatefulSet's controller takes a pod that its selector matches and that is named after it. Each pod has one that does.
#[test]
fn every_gateways_pod_is_taken_by_its_own_stateful_set_only() {
    let gateways = built_of(5, &Found::default()).gateways;
    for pod in &gateways {
        let (pod_name, template) =
            (crate::names::pod(&pod.name()), pod.stateful_set.spec.clone().unwrap().template);
        let labels = template.metadata.unwrap().labels.unwrap();
        let takes = |set: &StatefulSet| {
            let selector = set.spec.clone().unwrap().selector.match_labels.unwrap();
            let named_after = pod_name.rsplit_once('-').unwrap().0 == set.name_any();
            named_after && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let takers: Vec<String> = gateways
            .iter()
            .map(|other| &other.stateful_set)
            .filter(|set| takes(set))
            .map(ResourceExt::name_any)
            .collect();
        assert_eq!(takers, [pod.name()]);
    }
}

/// Services, policies and the disruption budget are for the pods of all gateways.
#[test]
fn what_selects_the_first_gateway_selects_all() {
    let objects = built_of(3, &Found::default());
    let budget = objects.budget.spec.unwrap().selector.unwrap().match_labels.unwrap();
    let services = objects.services.into_iter().map(|service| service.spec.unwrap().selector.unwrap());
    let selectors: Vec<_> = services.chain([budget]).collect();
    for gateway in &objects.gateways {
        let labels = gateway.stateful_set.spec.clone().unwrap().template.metadata.unwrap().labels.unwrap();
        for selector in &selectors {
            assert!(
                selector.iter().all(|(key, value)| labels.get(key) == Some(value)),
                "{selector:?} of {labels:?}"
            );
        }
    }
}

/// Where copies of backups go is in the settings and reachable. Its Secret stops neither the operator nor a pod.
#[test]
fn copies_of_backups_are_mounted_whether_their_secret_is_there_or_not() {
    let mut cluster = cluster();
    let spec = serde_json::json!({
        "endpoint": "https://s3.example.com:9443", "bucket": "copies", "secretRef": {"name": "offsite"}, "keep": "48h",
    });
    cluster.spec.gateway.backup_copies = Some(serde_json::from_value(spec).unwrap());
    cluster.spec.gateway.restore = Some("newest".into());
    cluster.spec.gateway.restore_from = datamesh_crds::RestoreFrom::Copies;
    let key = ClusterSecret::from_hex(KEY).unwrap();
    let found = Found::default();
    let valid = validate::validate(&cluster, &found, UnixTime::now()).unwrap();
    let objects = build(&valid, &found, &key, jiff::civil::date(2030, 1, 1)).unwrap();
    let set = serde_yaml::to_string(&objects.gateways[0].stateful_set).unwrap();
    assert!(set.contains("path: backup-copies/secretAccessKey") && set.contains("optional: true"), "{set}");
    let settings = serde_yaml::to_string(&objects.gateways[0].settings).unwrap();
    for line in ["caFile: /etc/datamesh/backup-copies/ca.crt", "keepSeconds: 172800", "restoreFrom: Copies"] {
        assert!(settings.contains(line), "{settings}");
    }
    assert!(serde_yaml::to_string(&objects.network_policies).unwrap().contains("port: 9443"));
}
