//! The settings file and the admin API's shapes as they were first written: every later version reads these files, and
//! this one writes them so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::path::Path;

use datamesh_settings::admin::{
    AvoidedReason, AvoidedStatus, CatalogEngine, CatalogStatus, ClusterStatus, DesiredMember, MemberState,
    MemberStatus, NodeReport, NotificationStatus, PoolSpec, PoolStatus, ProfileStatus, RecodeSpec,
    RecodeState, RecodeStatus,
};
use datamesh_settings::mail::{MailSettings, MailTls};
use datamesh_settings::notifications::NotificationTarget;
use datamesh_settings::oidc::{OidcGroups, OidcRoles, OidcSettings};
use datamesh_settings::request_limits::RequestRate;
use datamesh_settings::{
    BackupCopies, BulkEncryption, CatalogMove, ClusterSettings, DatabaseFiles, Endpoint, GatewayAddress,
    GatewaySettings, Listen, RestoreFrom, Role, Settings, SettingsError, StorageSettings, TlsFiles,
};
use datamesh_shard::{
    Cipher, Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, TargetName, ZoneName,
};

const STORAGE: &str = include_str!("golden/storage-v1.yaml");
const GATEWAY: &str = include_str!("golden/gateway-v1.yaml");
const GATEWAY_DATABASE: &str = include_str!("golden/gateway-database-v1.yaml");
const GATEWAY_MOVES: &str = include_str!("golden/gateway-moves-v1.yaml");
const GATEWAY_LEAVING: &str = include_str!("golden/gateway-leaving-v1.yaml");
const GATEWAY_MEMBERS: &str = include_str!("golden/gateway-members-v1.yaml");
const GATEWAY_MAIL: &str = include_str!("golden/gateway-mail-v1.yaml");
const GATEWAY_NOTIFICATIONS: &str = include_str!("golden/gateway-notifications-v1.yaml");
const GATEWAY_COPIES: &str = include_str!("golden/gateway-copies-v1.yaml");
const GATEWAY_LIMITS: &str = include_str!("golden/gateway-limits-v1.yaml");
const GATEWAY_RETENTIONS: &str = include_str!("golden/gateway-retentions-v1.yaml");
const GATEWAY_OIDC: &str = include_str!("golden/gateway-oidc-v1.yaml");
const POOL: &str = include_str!("golden/pool-v1.json");
const STATUS: &str = include_str!("golden/status-v1.json");

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).unwrap()
}

fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

fn erasure(data: u8, parity: u8) -> ErasureProfile {
    ErasureProfile::new(data, parity).unwrap()
}

fn endpoint(host: &str, mesh_port: u16) -> Endpoint {
    Endpoint { host: host.into(), mesh_port, bulk_port: mesh_port + 1 }
}

fn storage() -> Settings {
    let role = StorageSettings {
        pool: pool("main"),
        zone: zone("zone2"),
        data_dir: "/data".into(),
        capacity_bytes: 10 << 30,
        reserve_bytes: 512 << 20,
        join_token_file: "/etc/datamesh/join/token".into(),
        listen: Listen {
            mesh: "0.0.0.0:7100".parse().unwrap(),
            bulk: "0.0.0.0:7101".parse().unwrap(),
            health: "127.0.0.1:9100".parse().unwrap(),
        },
        advertise_host: Some("storage-1.example".into()),
    };
    Settings {
        version: 1,
        cluster: ClusterSettings {
            name: node("datamesh.demo"),
            public_key: "5cc2697d48a74f37fe5de4923d29f124f30aa36e7a1ec095cf938cbec2b0516c".parse().unwrap(),
            gateways: vec![endpoint("demo-gateway-mesh.datamesh.svc", 7100), endpoint("10.0.0.7", 17100)],
            bulk_encryption: BulkEncryption::default(),
        },
        node: node("demo-main-1"),
        role: Role::Storage(Box::new(role)),
    }
}

