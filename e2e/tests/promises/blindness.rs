//! Storage nodes are blind: neither a stored file's bytes nor its name are found on their volumes. (That the same search
//! does find them where sealing is switched off is shown by a test of the processes, which can be built that way; here
//! the search itself is shown to work.)

use anyhow::ensure;
use datamesh_e2e::cluster::{Cluster, NAMESPACE};
use datamesh_e2e::samples::{self, random_bytes};

/// Three segments and a bit: longer than any stripe.
const CANARY_BYTES: usize = (12 << 20) + 777;
/// Bytes of each piece that is searched for; by chance none is ever found.
const NEEDLE_BYTES: usize = 12;
/// Pieces, spread over the whole canary.
const NEEDLES: usize = 24;

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let canary = random_bytes(seed, 0, CANARY_BYTES);
    let name = format!("canary-name-{seed:016x}");
    let pattern = pattern_of(&canary, &name);
    let door = cluster.gateway().await?;
    door.gateway.put(&name, canary.clone()).await?;
    ensure!(door.gateway.get(&name).await? == canary, "the canary differs");

    let mut volumes_bytes = 0;
    for member in cluster.storage().await? {
        let found =
            search(cluster, &member.pod, &format!("grep -rlaP -e '{pattern}' /data || [ $? = 1 ]")).await?;
        ensure!(found.trim().is_empty(), "{} can read what is stored: {found}", member.node);
        let used = search(cluster, &member.pod, "du -sb /data | cut -f1").await?;
        volumes_bytes += used.trim().parse::<usize>()?;
    }
    ensure!(
        volumes_bytes > CANARY_BYTES,
        "the volumes hold {volumes_bytes} bytes: the canary is not there at all"
    );
    the_search_finds(cluster, &canary, &name, &pattern).await?;
    door.gateway.delete(&name).await
}

/// The positive control: the same search, over the same bytes in clear, in the same pod.
async fn the_search_finds(cluster: &Cluster, canary: &[u8], name: &str, pattern: &str) -> anyhow::Result<()> {
    let pod = cluster.storage().await?.swap_remove(0).pod;
    let octal: String = piece(canary, 1).iter().map(|byte| format!("\\{byte:03o}")).collect();
    for text in [octal.as_str(), name] {
        let found =
            search(cluster, &pod, &format!("printf 'before{text}after' | grep -caP -e '{pattern}'")).await?;
        ensure!(found.trim() == "1", "the search does not find {text}");
    }
    Ok(())
}

async fn search(cluster: &Cluster, pod: &str, script: &str) -> anyhow::Result<String> {
    cluster.kubectl.exec(NAMESPACE, pod, &["env", "LC_ALL=C", "sh", "-c", script]).await
}

/// Any of the canary's pieces, or its name, as grep's Perl expression.
fn pattern_of(canary: &[u8], name: &str) -> String {
    let pieces = (0..NEEDLES).map(|n| piece(canary, n).iter().map(|byte| format!("\\x{byte:02x}")).collect());
    pieces.chain([name.to_owned()]).collect::<Vec<String>>().join("|")
}

/// The n-th piece: at a fixed place, or the next one that no end of line cuts in two for grep.
fn piece(canary: &[u8], n: usize) -> &[u8] {
    let from = &canary[n * (CANARY_BYTES / NEEDLES)..];
    let whole = |piece: &&[u8]| !piece.contains(&b'\n') && !piece.contains(&0);
    from.chunks_exact(NEEDLE_BYTES).find(whole).unwrap_or_default()
}
