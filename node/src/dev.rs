//! The whole store on one machine: N storage nodes on separate folders, libp2p on loopback, one gateway. The same
//! code as on Kubernetes; what the operator does there (keys, tokens, settings, asking for the pool) is done here.

mod asking;
mod plan;
mod processes;
mod secrets;

use std::path::Path;

use anyhow::Context as _;
use datamesh_settings::{Role, Settings};
use tokio_util::sync::CancellationToken;

use crate::args::Dev;
use crate::stop::Tasks;
use crate::{gateway, storage};

use plan::Plan;
use secrets::Secrets;

pub(crate) async fn run(dev: Dev, stop: CancellationToken) -> anyhow::Result<()> {
    let secrets = Secrets::ensure(&dev)?;
    let plan = Plan::new(&dev, &secrets)?;
    let mut tasks = Tasks::new(&stop);
    for settings in plan.all() {
        let name = settings.node.to_string();
        let file = plan.write(&settings)?;
        if dev.processes {
            tasks.spawn(name, |stop| processes::run(file, settings.role, !dev.no_restart, stop));
        } else {
            tasks.spawn(name, |stop| in_process(settings, stop));
        }
    }
    tasks.spawn("pool", move |stop| async move {
        let client = asking::Client::new(&secrets)?;
        client.until_ready(&plan, &stop).await?;
        if !stop.is_cancelled() {
            client.ensure_s3_key(&secrets).await?;
            print_ready(&dev, &secrets)?;
        }
        stop.cancelled().await;
        Ok(())
    });
    tasks.run().await
}

async fn in_process(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    match settings.role {
        Role::Storage(_) => storage::run(settings, stop).await,
        Role::Gateway(_) => gateway::run(settings, stop).await,
    }
}

/// Says how to use what now runs, on standard output: it is what `make dev` is for.
fn print_ready(dev: &Dev, secrets: &Secrets) -> anyhow::Result<()> {
    use std::io::Write as _;
    let url = format!("https://{}", std::net::SocketAddr::new(dev.address, dev.https_port));
    let text = format!(
        "\nDataMesh is ready: {nodes} nodes in {zones} zones, erasure {erasure}, gateway {url}\n\n  \
         export DATAMESH_CONFIG={config}\n  \
         datamesh put big.iso            # store a file\n  \
         datamesh get big.iso copy.iso   # bring it back\n  \
         datamesh status                 # how safe it is\n  \
         # the same store by S3, with any client:\n  \
         export AWS_ENDPOINT_URL_S3={s3} AWS_CA_BUNDLE={ca} AWS_SHARED_CREDENTIALS_FILE={credentials}\n  \
         aws s3 mb s3://photos && aws s3 cp big.iso s3://photos/\n  \
         # and by HTTPS:\n  \
         curl --cacert {ca} -H \"Authorization: Bearer $(cat {token})\" {url}/api/v1/files\n\n\
         {catalog} Ctrl-C stops everything; data stays.\n",
        nodes = dev.nodes,
        zones = dev.zones,
        erasure = dev.erasure,
        config = secrets.cli_config.display(),
        ca = secrets.certificate.display(),
        s3 = format_args!("https://{}", dev.s3()),
        credentials = secrets.s3_credentials.display(),
        token = secrets.token.display(),
        catalog = catalog(dev),
    );
    std::io::stdout().write_all(text.as_bytes()).context("standard output")
}

fn catalog(dev: &Dev) -> String {
    match dev.gateways {
        1 => format!(
            "The catalog has one copy here: names and keys live in {}.",
            dev.data.join("gateway").display()
        ),
        n => format!("{n} gateways keep the catalog, at ports {} and following.", dev.https_port),
    }
}

/// Creates a folder that only its owner may enter.
fn private_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).with_context(|| format!("folder {}", path.display()))
}
