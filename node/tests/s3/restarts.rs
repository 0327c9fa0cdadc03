//! Uploads in parts through deaths of the gateway: what was acknowledged is there, and clients go on with it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::{client, python, run};
use crate::cluster::{Cluster, new_seed, random};

/// Generous: a loaded machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn boto3_goes_on_with_an_upload_after_the_gateway_died() {
    let (seed, cluster, folder) =
        (new_seed(), Cluster::start_restarting().await, tempfile::tempdir().unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/resumed_client.py");
    let mut python = client(&python::folder().join("bin/python"), &cluster, folder.path());
    python.arg(script).env("SEED", seed.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = tokio::process::Command::from(python)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: run `make deps`"));
    let (mut says, mut hears) =
        (BufReader::new(python.stdout.take().unwrap()).lines(), python.stdin.take().unwrap());
    let told = async {
        let mut deaths = 0;
        while let Some(line) = says.next_line().await.unwrap() {
            println!("{line}");
            if line == "kill the gateway" {
                cluster.kill("gateway-0");
                deaths += 1;
                hears.write_all(b"it is dead\n").await.unwrap();
            }
        }
        (python.wait().await.unwrap(), deaths)
    };
    let (ended, deaths) = tokio::time::timeout(DEADLINE, told).await.unwrap();
    assert!(ended.success(), "{ended}");
    assert_eq!(deaths, 4, "as often as the script asks for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_cli_goes_on_with_an_upload_after_the_gateway_died() {
    let (seed, cluster, folder) =
        (new_seed(), Cluster::start_restarting().await, tempfile::tempdir().unwrap());
    let bodies = [random(seed, 5 << 20), random(seed + 1, (5 << 20) + 1), random(seed + 2, 77)];
    let file = |name: &str| folder.path().join(name);
    bodies.iter().zip(1..).for_each(|(body, n)| std::fs::write(file(&format!("part-{n}")), body).unwrap());
    let aws = |arguments: &[&str]| {
        let mut program = client(&python::folder().join("bin/aws"), &cluster, folder.path());
        program.env("AWS_RETRY_MODE", "standard").env("AWS_MAX_ATTEMPTS", "30");
        run(program.args(arguments))
    };
    let answer = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let of_upload = |what: &str, id: &str, more: &[&str]| {
        let upload =
            ["s3api", what, "--bucket", "parts", "--key", "cli", "--upload-id", id, "--output", "json"];
        answer(aws(&[&upload, more].concat()))
    };
    aws(&["s3", "mb", "s3://parts"]);
    let begun = answer(aws(&[
        "s3api",
        "create-multipart-upload",
        "--bucket",
        "parts",
        "--key",
        "cli",
        "--output",
        "json",
    ]));
    let id = begun["UploadId"].as_str().unwrap();
    let put = |n: usize| {
        let (number, body) = (n.to_string(), format!("part-{n}"));
        of_upload("upload-part", id, &["--part-number", &number, "--body", &body])
    };
    let mut tags: Vec<_> = (1..=2).map(|n| put(n)["ETag"].clone()).collect();
    cluster.kill("gateway-0");
    let listed = of_upload("list-parts", id, &[]);
    let parts = listed["Parts"].as_array().unwrap().iter();
    let there: Vec<_> = parts.map(|part| (part["Size"].as_u64().unwrap(), part["ETag"].clone())).collect();
    let acknowledged = bodies.iter().zip(&tags).map(|(body, tag)| (body.len() as u64, tag.clone()));
    assert_eq!(there, acknowledged.collect::<Vec<_>>());
    tags.push(put(3)["ETag"].clone());
    let named = tags.iter().zip(1..).map(|(tag, n)| serde_json::json!({ "PartNumber": n, "ETag": tag }));
    let named = serde_json::json!({ "Parts": named.collect::<Vec<_>>() }).to_string();
    of_upload("complete-multipart-upload", id, &["--multipart-upload", &named]);
    aws(&["s3", "cp", "s3://parts/cli", "back"]);
    assert!(std::fs::read(file("back")).unwrap() == bodies.concat());
}
