//! Every rule refuses what it should, with a message that says what to change, and accepts what it should.

// Clippy exempts tests, but not the functions beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "rules/catalog.rs"]
mod catalog;

use datamesh_crds::{CatalogBackups, DataMeshCluster, StoragePool};
use kube::core::cel::ValidationErrors;

const POOL: &str = "
apiVersion: datamesh.io/v1alpha1
kind: StoragePool
metadata: {name: main}
spec:
  clusterRef: demo
  replicas: 6
  erasure: {dataShards: 4, parityShards: 2}
  volumeSize: 10Gi
";

const CLUSTER: &str = "
apiVersion: datamesh.io/v1alpha1
kind: DataMeshCluster
metadata: {name: demo}
spec:
  image: {repository: datamesh, tag: dev}
  gateway: {volumeSize: 2Gi}
";

/// The object of `text` with the value at each JSON pointer replaced or added.
fn with<T: serde::de::DeserializeOwned>(text: &str, changes: &[(&str, serde_json::Value)]) -> T {
    let mut value: serde_json::Value = serde_yaml::from_str(text).unwrap();
    for (pointer, new) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut at = &mut value;
        for step in parent.split('/').skip(1) {
            at = &mut at[step];
        }
        at[key] = new.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn pool(changes: &[(&str, serde_json::Value)]) -> StoragePool {
    with(POOL, changes)
}

fn cluster(changes: &[(&str, serde_json::Value)]) -> DataMeshCluster {
    with(CLUSTER, changes)
}

fn refused(result: Result<(), ValidationErrors>, message_part: &str) {
    let errors = result.expect_err(message_part).to_string();
    assert!(errors.contains(message_part), "{errors:?} should say {message_part:?}");
}

#[test]
fn the_examples_are_accepted() {
    pool(&[]).validate_cel().unwrap();
    cluster(&[]).validate_cel().unwrap();
    pool(&[]).validate_cel_update(&pool(&[])).unwrap();
    cluster(&[]).validate_cel_update(&cluster(&[])).unwrap();
}

#[test]
fn data_and_parity_have_limits() {
    for k in [0, 17] {
        refused(pool(&[("/spec/erasure/dataShards", k.into())]).validate_cel(), "dataShards: choose 1 to 16");
    }
    for m in [0, 9] {
        refused(
            pool(&[("/spec/erasure/parityShards", m.into())]).validate_cel(),
            "parityShards: choose 1 to 8",
        );
    }
    let widest = [
        ("/spec/erasure/dataShards", 16.into()),
        ("/spec/erasure/parityShards", 8.into()),
        ("/spec/replicas", 24.into()),
    ];
    pool(&widest).validate_cel().unwrap();
}

#[test]
fn every_shard_needs_its_own_node() {
    refused(pool(&[("/spec/replicas", 5.into())]).validate_cel(), "raise replicas to at least");
    refused(pool(&[("/spec/replicas", 1001.into())]).validate_cel(), "replicas: 2 to 1000 nodes");
}

#[test]
fn a_single_parity_shard_is_a_conscious_choice() {
    let one_parity = ("/spec/erasure/parityShards", 1.into());
    let unsaid = std::slice::from_ref(&one_parity);
    refused(pool(unsaid).validate_cel(), "set ackShards to the value of dataShards");
    refused(pool(&[one_parity.clone(), ("/spec/ackShards", 5.into())]).validate_cel(), "set ackShards");
    pool(&[one_parity, ("/spec/ackShards", 4.into())]).validate_cel().unwrap();
}

#[test]
fn ack_shards_stay_between_one_more_loss_and_all() {
    for ack in [0, 4, 7] {
        refused(
            pool(&[("/spec/ackShards", ack.into())]).validate_cel(),
            "ackShards: choose from dataShards + 1",
        );
    }
    for ack in [5, 6] {
        pool(&[("/spec/ackShards", ack.into())]).validate_cel().unwrap();
    }
}

#[test]
fn names_leave_room_for_what_is_made_from_them() {
    for name in ["a".repeat(21), "1a".into(), "a.b".into(), "a-".into()] {
        refused(pool(&[("/metadata/name", name.into())]).validate_cel(), "at most 20 characters");
    }
    for name in ["a".repeat(25), "1a".into(), "a.b".into()] {
        refused(cluster(&[("/metadata/name", name.into())]).validate_cel(), "at most 24 characters");
    }
    for name in ["gateway", "x-gateway"] {
        refused(pool(&[("/metadata/name", name.into())]).validate_cel(), "choose another one");
    }
    pool(&[("/metadata/name", "gateways".into())]).validate_cel().unwrap();
    pool(&[("/metadata/name", "a".repeat(20).into())]).validate_cel().unwrap();
    cluster(&[("/metadata/name", "a".repeat(24).into())]).validate_cel().unwrap();
}

#[test]
fn a_pool_names_its_cluster_as_a_cluster_can_be_named() {
    for name in ["demo-".into(), "1a".into(), "a,b=c".into(), "a".repeat(25)] {
        refused(pool(&[("/spec/clusterRef", name.into())]).validate_cel(), "clusterRef: write the name");
    }
    for name in ["a".into(), "a-1".into(), "a".repeat(24)] {
        pool(&[("/spec/clusterRef", name.into())]).validate_cel().unwrap();
    }
}

#[test]
fn levels_are_ones_every_process_can_read() {
    for level in
        ["loud", "INFO", "info,", ",info", "info,,warn", "a=b", "a=", "=info", "info, warn", "a[b]=info"]
    {
        refused(
            cluster(&[("/spec/logLevel", level.into())]).validate_cel(),
            "like info,datamesh_store=debug",
        );
    }
    for level in ["off", "error", "warn", "info", "debug", "trace", "info,datamesh_mesh::swarm=trace,h2=off"]
    {
        cluster(&[("/spec/logLevel", level.into())]).validate_cel().unwrap();
    }
}

#[test]
fn an_image_is_one_that_can_be_pulled() {
    for repository in
        ["", "Datamesh", "datamesh:dev", "https://a/b", "a//b", "/a", "a/", "a b", "a..b/c", "a/b@sha256:0"]
    {
        let refusal = cluster(&[("/spec/image/repository", repository.into())]).validate_cel();
        refused(refusal, "image.repository: write registry and name");
    }
    for repository in [
        "datamesh",
        "localhost:5000/datamesh",
        "Registry.example.com/a/b_c__d-e.f",
        "10.0.0.1:5000/a",
        "a/b/c",
    ] {
        cluster(&[("/spec/image/repository", repository.into())]).validate_cel().unwrap();
    }
    let digest = format!("sha256:{}", "0a".repeat(32));
    for tag in ["", "-a", "a:b", "sha256:00", "a/b", "a b", &digest[..70]] {
        refused(cluster(&[("/spec/image/tag", tag.into())]).validate_cel(), "image.tag: write a tag");
    }
    for tag in ["dev", "v1.2.3-rc_1", "1", &digest] {
        cluster(&[("/spec/image/tag", tag.into())]).validate_cel().unwrap();
    }
}

#[test]
fn volumes_have_a_least_size_and_do_not_shrink() {
    refused(pool(&[("/spec/volumeSize", "900Mi".into())]).validate_cel(), "volumeSize: at least 1Gi");
    refused(
        cluster(&[("/spec/gateway/volumeSize", "1M".into())]).validate_cel(),
        "gateway.volumeSize: at least 1Gi",
    );
    let smaller = pool(&[("/spec/volumeSize", "9Gi".into())]);
    refused(smaller.validate_cel_update(&pool(&[])), "a volume cannot shrink");
    let smaller = cluster(&[("/spec/gateway/volumeSize", "1Gi".into())]);
    refused(smaller.validate_cel_update(&cluster(&[])), "a volume cannot shrink");
    pool(&[("/spec/volumeSize", "11Gi".into())]).validate_cel_update(&pool(&[])).unwrap();
}

#[test]
fn the_reserve_is_a_part_of_the_volume() {
    refused(
        pool(&[("/spec/reserve", "10Gi".into())]).validate_cel(),
        "reserve: must be less than volumeSize",
    );
    pool(&[("/spec/reserve", "1Gi".into())]).validate_cel().unwrap();
}

#[test]
fn what_volumes_depend_on_is_immutable() {
    let before = pool(&[]);
    let cases = [
        ("/spec/clusterRef", serde_json::json!("other"), "clusterRef: cannot change"),
        ("/spec/cipher", "ChaCha20-Poly1305".into(), "cipher: cannot change"),
        ("/spec/storageClassName", "fast".into(), "storageClassName: cannot change"),
    ];
    for (pointer, value, message) in cases {
        refused(pool(&[(pointer, value)]).validate_cel_update(&before), message);
    }
    let fast = [("/spec/storageClassName", "fast".into())];
    pool(&fast).validate_cel_update(&pool(&fast)).unwrap();
    refused(before.validate_cel_update(&pool(&fast)), "storageClassName: cannot change");
}

#[test]
fn nodes_are_added_and_taken_away_down_to_one_for_each_shard() {
    let more = pool(&[("/spec/replicas", 7.into())]);
    more.validate_cel_update(&pool(&[])).unwrap();
    pool(&[]).validate_cel_update(&more).unwrap();
    refused(pool(&[("/spec/replicas", 5.into())]).validate_cel_update(&more), "raise replicas to at least");
}

/// A cluster with so many gateways.
fn gateways(replicas: i32) -> DataMeshCluster {
    cluster(&[("/spec/gateway/replicas", replicas.into())])
}

#[test]
fn gateways_are_an_odd_few() {
    for replicas in [1, 3, 5] {
        gateways(replicas).validate_cel().unwrap();
    }
    for replicas in [-1, 0, 2, 4, 6, 7] {
        refused(gateways(replicas).validate_cel(), "gateway.replicas: 1, 3 or 5");
    }
}

#[test]
fn gateways_become_more_and_fewer() {
    for before in [1, 3, 5] {
        for after in [1, 3, 5] {
            gateways(after).validate_cel_update(&gateways(before)).unwrap();
        }
        refused(gateways(2).validate_cel_update(&gateways(before)), "gateway.replicas: 1, 3 or 5");
    }
}

#[test]
fn node_ports_go_with_their_type() {
    let port = ("/spec/gateway/exposure", serde_json::json!({"nodePort": 30443}));
    refused(cluster(&[port]).validate_cel(), "only with type NodePort");
    let port = ("/spec/gateway/exposure", serde_json::json!({"type": "NodePort", "nodePort": 70000}));
    refused(cluster(&[port]).validate_cel(), "a port is 1 to 65535");
    let port = ("/spec/gateway/exposure", serde_json::json!({"type": "NodePort", "nodePort": 30443}));
    cluster(&[port]).validate_cel().unwrap();
}

#[test]
fn traffic_from_outside_goes_with_a_type_that_has_any() {
    let local = |type_: &str| {
        let exposure = serde_json::json!({"type": type_, "externalTrafficPolicy": "Local"});
        cluster(&[("/spec/gateway/exposure", exposure)])
    };
    refused(
        local("ClusterIP").validate_cel(),
        "externalTrafficPolicy: only with type NodePort or LoadBalancer",
    );
    local("NodePort").validate_cel().unwrap();
    local("LoadBalancer").validate_cel().unwrap();
}

#[test]
fn buffers_hold_a_few_segments() {
    refused(
        cluster(&[("/spec/gateway/bufferBytes", "8Mi".into())]).validate_cel(),
        "bufferBytes: at least 32Mi",
    );
}

#[test]
fn request_limits_let_somebody_through() {
    let with = |burst: i64, per_second: i64| {
        let limits = serde_json::json!({ "s3": { "known": { "burst": burst, "perSecond": per_second } } });
        cluster(&[("/spec/gateway/requestLimits", limits)]).validate_cel()
    };
    for (burst, per_second) in [(0, 0), (1, 0), (4, 5), (-1, -1), (10_000_001, 1)] {
        refused(with(burst, per_second), "gateway.requestLimits: perSecond is at least 1");
    }
    for (burst, per_second) in [(1, 1), (10_000_000, 10_000_000)] {
        with(burst, per_second).unwrap();
    }
}

#[test]
fn a_cache_holds_a_few_segments_or_none() {
    let with = |bytes: &str| cluster(&[("/spec/gateway/cacheBytes", bytes.into())]).validate_cel();
    for bytes in ["1", "8Mi", "16777215"] {
        refused(with(bytes), "gateway.cacheBytes: 0 for no cache, or at least 16Mi");
    }
    for bytes in ["0", "0Mi", "16Mi", "2Gi"] {
        with(bytes).unwrap();
    }
}

#[test]
fn a_scrub_ends_and_rests() {
    let with = |field: &str, text: &str| {
        pool(&[("/spec/scrub", serde_json::json!({})), (&format!("/spec/scrub/{field}"), text.into())])
            .validate_cel()
    };
    for span in ["0s", "59m59s", "8760h1s"] {
        refused(with("period", span), "scrub.period: choose 1h to 8760h");
    }
    for bytes in ["0", "1023Ki"] {
        refused(with("maxBytesPerSecond", bytes), "scrub.maxBytesPerSecond: at least 1Mi");
    }
    for (field, text) in [("period", "1h"), ("period", "8760h"), ("maxBytesPerSecond", "1Mi")] {
        with(field, text).unwrap();
    }
    let usual = pool(&[]).spec.scrub;
    assert_eq!((usual.period.as_str(), usual.paused, usual.max_bytes_per_second), ("336h", false, None));
}

#[test]
fn what_is_deleted_is_kept_for_reads_under_way() {
    let with = |span: &str| cluster(&[("/spec/gateway/deletedRetention", span.into())]).validate_cel();
    for span in ["0s", "599s", "9m59s", "8760h1s", "999999h"] {
        refused(with(span), "gateway.deletedRetention: at least 10m");
    }
    for span in ["10m", "600s", "1h30m", "336h", "8760h"] {
        with(span).unwrap();
    }
    assert_eq!(cluster(&[]).spec.gateway.deleted_retention.as_str(), "1h");
}

#[test]
fn the_audit_is_kept_for_a_day_to_ten_years() {
    let with = |span: &str| cluster(&[("/spec/gateway/auditRetention", span.into())]).validate_cel();
    for span in ["0s", "23h59m59s", "87600h1s", "999999h"] {
        refused(with(span), "gateway.auditRetention: at least 24h");
    }
    for span in ["24h", "1440m", "720h", "17520h", "87600h"] {
        with(span).unwrap();
    }
    assert_eq!(cluster(&[]).spec.gateway.audit_retention.as_str(), "9600h");
}

#[test]
fn the_catalog_is_backed_up_into_the_mesh_unless_that_is_off() {
    let with =
        |text: &str| cluster(&[("/spec/gateway/catalogBackups", text.into())]).spec.gateway.catalog_backups;
    assert_eq!(cluster(&[]).spec.gateway.catalog_backups, CatalogBackups::Mesh);
    assert_eq!((with("Mesh"), with("Off")), (CatalogBackups::Mesh, CatalogBackups::Off));
}

#[test]
fn what_to_restore_is_the_newest_or_a_time() {
    let with = |text: &str| cluster(&[("/spec/gateway/restore", text.into())]).validate_cel();
    for text in ["oldest", "2026-11-30", "2026-11-30T02:00Z", "newest ", "newest#"] {
        refused(with(text), "gateway.restore: write newest, or a time");
    }
    for text in ["newest", "newest#2", "2026-11-30T02:00:00Z", "2026-11-30T02:00:00.5+01:00#again"] {
        with(text).unwrap();
    }
}

#[test]
fn what_the_cluster_stands_on_is_immutable() {
    let before = cluster(&[]);
    refused(
        cluster(&[("/spec/zoneLabel", "rack".into())]).validate_cel_update(&before),
        "zoneLabel: cannot change",
    );
    let other = cluster(&[("/spec/gateway/storageClassName", "fast".into())]);
    refused(other.validate_cel_update(&before), "gateway.storageClassName: cannot change");
}

#[test]
fn the_erasure_profile_may_change_and_old_data_may_be_coded_anew() {
    let before = pool(&[]);
    let narrow = [
        ("/spec/erasure/dataShards", 2.into()),
        ("/spec/erasure/parityShards", 1.into()),
        ("/spec/ackShards", 2.into()),
        ("/spec/recode", serde_json::json!({"enabled": true})),
    ];
    pool(&narrow).validate_cel_update(&before).unwrap();
    let wide = pool(&[("/spec/erasure/dataShards", 8.into())]);
    refused(wide.validate_cel_update(&before), "raise replicas to at least");
    assert!(!before.spec.recode.enabled, "data stays as it is unless it is asked for");
    let limited = |bytes: &str| {
        pool(&[("/spec/recode", serde_json::json!({"enabled": true, "maxBytesPerSecond": bytes}))])
            .validate_cel()
    };
    refused(limited("1023Ki"), "recode.maxBytesPerSecond: at least 1Mi");
    limited("1Mi").unwrap();
}

#[test]
fn a_domain_of_s3_is_a_dns_name() {
    cluster(&[("/spec/gateway/s3", serde_json::json!({}))]).validate_cel().unwrap();
    cluster(&[("/spec/gateway/s3", serde_json::json!({"domain": "s3.example.com"}))]).validate_cel().unwrap();
    for wrong in ["S3.example.com", "s3.example.com:9000", "-s3", "s3..com"] {
        let spec = serde_json::json!({"domain": wrong});
        refused(cluster(&[("/spec/gateway/s3", spec)]).validate_cel(), "gateway.s3.domain: write a DNS name");
    }
}

#[test]
fn a_webhook_has_a_name_and_an_address_by_https() {
    let with = |name: &str, url: &str| {
        let spec = serde_json::json!([{"name": name, "url": url, "secretRef": {"name": "hook"}}]);
        cluster(&[("/spec/gateway/notifications", spec)]).validate_cel()
    };
    with("hook-1", "https://hooks.example.org/datamesh").unwrap();
    for wrong in ["Hook", "-hook", "a b", "hook:1"] {
        refused(with(wrong, "https://hooks.example.org"), "gateway.notifications.name: small letters");
    }
    for wrong in ["http://hooks.example.org", "hooks.example.org", "file:///etc/passwd"] {
        refused(with("hook", wrong), "gateway.notifications.url: write one like https://");
    }
}

#[test]
fn mail_and_providers_say_what_is_wrong() {
    use serde_json::json;
    let mail = |field: &str, value: serde_json::Value| {
        let mut mail = json!({"host": "smtp.example.com", "from": "DataMesh <datamesh@example.com>"});
        mail[field] = value;
        cluster(&[("/spec/gateway/mail", mail)]).validate_cel()
    };
    for from in ["a@b", "a.b+c@mail.example.com", "Data-Mesh 2 <d@example.com>"] {
        mail("from", json!(from)).unwrap();
    }
    for from in [
        "nobody",
        "a..b@example.com",
        "a@example..com",
        "A <a@example.com",
        "a@example.com>",
        "A\nBcc: x <a@b>",
    ] {
        refused(mail("from", json!(from)), "gateway.mail.from: write an address");
    }
    refused(mail("host", json!("smtp.example.com:25")), "gateway.mail.host: write a DNS name");
    refused(mail("port", json!(0)), "gateway.mail.port: a port is 1 to 65535");
    refused(mail("linkBase", json!("http://example.com")), "gateway.mail.linkBase: write a page");
    refused(mail("linkBase", json!("https://example.com/#x")), "gateway.mail.linkBase: write a page");
    let oidc = |url: Option<&str>, field: &str, value: serde_json::Value| {
        let mut provider =
            json!({"name": "work", "issuer": "https://id.example.com/a", "clientId": "datamesh"});
        provider[field] = value;
        let url = url.map(|url| ("/spec/gateway/publicUrl", json!(url)));
        let all: Vec<_> = url.into_iter().chain([("/spec/gateway/oidc", json!([provider]))]).collect();
        cluster(&all).validate_cel()
    };
    let url = Some("https://files.example.com:8443");
    oidc(url, "register", json!(true)).unwrap();
    refused(oidc(None, "register", json!(true)), "gateway.publicUrl: gateway.oidc needs it");
    refused(
        oidc(Some("https://files.example.com/x"), "register", json!(true)),
        "gateway.publicUrl: write https://",
    );
    refused(oidc(url, "name", json!("Work")), "gateway.oidc.name: 1 to 32");
    refused(oidc(url, "issuer", json!("http://id.example.com")), "gateway.oidc.issuer: write the issuer");
    refused(oidc(url, "issuer", json!("https://id.example.com?x")), "gateway.oidc.issuer: write the issuer");
    let groups = |claim: &str, name: &str| {
        oidc(url, "groups", json!({"claim": claim, "map": {"a team": name, "staff": "Staff.1"}}))
    };
    groups("groups", "devs").unwrap();
    groups("https://example.com/groups", "0_x-y").unwrap();
    for name in ["", "-devs", "two words", "développeurs"] {
        refused(groups("groups", name), "gateway.oidc.groups.map: names of groups are 1 to 64");
    }
    refused(groups("sub", "devs"), "gateway.oidc.groups.claim: a claim that says");
}
