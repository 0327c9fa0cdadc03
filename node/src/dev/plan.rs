//! Who runs where: the settings of every node of a development cluster. Pure but for `write`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use datamesh_settings::admin::{DesiredMember, PoolSpec};
use datamesh_settings::{
    BulkEncryption, ClusterSettings, Endpoint, GatewayAddress, GatewaySettings, Listen, Role, S3Settings,
    SETTINGS_VERSION, Settings, StorageSettings, TlsFiles,
};
use datamesh_shard::{NodeName, PoolName, ZoneName};
use serde::de::DeserializeOwned;

use crate::args::Dev;
use crate::dev::private_folder;
use crate::dev::secrets::Secrets;

/// Ports of one process: mesh, bulk, health, and S3 of the gateway.
const PORTS_PER_NODE: u16 = 4;
/// Segment buffers of the gateway.
const BUFFER_BYTES: u64 = 256 << 20;
/// Free bytes below which a node takes no new shards.
const RESERVE_BYTES: u64 = 256 << 20;

/// The settings of all processes.
pub(super) struct Plan {
    pub(super) pool: PoolName,
    pub(super) spec: PoolSpec,
    gateways: Vec<Settings>,
    storage: Vec<Settings>,
    folder: PathBuf,
}

/// The only pool.
fn spec_of(dev: &Dev, members: Vec<DesiredMember>) -> PoolSpec {
    PoolSpec {
        erasure: dev.erasure,
        cipher: Default::default(),
        ack_shards: ack(dev),
        members,
        scrub: Default::default(),
        recode: Default::default(),
    }
}

