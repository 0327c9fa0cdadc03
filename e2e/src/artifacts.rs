//! What a person needs to understand a failure, put into one folder.

use std::path::{Path, PathBuf};

use crate::cluster::{Cluster, NAMESPACE, OPERATOR_NAMESPACE, OPERATOR_PODS, root};

/// Lines of the operator's log that are printed.
const COMPLAINTS_MAX: usize = 6;

fn is_complaint(line: &str) -> bool {
    line.contains("WARN") || line.contains("ERROR")
}

/// Kinds whose objects are kept. Secrets are not among them.
const KINDS: &str = "pods,statefulsets,deployments,services,configmaps,persistentvolumeclaims,networkpolicies,\
                     poddisruptionbudgets,leases,datameshclusters,storagepools";

impl Cluster {
    /// Writes logs, events and objects of all our namespaces below `artifacts/<name>` and gives that folder. Whatever
    /// cannot be had is left out: a report must not hide the failure it is about.
    pub async fn collect(&self, name: &str) -> PathBuf {
        let folder = root().join("artifacts").join(name);
        if let Err(error) = self.write_all(&folder).await {
            eprintln!("artifacts are incomplete: {error:#}");
        }
        folder
    }

    /// What most failures are about, in some lines: what is on its way out, and what the operator complained of last.
    pub async fn last_words(&self) -> String {
        let going = "-o=jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.kind} {.metadata.name} was deleted at \
                     {.metadata.deletionTimestamp}, waits for {.metadata.finalizers}{\"\\n\"}{end}";
        let going = ["-n", NAMESPACE, "get", "pods,statefulsets,persistentvolumeclaims", going];
        let log = ["-n", OPERATOR_NAMESPACE, "logs", "-l", OPERATOR_PODS, "--tail=2000"];
        let (going, log) = tokio::join!(self.kubectl.run(&going), self.kubectl.run(&log));
        let complaints: Vec<String> =
            log.unwrap_or_default().lines().filter(|l| is_complaint(l)).map(Into::into).collect();
        let last = complaints.len().saturating_sub(COMPLAINTS_MAX);
        format!("{}{}", going.unwrap_or_default(), complaints[last..].join("\n"))
    }

    async fn write_all(&self, folder: &Path) -> anyhow::Result<()> {
        tokio::fs::create_dir_all(folder).await?;
        self.keep(folder, "nodes.txt", &["get", "nodes", "-o", "wide", "--show-labels"]).await?;
        let listed = self.kubectl.run(&["get", "namespaces", "-o", "name"]).await?;
        for namespace in listed.lines().filter_map(|line| line.strip_prefix("namespace/datamesh")) {
            self.write_namespace(folder, &format!("datamesh{namespace}")).await?;
        }
        Ok(())
    }

    async fn write_namespace(&self, folder: &Path, namespace: &str) -> anyhow::Result<()> {
        let folder = folder.join(namespace);
        tokio::fs::create_dir_all(&folder).await?;
        self.keep(&folder, "overview.txt", &["-n", namespace, "get", KINDS, "-o", "wide"]).await?;
        self.keep(&folder, "objects.yaml", &["-n", namespace, "get", KINDS, "-o", "yaml"]).await?;
        self.keep(&folder, "events.txt", &["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"])
            .await?;
        let pods = self.kubectl.run(&["-n", namespace, "get", "pods", "-o", "name"]).await?;
        for pod in pods.lines() {
            let name = pod.trim_start_matches("pod/");
            self.keep(&folder, &format!("{name}.log"), &["-n", namespace, "logs", pod, "--tail=5000"])
                .await?;
            let before = &["-n", namespace, "logs", pod, "--previous", "--tail=5000"];
            self.keep(&folder, &format!("{name}.before.log"), before).await?;
        }
        Ok(())
    }

    async fn keep(&self, folder: &Path, file: &str, args: &[&str]) -> anyhow::Result<()> {
        let output = self.kubectl.output(args).await?;
        if output.status.success() && !output.stdout.is_empty() {
            tokio::fs::write(folder.join(file), output.stdout).await?;
        }
        Ok(())
    }
}