/// With everything that YAML could take for something else: a key of digits alone, addresses in brackets, an empty list.
fn gateway() -> Settings {
    let role = GatewaySettings {
        data_dir: "/data".into(),
        cluster_secret_file: "/etc/datamesh/cluster-key/secret".into(),
        token_file: "/etc/datamesh/tokens/token".into(),
        admin_token_file: "/etc/datamesh/tokens/admin-token".into(),
        tls: TlsFiles {
            certificate_file: "/etc/datamesh/tls/tls.crt".into(),
            key_file: "/etc/datamesh/tls/tls.key".into(),
        },
        https: "[::]:8443".parse().unwrap(),
        s3: None,
        listen: Listen {
            mesh: "[::]:7100".parse().unwrap(),
            bulk: "[::]:7101".parse().unwrap(),
            health: "[::1]:9100".parse().unwrap(),
        },
        advertise_host: None,
        buffer_bytes: 96 << 20,
        cache_bytes: datamesh_settings::CACHE_BYTES_DEFAULT,
        deleted_retention_seconds: datamesh_settings::DELETED_RETENTION_SECONDS_DEFAULT,
        audit_retention_seconds: datamesh_settings::AUDIT_RETENTION_SECONDS_DEFAULT,
        catalog_database: None,
        catalog_members: Vec::new(),
        catalog_leaving: Vec::new(),
        catalog_move: None,
        request_limits: Default::default(),
        mail: None,
        restore: None,
        catalog_backups: Default::default(),
        backup_copies: None,
        restore_from: Default::default(),
        notifications: Vec::new(),
        public_url: None,
        oidc: Vec::new(),
    };
    Settings {
        version: 1,
        cluster: ClusterSettings {
            name: node("dev"),
            public_key: PeerKey([0x42; 32]),
            gateways: Vec::new(),
            bulk_encryption: BulkEncryption::default(),
        },
        node: node("gateway"),
        role: Role::Gateway(Box::new(role)),
    }
}

fn gateway_on_database() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    let file = |name: &str| std::path::PathBuf::from(format!("/etc/datamesh/catalog-database/{name}"));
    role.catalog_database = Some(DatabaseFiles { uri_file: file("uri"), ca_file: Some(file("ca.crt")) });
    settings
}

fn gateway_of_three() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    role.catalog_members = ["gateway", "gateway-2", "gateway-3"].map(|name| member(node(name))).into();
    settings
}

fn gateway_that_stays() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    role.catalog_members = vec![member(node("gateway"))];
    role.catalog_leaving = vec![member(node("gateway-2"))];
    settings
}

fn gateway_that_moves() -> Settings {
    let mut settings = gateway_on_database();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    role.catalog_move = Some(CatalogMove::ToDatabase);
    settings
}

fn gateway_with_mail() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    let file = |name: &str| Some(std::path::PathBuf::from(format!("/etc/datamesh/mail/{name}")));
    role.mail = Some(MailSettings {
        host: "smtp.example.org".into(),
        port: 587,
        tls: MailTls::Starttls,
        ca_file: file("ca.crt"),
        user_file: file("user"),
        password_file: file("password"),
        from: "DataMesh <datamesh@example.org>".into(),
        link_base: Some("https://files.example.org/reset".into()),
    });
    settings
}

fn gateway_with_copies() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    let file = |name: &str| std::path::PathBuf::from(format!("/etc/datamesh/backup-copies/{name}"));
    role.backup_copies = Some(BackupCopies {
        endpoint: "https://s3.eu-central-1.amazonaws.com".into(),
        region: "eu-central-1".into(),
        bucket: "catalog-copies".into(),
        prefix: "demo/".into(),
        path_style: true,
        access_key_id_file: file("accessKeyId"),
        secret_access_key_file: file("secretAccessKey"),
        ca_file: Some(file("ca.crt")),
        keep_seconds: 604_800,
    });
    role.restore = Some("newest".into());
    role.restore_from = RestoreFrom::Copies;
    settings
}