impl Plan {
    /// Lays out the cluster.
    ///
    /// # Errors
    /// When the nodes are too few for k+m or the ports run out.
    pub(super) fn new(dev: &Dev, secrets: &Secrets) -> anyhow::Result<Self> {
        let total = dev.erasure.total();
        anyhow::ensure!(
            usize::from(dev.nodes) >= total,
            "--nodes {}: erasure {} needs {total}",
            dev.nodes,
            dev.erasure
        );
        anyhow::ensure!([1, 3, 5].contains(&dev.gateways), "--gateways {}: 1, 3 or 5", dev.gateways);
        anyhow::ensure!(dev.zones >= 1, "--zones 0: at least 1 is needed");
        let folder = std::path::absolute(&dev.data)?;
        let pool = PoolName::new("main")?;
        let members = (0..dev.nodes).map(|n| member(dev, n)).collect::<anyhow::Result<Vec<_>>>()?;
        let gateways = (0..dev.gateways).map(|n| gateway(dev, n)).collect::<anyhow::Result<Vec<_>>>()?;
        let cluster = ClusterSettings {
            name: NodeName::new("dev")?,
            public_key: secrets.cluster.signing_key().public(),
            gateways: gateways.iter().map(|gateway| gateway.endpoint.clone()).collect(),
            bulk_encryption: match dev.encrypt_everything {
                true => BulkEncryption::Everything,
                false => BulkEncryption::Requests,
            },
        };
        let storage = (0..dev.nodes)
            .zip(&members)
            .map(|(n, member)| -> anyhow::Result<Settings> {
                let role = StorageSettings {
                    pool: pool.clone(),
                    zone: member.zone.clone(),
                    data_dir: folder.join(member.node.as_str()),
                    capacity_bytes: member.capacity_bytes,
                    reserve_bytes: RESERVE_BYTES,
                    join_token_file: secrets.join_token(&member.node, &pool)?,
                    listen: listen(dev, n + 1)?,
                    advertise_host: Some("127.0.0.1".into()),
                };
                Ok(settings(&cluster, &member.node, Role::Storage(Box::new(role))))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let gateways = (0..dev.gateways)
            .map(|n| -> anyhow::Result<Settings> {
                let role = gateway_settings(dev, secrets, (&folder, &gateways, n))?;
                Ok(settings(&cluster, &gateway_name(n)?, Role::Gateway(Box::new(role))))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { pool, spec: spec_of(dev, members), gateways, storage, folder })
    }

    /// The gateways first: the others join through them.
    pub(super) fn all(&self) -> Vec<Settings> {
        self.gateways.iter().chain(&self.storage).cloned().collect()
    }

    /// Writes one process's settings and makes its folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn write(&self, settings: &Settings) -> anyhow::Result<PathBuf> {
        let data = match &settings.role {
            Role::Storage(storage) => &storage.data_dir,
            Role::Gateway(gateway) => &gateway.data_dir,
        };
        private_folder(data)?;
        let path = self.folder.join(format!("{}.yaml", settings.node));
        std::fs::write(&path, settings.to_yaml()?).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

fn gateway_name(n: u16) -> anyhow::Result<NodeName> {
    Ok(NodeName::new(&format!("gateway-{n}"))?)
}

/// The ports of a gateway: the first has those before all nodes, the others those behind them.
fn gateway_slot(dev: &Dev, n: u16) -> u16 {
    if n == 0 { 0 } else { dev.nodes.saturating_add(n) }
}

fn gateway(dev: &Dev, n: u16) -> anyhow::Result<GatewayAddress> {
    let Listen { mesh, bulk, .. } = listen(dev, gateway_slot(dev, n))?;
    let endpoint = Endpoint { host: "127.0.0.1".into(), mesh_port: mesh.port(), bulk_port: bulk.port() };
    Ok(GatewayAddress { node: gateway_name(n)?, endpoint })
}

fn gateway_settings(
    dev: &Dev,
    secrets: &Secrets,
    (folder, gateways, n): (&Path, &[GatewayAddress], u16),
) -> anyhow::Result<GatewaySettings> {
    let listen = listen(dev, gateway_slot(dev, n))?;
    let s3 = if n == 0 { dev.s3() } else { SocketAddr::new(dev.address, listen.health.port() + 1) };
    let https = dev.https_port.checked_add(n).context("--https-port: no ports left for all gateways")?;
    // Volumes of one gateway have been called so since there could be others.
    let data_dir = if n == 0 { folder.join("gateway") } else { folder.join(gateway_name(n)?.as_str()) };
    Ok(GatewaySettings {
        data_dir,
        cluster_secret_file: secrets.cluster_file.clone(),
        token_file: secrets.token.clone(),
        admin_token_file: secrets.admin_token.clone(),
        tls: TlsFiles { certificate_file: secrets.certificate.clone(), key_file: secrets.key.clone() },
        https: SocketAddr::new(dev.address, https),
        s3: Some(S3Settings { listen: s3, domain: dev.s3_domain.clone() }),
        listen,
        advertise_host: Some("127.0.0.1".into()),
        buffer_bytes: BUFFER_BYTES,
        cache_bytes: dev.cache_bytes,
        deleted_retention_seconds: dev.deleted_retention_seconds,
        audit_retention_seconds: datamesh_settings::AUDIT_RETENTION_SECONDS_DEFAULT,
        catalog_database: None,
        catalog_members: if gateways.len() > 1 { gateways.to_vec() } else { Vec::new() },
        catalog_leaving: Vec::new(),
        catalog_move: None,
        request_limits: Default::default(),
        mail: None,
        restore: dev.restore.clone(),
        catalog_backups: Default::default(),
        backup_copies: dev.backup_copies.as_deref().map(|file| read(file, "backupCopies")).transpose()?,
        restore_from: dev.restore_from.unwrap_or_default(),
        notifications: dev.notify.clone(),
        public_url: dev.oidc.as_ref().map(|_| format!("https://{}:{https}", dev.address)),
        oidc: dev.oidc.as_deref().map(|file| read(file, "oidc")).transpose()?.unwrap_or_default(),
    })
}

/// m = 1 leaves no shard to spare after one loss: writes then need all of them said plainly.
fn ack(dev: &Dev) -> Option<u8> {
    (dev.erasure.parity() == 1).then(|| dev.erasure.data())
}

/// What a field of a gateway's settings is in a file of its own.
fn read<T: DeserializeOwned>(file: &Path, field: &str) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_yaml::from_str(&text).with_context(|| format!("{}: no {field}", file.display()))
}

fn settings(cluster: &ClusterSettings, node: &NodeName, role: Role) -> Settings {
    Settings { version: SETTINGS_VERSION, cluster: cluster.clone(), node: node.clone(), role }
}

fn member(dev: &Dev, n: u16) -> anyhow::Result<DesiredMember> {
    Ok(DesiredMember {
        node: NodeName::new(&format!("node-{n}"))?,
        zone: ZoneName::new(&format!("zone-{}", n % dev.zones))?,
        capacity_bytes: dev.capacity_bytes,
    })
}

fn listen(dev: &Dev, slot: u16) -> anyhow::Result<Listen> {
    let first = slot.checked_mul(PORTS_PER_NODE).and_then(|offset| dev.base_port.checked_add(offset));
    let first = first.filter(|port| port.checked_add(PORTS_PER_NODE).is_some());
    let first =
        first.with_context(|| format!("--base-port {}: no ports left for node {slot}", dev.base_port))?;
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    Ok(Listen { mesh: at(first), bulk: at(first + 1), health: at(first + 2) })
}
