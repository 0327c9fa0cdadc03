//! 64 MiB of this machine's real files come back byte for byte, whole and in ranges, listed and deleted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::samples::real_files;
use futures::{StreamExt as _, TryStreamExt as _, stream};

const FOLDER: &str = "/usr/share";
const BYTES: u64 = 64 << 20;
/// Files on their way at a time.
const LANES: usize = 16;

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let door = cluster.gateway().await?;
    let gateway = &door.gateway;
    let files = real_files(Path::new(FOLDER), BYTES)?;
    let transfers = stream::iter(&files).map(|file| async move {
        let stored = gateway.put(&key_of(file), tokio::fs::read(file).await?.into()).await;
        stored.with_context(|| file.display().to_string())?;
        anyhow::Ok(())
    });
    transfers.buffer_unordered(LANES).try_collect::<()>().await?;
    let reads = stream::iter(&files).map(|file| read_back(gateway, file));
    reads.buffer_unordered(LANES).try_collect::<()>().await?;

    let listed = gateway.list("real/").await?;
    ensure!(listed.len() == files.len(), "{} files were stored, {} are listed", files.len(), listed.len());
    let sum: u64 = listed.iter().map(|item| item.size).sum();
    ensure!(sum >= BYTES, "the listing knows of {sum} bytes only");
    ensure!(listed.is_sorted_by(|a, b| a.key < b.key), "the listing is not in order");

    let deletions = stream::iter(&listed).map(|item| gateway.delete(&item.key));
    deletions.buffer_unordered(LANES).try_collect::<()>().await?;
    ensure!(gateway.list("real/").await?.is_empty(), "deleted files are listed");
    ensure!(!gateway.exists(&key_of(&files[0])).await?, "a deleted file is still there");
    Ok(())
}

fn key_of(file: &Path) -> String {
    format!("real{}", file.display())
}

async fn read_back(gateway: &Gateway, file: &PathBuf) -> anyhow::Result<()> {
    let (key, expected) = (key_of(file), tokio::fs::read(file).await?);
    ensure!(gateway.get(&key).await? == expected, "{key} differs");
    if expected.len() > 2 {
        let (from, to) = (expected.len() / 3, expected.len() / 3 + expected.len() / 2);
        let to = to.min(expected.len() - 1);
        let part = gateway.get_range(&key, from, to).await?;
        ensure!(part == expected[from..=to], "bytes {from} to {to} of {key} differ");
    }
    Ok(())
}