fn gateway_with_notifications() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    let file = |name: &str| Some(std::path::PathBuf::from(format!("/etc/datamesh/notifications/{name}")));
    let target = |name: &str| TargetName::new(name).unwrap();
    role.notifications = vec![
        NotificationTarget {
            name: target("hook"),
            url: "https://hooks.example.org/datamesh".into(),
            secret_file: file("hook/secret"),
            ca_file: file("hook/ca.crt"),
        },
        NotificationTarget {
            name: target("near"),
            url: "http://127.0.0.1:8080/".into(),
            secret_file: None,
            ca_file: None,
        },
    ];
    settings
}

fn gateway_with_limits() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    role.request_limits.rest.known = RequestRate::new(300, 100).unwrap();
    settings
}

fn gateway_that_keeps_for_long() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    role.deleted_retention_seconds = 36 * 3600;
    role.audit_retention_seconds = 730 * 24 * 3600;
    settings
}

fn gateway_with_oidc() -> Settings {
    let mut settings = gateway();
    let Role::Gateway(role) = &mut settings.role else { panic!("a gateway") };
    let file = |name: &str| Some(std::path::PathBuf::from(format!("/etc/datamesh/oidc/work/{name}")));
    role.public_url = Some("https://files.example.org".into());
    role.oidc = vec![OidcSettings {
        name: "work".into(),
        issuer: "https://id.example.org".into(),
        client_id: "datamesh".into(),
        client_secret_file: file("client-secret"),
        ca_file: file("ca.crt"),
        scopes: vec!["profile".into()],
        roles: Some(OidcRoles { claim: "groups".into(), map: [("admins".into(), "admin".into())].into() }),
        groups: Some(OidcGroups {
            claim: "teams".into(),
            map: [("developers".into(), "devs".into())].into(),
        }),
        devices: true,
        register: true,
    }];
    settings
}

fn member(node: NodeName) -> GatewayAddress {
    let endpoint = Endpoint { host: format!("{node}.mesh.example"), mesh_port: 7100, bulk_port: 7101 };
    GatewayAddress { node, endpoint }
}

fn pool_spec() -> PoolSpec {
    let member = |name: &str, zone_name: &str| DesiredMember {
        node: node(name),
        zone: zone(zone_name),
        capacity_bytes: 10 << 30,
    };
    PoolSpec {
        erasure: erasure(4, 2),
        cipher: Cipher::ChaCha20Poly1305,
        ack_shards: Some(6),
        members: vec![member("demo-main-0", "zone1"), member("demo-main-1", "zone2")],
        scrub: Default::default(),
        recode: RecodeSpec { enabled: true, max_bytes_per_second: Some(5 << 20) },
    }
}

fn members() -> Vec<MemberStatus> {
    let silent = |name: &str, zone_name: &str, state| MemberStatus {
        node: node(name),
        zone: zone(zone_name),
        state,
        peer: None,
        report: None,
        report_age_seconds: None,
        drain: None,
        avoided: None,
    };
    let report = NodeReport {
        incarnation: Incarnation(7),
        shards: 120,
        shard_bytes: 120 << 20,
        capacity_bytes: 10 << 30,
        free_bytes: 9_000_000_000,
        accepting: true,
        corrupt_shards: 1,
        epoch: Some(Epoch(5)),
        arriving: 2,
        scrub: None,
    };
    vec![
        MemberStatus {
            peer: Some(PeerKey([0x42; 32])),
            report: Some(report),
            report_age_seconds: Some(2),
            avoided: Some(AvoidedStatus {
                reason: AvoidedReason::Slow,
                seconds: 30,
                detail: "takes 900 ms for a write".into(),
            }),
            ..silent("demo-main-0", "zone1", MemberState::Up)
        },
        silent("demo-main-1", "zone2", MemberState::Full),
        silent("demo-main-2", "zone3", MemberState::Down),
        silent("demo-main-3", "zone3", MemberState::Joining),
    ]
}

