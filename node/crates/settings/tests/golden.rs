//! The settings file and the admin API's shapes as they were first written: every later version reads these files, and
//! this one writes them so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[path = "support/gateways.rs"]
mod gateways;

use std::path::Path;

use datamesh_settings::admin::{
    AvoidedReason, AvoidedStatus, CatalogEngine, CatalogStatus, ClusterStatus, DesiredMember, MemberState,
    MemberStatus, NodeReport, NotificationStatus, PoolSpec, PoolStatus, ProfileStatus, RecodeSpec,
    RecodeState, RecodeStatus,
};
use datamesh_settings::{
    BulkEncryption, ClusterSettings, Endpoint, Listen, Role, Settings, SettingsError, StorageSettings,
};
use datamesh_shard::{
    Cipher, Epoch, ErasureProfile, Incarnation, NodeName, PeerKey, PoolName, TargetName, ZoneName,
};

const STORAGE: &str = include_str!("golden/storage-v1.yaml");
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
    let all = [(STORAGE, storage())].into_iter().chain(gateways::all());
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
    for (golden, mappings_expected) in [(STORAGE, 5), (gateways::PLAIN, 5)] {
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
    let role = gateways::PLAIN.replace("!gateway", "!proxy");
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
