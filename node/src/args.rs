use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use datamesh_settings::notifications::NotificationTarget;
use datamesh_settings::{RestoreFrom, Role, Settings};
use datamesh_shard::{ErasureProfile, NameError};

/// A DataMesh process. The operator starts `storage` and `gateway`; `dev` is the whole store on one machine.
#[derive(Debug, Parser)]
#[command(name = "datamesh-node", version)]
pub(crate) struct Args {
    /// What is logged, as in `info,datamesh_mesh=debug`
    #[arg(long, global = true, env = "DATAMESH_LOG", default_value = "info")]
    pub(crate) log: String,
    /// Log as JSON, one document a line
    #[arg(long, global = true, env = "DATAMESH_LOG_JSON")]
    pub(crate) log_json: bool,
    #[command(subcommand)]
    pub(crate) role: RoleCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Keep shards on a volume
    Storage(SettingsFile),
    /// Serve clients and carry the catalog
    Gateway(GatewayArgs),
    /// The whole store on this machine, without Kubernetes
    Dev(Dev),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SettingsFile {
    /// The settings file (YAML) the operator writes
    #[arg(long)]
    pub(crate) settings: PathBuf,
    /// End when this process, the parent, does
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) with_parent: Option<i32>,
}

impl SettingsFile {
    /// The settings; from here on the process ends with its parent, if that was asked for.
    pub(crate) fn load(&self) -> anyhow::Result<Settings> {
        if let Some(parent) = self.with_parent {
            crate::stop::end_with(parent)?;
        }
        Ok(Settings::load(&self.settings)?)
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    file: SettingsFile,
    /// Where the volume has no catalog: restore it from the backups that storage nodes keep, to the `newest` or to a time like
    /// `2026-11-30T02:00:00Z`, instead of beginning a new one. The same words restore once; `newest#2` are others
    #[arg(long, value_name = "newest|TIME")]
    restore: Option<String>,
    /// Where --restore finds backups: at storage nodes, or where the settings have copies of them go
    #[arg(long, value_name = "mesh|copies", value_parser = restore_from, requires = "restore")]
    restore_from: Option<RestoreFrom>,
}

impl GatewayArgs {
    /// The settings, with what is to be restored if that was asked for.
    pub(crate) fn load(&self) -> anyhow::Result<Settings> {
        let mut settings = self.file.load()?;
        if let (Role::Gateway(gateway), Some(restore)) = (&mut settings.role, &self.restore) {
            gateway.restore = Some(restore.clone());
            gateway.restore_from = self.restore_from.unwrap_or(gateway.restore_from);
        }
        Ok(settings)
    }
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Dev {
    /// Folder of all volumes, keys and settings; a second start finds what the first stored
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Storage nodes
    #[arg(long, default_value_t = 6)]
    pub(crate) nodes: u16,
    /// Failure domains the nodes are spread over
    #[arg(long, default_value_t = 3)]
    pub(crate) zones: u16,
    /// Data and parity shards, as in `4+2`
    #[arg(long, default_value = "4+2", value_parser = erasure)]
    pub(crate) erasure: ErasureProfile,
    /// Bytes each node may use
    #[arg(long, default_value_t = 20 << 30)]
    pub(crate) capacity_bytes: u64,
    /// Bytes of memory in which the gateway keeps hot segments; 0 keeps none
    #[arg(long, default_value_t = 128 << 20)]
    pub(crate) cache_bytes: u64,
    /// Seconds for which what was deleted is kept for reads under way
    #[arg(long, default_value_t = datamesh_settings::DELETED_RETENTION_SECONDS_DEFAULT)]
    pub(crate) deleted_retention_seconds: u64,
    /// Gateways, which keep the catalog together: 1, 3 or 5. Further ones serve at the ports that follow --https-port, and
    /// S3 at the fourth of ports of theirs, which come after those of the nodes
    #[arg(long, default_value_t = 1)]
    pub(crate) gateways: u16,
    /// Address of the gateways' HTTPS API
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) address: IpAddr,
    /// Port of the first gateway's HTTPS API
    #[arg(long, default_value_t = datamesh_settings::HTTPS_PORT)]
    pub(crate) https_port: u16,
    /// Port of the first gateway's S3; left out, the fourth of the gateway's ports on loopback
    #[arg(long)]
    pub(crate) s3_port: Option<u16>,
    /// A domain of which each name is a bucket for S3, as `photos.s3.example.com`; the certificate that the first start makes covers them
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) s3_domain: Option<String>,
    /// A webhook that events of buckets may be sent to, as `NAME=URL`; may be given again for another
    #[arg(long, value_parser = target)]
    pub(crate) notify: Vec<NotificationTarget>,
    /// First of the ports the nodes talk over, on loopback: 4 for the gateway, 4 for each node, 4 for each further gateway
    #[arg(long, default_value_t = 17100)]
    pub(crate) base_port: u16,
    /// Run each node as a process of its own
    #[arg(long)]
    pub(crate) processes: bool,
    /// Encrypt shards once more on their way between nodes, not just requests
    #[arg(long)]
    pub(crate) encrypt_everything: bool,
    /// Where the gateway's folder has no catalog: restore it from the backups that the nodes keep
    #[arg(long, value_name = "newest|TIME")]
    pub(crate) restore: Option<String>,
    /// Where --restore finds backups: at the nodes, or where --backup-copies has copies of them go
    #[arg(long, value_name = "mesh|copies", value_parser = restore_from, requires = "restore")]
    pub(crate) restore_from: Option<RestoreFrom>,
    /// A bucket of another S3 that copies of the catalog's backups go to: a file with what `backupCopies` is in a gateway's settings
    #[arg(long, value_name = "FILE")]
    pub(crate) backup_copies: Option<PathBuf>,
    /// With --processes: leave a process that died dead, instead of starting it again
    #[arg(long, requires = "processes")]
    pub(crate) no_restart: bool,
}

impl Dev {
    /// Where the first gateway serves S3.
    pub(crate) fn s3(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.s3_port.unwrap_or(self.base_port.saturating_add(3)))
    }
}

fn erasure(text: &str) -> Result<ErasureProfile, String> {
    let wrong = || format!("{text:?} is not of the form 4+2");
    let (data, parity) = text.split_once('+').ok_or_else(wrong)?;
    let number = |part: &str| part.trim().parse().map_err(|_| wrong());
    ErasureProfile::new(number(data)?, number(parity)?).map_err(|error| error.to_string())
}

fn restore_from(text: &str) -> Result<RestoreFrom, String> {
    match text {
        "mesh" => Ok(RestoreFrom::Mesh),
        "copies" => Ok(RestoreFrom::Copies),
        _ => Err(format!("{text:?} is neither mesh nor copies")),
    }
}

fn target(text: &str) -> Result<NotificationTarget, String> {
    let (name, url) = text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form NAME=URL"))?;
    let name = name.parse().map_err(|error: NameError| error.to_string())?;
    Ok(NotificationTarget { name, url: url.to_owned(), secret_file: None, ca_file: None })
}