fn status() -> ClusterStatus {
    let main = PoolStatus {
        name: pool("main"),
        erasure: erasure(1, 1),
        epoch: Some(Epoch(5)),
        writable: true,
        members: members(),
        short_puts: 4,
        damaged_shards: 1,
        counting_since_unix_ms: Some(1_790_000_000_000),
        zone_loss_shards: Some(2),
        safety: None,
        scrub: None,
        profiles: vec![
            ProfileStatus { erasure: erasure(1, 1), bytes: 5 },
            ProfileStatus { erasure: erasure(4, 2), bytes: 7 << 20 },
        ],
        recode: Some(RecodeStatus {
            state: RecodeState::Running,
            left_bytes: 7 << 20,
            done_bytes: 1 << 20,
            eta_seconds: Some(70),
            waits_for: Vec::new(),
        }),
        problems: vec!["demo-main-2 does not answer".into()],
    };
    let new = PoolStatus {
        name: pool("new"),
        erasure: erasure(4, 2),
        epoch: None,
        writable: false,
        members: Vec::new(),
        short_puts: 0,
        damaged_shards: 0,
        counting_since_unix_ms: None,
        zone_loss_shards: None,
        safety: None,
        scrub: None,
        profiles: Vec::new(),
        recode: None,
        problems: Vec::new(),
    };
    ClusterStatus {
        cluster: node("datamesh.demo"),
        gateway: node("demo-gateway"),
        version: "0.1.0".into(),
        key_fingerprint: "d2f5e44f0b9f135d".into(),
        catalog: CatalogStatus {
            engine: CatalogEngine::Embedded,
            replicas: 1,
            incarnation: Incarnation(3),
            members: Vec::new(),
            backup: None,
            moving: None,
            leaving: None,
            objects: 1000,
            condemned_segments: 2,
        },
        default_pool: Some(pool("main")),
        pools: vec![main, new],
        notifications: vec![NotificationStatus {
            target: TargetName::new("hook").unwrap(),
            pending: 3,
            dropped: 1,
            problems: vec!["hook takes no events: it answers 500.".into()],
        }],
    }
}

#[test]
fn settings_files_read_as_they_were_written_and_are_written_so() {
    let gateways = [
        (GATEWAY, gateway()),
        (GATEWAY_DATABASE, gateway_on_database()),
        (GATEWAY_MEMBERS, gateway_of_three()),
        (GATEWAY_LEAVING, gateway_that_stays()),
        (GATEWAY_MOVES, gateway_that_moves()),
        (GATEWAY_MAIL, gateway_with_mail()),
        (GATEWAY_NOTIFICATIONS, gateway_with_notifications()),
        (GATEWAY_COPIES, gateway_with_copies()),
        (GATEWAY_LIMITS, gateway_with_limits()),
        (GATEWAY_RETENTIONS, gateway_that_keeps_for_long()),
        (GATEWAY_OIDC, gateway_with_oidc()),
    ];
    let all = [(STORAGE, storage())].into_iter().chain(gateways);
    for (golden, settings) in all {
        assert_eq!(Settings::from_yaml(golden).unwrap(), settings);
        assert_eq!(settings.to_yaml().unwrap(), golden);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.yaml");
        std::fs::write(&path, golden).unwrap();
        assert_eq!(Settings::load(&path).unwrap(), settings);
    }
}

#[test]
fn admin_shapes_read_as_they_were_written_and_are_written_so() {
    assert_eq!(serde_json::from_str::<PoolSpec>(POOL).unwrap(), pool_spec());
    assert_eq!(serde_json::to_string_pretty(&pool_spec()).unwrap() + "\n", POOL);
    assert_eq!(serde_json::from_str::<ClusterStatus>(STATUS).unwrap(), status());
    assert_eq!(serde_json::to_string_pretty(&status()).unwrap() + "\n", STATUS);
}

/// Where a mapping of a golden file begins: the line before its first key, and that key's indentation.
fn mappings(golden: &str) -> Vec<(usize, &str)> {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let lines: Vec<&str> = golden.lines().collect();
    let begins = |n: &usize| *n == 0 || indent(lines[*n]) > indent(lines[*n - 1]);
    (0..lines.len()).filter(begins).map(|n| (n, &"        "[..indent(lines[n])])).collect()
}

