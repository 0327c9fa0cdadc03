//! Pods that cannot reach each other, though each reaches the rest: on the Kubernetes of `e2e/local-cluster`, whose nodes are
//! network namespaces of this machine.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;

use crate::cluster::{Cluster, NAMESPACE};
use crate::nodes::Member;

/// Chain of all rules made here: they go with it, also those that a run which broke off left.
const CHAIN: &str = "DATAMESH-E2E";
/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";

/// A partition; it ends with this.
pub struct Partition {
    hosts: Vec<String>,
}

/// Whether a Kubernetes node is a network namespace of this machine.
#[must_use]
pub fn is_here(host: &str) -> bool {
    Path::new(NAMESPACES).join(host).exists()
}

impl Cluster {
    /// Drops every packet between pods of `one` and pods of `other`, where it leaves its Kubernetes node.
    ///
    /// # Errors
    /// A rule cannot be made, or a pod has no address.
    pub async fn part(&self, one: &[Member], other: &[Member]) -> anyhow::Result<Partition> {
        let (one, other) = (self.addresses(one).await?, self.addresses(other).await?);
        let mut hosts: Vec<String> = one.iter().chain(&other).map(|(host, _)| host.clone()).collect();
        hosts.sort();
        hosts.dedup();
        let partition = Partition { hosts };
        for host in &partition.hosts {
            heal(host);
            rule(host, &["-N", CHAIN])?;
            rule(host, &["-I", "FORWARD", "-j", CHAIN])?;
        }
        for (from, to) in [(&one, &other), (&other, &one)] {
            for (host, source) in from {
                for (_, target) in to {
                    rule(host, &["-A", CHAIN, "-s", source, "-d", target, "-j", "DROP"])?;
                }
            }
        }
        Ok(partition)
    }

    /// The host and the address of each pod.
    async fn addresses(&self, members: &[Member]) -> anyhow::Result<Vec<(String, String)>> {
        let pods = self.api::<Pod>(NAMESPACE);
        let mut all = Vec::new();
        for member in members {
            let ip = pods.get(&member.pod).await?.status.and_then(|status| status.pod_ip);
            all.push((member.host.clone(), ip.with_context(|| format!("{} has no address", member.pod))?));
        }
        Ok(all)
    }
}

impl Partition {
    /// Packets dropped so far: a partition that drops none is none.
    ///
    /// # Errors
    /// The rules cannot be read.
    pub fn dropped(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for host in &self.hosts {
            let output = rule(host, &["-nvxL", CHAIN])?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let packets = text.lines().filter(|line| line.contains("DROP"));
            sum +=
                packets.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(sum)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        for host in &self.hosts {
            heal(host);
        }
    }
}

/// Takes all rules of a node back; there may be none.
pub fn heal(host: &str) {
    for args in [&["-D", "FORWARD", "-j", CHAIN][..], &["-F", CHAIN], &["-X", CHAIN]] {
        let _ = iptables(host, args);
    }
}

fn rule(host: &str, args: &[&str]) -> anyhow::Result<Output> {
    let output = iptables(host, args)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "iptables {args:?} on {host}: {said}");
    Ok(output)
}

/// Not by tokio: it must also run while a future is dropped.
fn iptables(host: &str, args: &[&str]) -> std::io::Result<Output> {
    Command::new("ip").args(["netns", "exec", host, "iptables", "-w"]).args(args).output()
}
