//! Buckets as names of hosts (`photos.s3.datamesh.test`), by clients that are told nothing but to address them so. The certificate covers
//! the names, and clients hold it against them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{client, files, python, rclone_of, run, same};
use crate::cluster::{Cluster, new_seed};
use crate::proxy::Proxy;

const DOMAIN: &str = "s3.datamesh.test";

/// A cluster whose buckets are names of hosts, and a way to them.
struct Named {
    seed: u64,
    cluster: Cluster,
    proxy: Proxy,
    folder: TempDir,
}

impl Named {
    async fn start() -> Self {
        let cluster = Cluster::start_so(&["--s3-domain", DOMAIN]).await;
        Self { seed: new_seed(), cluster, proxy: Proxy::start().await, folder: tempfile::tempdir().unwrap() }
    }

    fn endpoint(&self) -> String {
        self.cluster.s3().replace("127.0.0.1", DOMAIN)
    }

    /// Tells a client where everything is.
    fn told(&self, mut client: Command) -> Command {
        ["NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"].iter().for_each(|name| {
            client.env_remove(name);
        });
        client.env("HTTPS_PROXY", self.proxy.url()).env("AWS_ENDPOINT_URL_S3", self.endpoint());
        client
    }

    /// Its client asked for this bucket by name, and for nothing else but `others`.
    fn asked(&self, bucket: &str, others: &[&str]) {
        let by_name = format!("{bucket}.{DOMAIN}");
        let all = others.iter().map(|name| (*name).to_owned()).chain([by_name]);
        assert_eq!(self.proxy.names(), all.collect::<BTreeSet<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_by_name() {
    let named = Named::start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/by_name_client.py");
    let mut python =
        named.told(client(&python::folder().join("bin/python"), &named.cluster, named.folder.path()));
    println!("{}", run(python.arg(script).env("SEED", named.seed.to_string())));
    named.asked("photos", &[DOMAIN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_cli_and_rclone_by_name() {
    let named = Named::start().await;
    let folder = named.folder.path();
    let (source, back) = (folder.join("source"), folder.join("back"));
    files(&source, named.seed);
    let config = folder.join("config");
    std::fs::write(&config, "[default]\ns3 =\n  addressing_style = virtual\n").unwrap();
    let aws = |arguments: &[&str]| {
        let mut program = named.told(client(&python::folder().join("bin/aws"), &named.cluster, folder));
        run(program.env("AWS_CONFIG_FILE", &config).args(arguments))
    };
    aws(&["s3", "mb", "s3://photos"]);
    aws(&["s3", "sync", "source", "s3://photos/copy"]);
    aws(&["s3", "sync", "s3://photos/copy", "back"]);
    same(&source, &back);
    aws(&["s3", "cp", "s3://photos/copy/a/one", "s3://photos/moved"]);
    assert!(aws(&["s3", "ls", "s3://photos/", "--recursive"]).contains("moved"));
    named.asked("photos", &[]);

    std::fs::remove_dir_all(&back).unwrap();
    let rclone = |arguments: &[&str]| {
        let mut program = named.told(rclone_of("Other", &named.cluster, folder));
        program
            .env("RCLONE_CONFIG_MESH_ENDPOINT", named.endpoint())
            .env("RCLONE_CONFIG_MESH_FORCE_PATH_STYLE", "false");
        run(program.args(arguments))
    };
    rclone(&["sync", "source", "mesh:files/copy", "--retries", "1"]);
    rclone(&["copy", "mesh:files/copy", "back", "--retries", "1"]);
    same(&source, &back);
    rclone(&["purge", "mesh:files"]);
    named.asked("files", &[]);
}
