//! `kubectl datamesh`: what Kubernetes and the operator say of clusters, gathered once ([`gather`]) and judged without asking again.

mod bundle;
mod diagnose;
mod drain;
mod gather;
mod redact;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use datamesh_shard::{NodeName, PoolName};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use gather::Kubernetes;

/// How the DataMesh clusters of a namespace are, as Kubernetes and the operator see it.
///
/// It reads with your own rights (kubeconfig, or the pod's service account), and never reads a Secret.
#[derive(Debug, Parser)]
#[command(name = "kubectl-datamesh", bin_name = "kubectl datamesh", version, max_term_width = 110)]
#[command(after_long_help = crate::exit::paragraph())]
pub(crate) struct KubectlArgs {
    #[command(flatten)]
    global: Global,
    /// Namespace of the clusters; left out: the one of the kubeconfig's context
    #[arg(long, short, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    context: Option<String>,
    #[command(subcommand)]
    command: KubectlCommand,
}

#[derive(Debug, Subcommand)]
enum KubectlCommand {
    /// Show clusters and pools: what works, and how safe the data is (exit code 7: not all as it should be)
    Status,
    /// Say what is wrong, what it means and what to do, worst first (exit code 7: something is)
    Diagnose,
    /// Have a node give its shards to the others, after a look at what would block that
    ///
    /// It asks the gateway, so --server and an administrator's token are needed.
    Drain {
        /// The StoragePool
        pool: PoolName,
        /// The node
        node: NodeName,
        /// Do not wait until it is drained
        #[arg(long)]
        no_wait: bool,
    },
    /// Write what a person needs to understand a failure into an archive: objects, events and logs, without secrets
    Bundle {
        /// File to write; left out: datamesh-NAMESPACE-TIME.tar.zst
        file: Option<PathBuf>,
        /// Lines of each container's log
        #[arg(long, default_value_t = 5000)]
        log_lines: u32,
    },
}

/// Runs one command.
pub(crate) async fn run(args: KubectlArgs) -> Result<ExitCode, Failure> {
    let kubernetes = Kubernetes::connect(args.context, args.namespace).await?;
    let global = &args.global;
    match args.command {
        KubectlCommand::Status => status::run(&kubernetes.gather().await?, global),
        KubectlCommand::Diagnose => diagnose::run(&kubernetes.gather().await?, global),
        KubectlCommand::Drain { pool, node, no_wait } => {
            drain::run(&kubernetes.gather().await?, global, (pool, node), !no_wait).await
        }
        KubectlCommand::Bundle { file, log_lines } => {
            bundle::run(&kubernetes, global, file, log_lines).await?;
            Ok(Exit::Done.into())
        }
    }
}

#[cfg(test)]
mod recorded;