#[test]
fn settings_with_an_unknown_field_are_refused_wherever_it_stands() {
    for (golden, mappings_expected) in [(STORAGE, 5), (GATEWAY, 5)] {
        let mappings = mappings(golden);
        assert_eq!(mappings.len(), mappings_expected, "{mappings:?}");
        for (n, indent) in mappings {
            let mut lines: Vec<String> = golden.lines().map(str::to_owned).collect();
            // Behind the mapping's first key, which may carry the dash of a list; a mapping under it would end it.
            let at = (n + 1..lines.len()).find(|at| !lines[*at].starts_with(&format!("{indent} ")));
            lines.insert(at.unwrap_or(lines.len()), format!("{indent}later: 1"));
            let error = Settings::from_yaml(&lines.join("\n")).expect_err(&lines.join("\n")).to_string();
            assert!(error.contains("later"), "{error}");
        }
    }
    let role = GATEWAY.replace("!gateway", "!proxy");
    assert!(Settings::from_yaml(&role).unwrap_err().to_string().contains("proxy"));
}

#[test]
fn a_pool_with_an_unknown_field_is_refused_and_a_status_with_one_is_read() {
    for known in ["\"erasure\"", "\"node\""] {
        let with_more = POOL.replacen(known, &format!("\"later\": 1, {known}"), 1);
        let error = serde_json::from_str::<PoolSpec>(&with_more).unwrap_err().to_string();
        assert!(error.contains("later"), "{error}");
    }
    // A later gateway may tell an older operator or CLI more than that knows.
    for known in ["\"cluster\"", "\"replicas\"", "\"name\"", "\"node\"", "\"shards\""] {
        assert!(STATUS.contains(known));
        let with_more = STATUS.replace(known, &format!("\"later\": 1, {known}"));
        assert_eq!(serde_json::from_str::<ClusterStatus>(&with_more).unwrap(), status(), "{known}");
    }
}

#[test]
fn what_may_be_absent_is_absent() {
    let pool: PoolSpec =
        serde_json::from_str(r#"{"erasure": {"data": 1, "parity": 1}, "members": []}"#).unwrap();
    let least = PoolSpec {
        erasure: erasure(1, 1),
        cipher: Cipher::Aes256Gcm,
        ack_shards: None,
        members: Vec::new(),
        scrub: Default::default(),
        recode: Default::default(),
    };
    assert_eq!(pool, least);
    let text = serde_json::to_string(&least).unwrap();
    assert_eq!(text, r#"{"erasure":{"data":1,"parity":1},"cipher":"AES-256-GCM","members":[]}"#);
    assert!(serde_json::from_str::<PoolSpec>(r#"{"members": []}"#).is_err());
    assert!(serde_json::from_str::<PoolSpec>(&text.replace("\"data\":1", "\"data\":0")).is_err());
}

fn load(text: &[u8]) -> SettingsError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.yaml");
    std::fs::write(&path, text).unwrap();
    Settings::load(&path).unwrap_err()
}

#[test]
fn another_version_is_refused_by_name_and_a_file_too_large_is_not_read() {
    let later = load(STORAGE.replace("version: 1", "version: 2").as_bytes());
    assert!(matches!(later, SettingsError::Version { found: 2, .. }), "{later}");
    assert!(later.to_string().contains("`version` is 2"), "{later}");
    let large = load(&vec![b'#'; (1 << 20) + 1]);
    assert!(matches!(large, SettingsError::TooLarge { bytes: 1_048_577, .. }), "{large}");
    assert!(load(b"version: [").to_string().contains("settings.yaml"));
    let nowhere = Settings::load(Path::new("/nowhere/settings.yaml")).unwrap_err();
    assert!(matches!(nowhere, SettingsError::Read { .. }), "{nowhere}");
}
