//! Settings of gateways, and the files that they were first written as.

use datamesh_settings::mail::{MailSettings, MailTls};
use datamesh_settings::notifications::NotificationTarget;
use datamesh_settings::oidc::{OidcGroups, OidcRoles, OidcSettings};
use datamesh_settings::request_limits::RequestRate;
use datamesh_settings::{
    BackupCopies, BulkEncryption, CatalogMove, ClusterSettings, DatabaseFiles, Endpoint, GatewayAddress,
    GatewaySettings, Listen, RestoreFrom, Role, Settings, TlsFiles,
};
use datamesh_shard::{NodeName, PeerKey, TargetName};

use super::node;

/// Of one that has nothing set that could be left out.
pub(crate) const PLAIN: &str = include_str!("../golden/gateway-v1.yaml");
const GATEWAY_DATABASE: &str = include_str!("../golden/gateway-database-v1.yaml");
const GATEWAY_MOVES: &str = include_str!("../golden/gateway-moves-v1.yaml");
const GATEWAY_LEAVING: &str = include_str!("../golden/gateway-leaving-v1.yaml");
const GATEWAY_MEMBERS: &str = include_str!("../golden/gateway-members-v1.yaml");
const GATEWAY_MAIL: &str = include_str!("../golden/gateway-mail-v1.yaml");
const GATEWAY_NOTIFICATIONS: &str = include_str!("../golden/gateway-notifications-v1.yaml");
const GATEWAY_COPIES: &str = include_str!("../golden/gateway-copies-v1.yaml");
const GATEWAY_LIMITS: &str = include_str!("../golden/gateway-limits-v1.yaml");
const GATEWAY_RETENTIONS: &str = include_str!("../golden/gateway-retentions-v1.yaml");
const GATEWAY_OIDC: &str = include_str!("../golden/gateway-oidc-v1.yaml");

/// Each file, and what it says.
pub(crate) fn all() -> [(&'static str, Settings); 11] {
    [
        (PLAIN, gateway()),
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
    ]
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
