//! Where the nodes are, kept over a restart: nodes say so only when they join, and the mesh takes a while to tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datamesh_settings::Endpoint;
use datamesh_shard::{Incarnation, PeerKey};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The file's format.
const VERSION: u32 = 1;
const FILE: &str = "addresses.json";
/// Bytes of the file at most: thousands of nodes.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: u32,
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    endpoint: Endpoint,
    incarnation: Incarnation,
}

/// The last known addresses. Losing the file costs nothing but time: every node says where it is when it joins anew.
pub(crate) struct AddressBook {
    path: PathBuf,
    file: Mutex<File>,
    writing: tokio::sync::Mutex<()>,
}

impl AddressBook {
    /// Reads the book of a data folder; an unreadable one is begun anew. Blocking.
    pub(crate) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let file = read(&path).unwrap_or_else(|reason| {
            if let Some(reason) = reason {
                tracing::warn!(path = %path.display(), reason, "the address book is begun anew");
            }
            File { version: VERSION, nodes: BTreeMap::new() }
        });
        Self { path, file: Mutex::new(file), writing: tokio::sync::Mutex::default() }
    }

    /// What is known.
    pub(crate) fn all(&self) -> Vec<(PeerKey, Endpoint, Incarnation)> {
        let file = self.file.lock();
        let known = file.nodes.iter();
        known
            .filter_map(|(peer, node)| Some((peer.parse().ok()?, node.endpoint.clone(), node.incarnation)))
            .collect()
    }

    /// Notes an address, and writes the book if that is news.
    pub(crate) async fn note(self: &Arc<Self>, peer: PeerKey, endpoint: Endpoint, incarnation: Incarnation) {
        let node = Node { endpoint, incarnation };
        {
            let mut file = self.file.lock();
            if file.nodes.get(&peer.to_string()) == Some(&node) {
                return;
            }
            file.nodes.insert(peer.to_string(), node);
        }
        // One at a time, each with the newest state.
        let writing = self.writing.lock().await;
        let book = Arc::clone(self);
        match tokio::task::spawn_blocking(move || book.write()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the address book was not written"),
            Err(error) => tracing::warn!(%error, "the address book was not written"),
        }
        drop(writing);
    }

    fn write(&self) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(&*self.file.lock()).map_err(std::io::Error::other)?;
        let fresh = self.path.with_extension("new");
        std::fs::write(&fresh, text)?;
        std::fs::rename(&fresh, &self.path)
    }
}

/// The file's content; `None` as reason if there is no file.
fn read(path: &Path) -> Result<File, Option<String>> {
    let meta = std::fs::metadata(path).map_err(|_| None)?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(Some(format!("{} bytes", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| Some(error.to_string()))?;
    let file: File = serde_json::from_slice(&bytes).map_err(|error| Some(error.to_string()))?;
    if file.version == VERSION { Ok(file) } else { Err(Some(format!("version {}", file.version))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint { host: "n1.example".into(), mesh_port: port, bulk_port: port + 1 }
    }

    #[tokio::test]
    async fn survives_a_restart_and_a_broken_file() {
        let dir = tempfile::tempdir().unwrap();
        let book = Arc::new(AddressBook::open(dir.path()));
        let peer = PeerKey([3; 32]);
        book.note(peer, endpoint(1), Incarnation(1)).await;
        book.note(peer, endpoint(5), Incarnation(2)).await;
        assert_eq!(AddressBook::open(dir.path()).all(), vec![(peer, endpoint(5), Incarnation(2))]);
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(AddressBook::open(dir.path()).all().is_empty());
    }

    #[test]
    fn golden_version_1() {
        let dir = tempfile::tempdir().unwrap();
        let golden = include_bytes!("../tests/golden/addresses-v1.json");
        std::fs::write(dir.path().join(FILE), golden).unwrap();
        let book = AddressBook::open(dir.path());
        assert_eq!(book.all(), vec![(PeerKey([0x11; 32]), endpoint(7100), Incarnation(4))]);
        book.write().unwrap();
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), golden.trim_ascii_end());
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        #[test]
        fn a_broken_file_gives_no_more_than_what_it_says(at: usize, byte: u8, cut: usize) {
            let dir = tempfile::tempdir().unwrap();
            let mut file = include_bytes!("../tests/golden/addresses-v1.json").to_vec();
            let len = file.len();
            file[at % len] = byte;
            file.truncate(1 + cut % (2 * len));
            std::fs::write(dir.path().join(FILE), file).unwrap();
            proptest::prop_assert!(AddressBook::open(dir.path()).all().len() <= 1);
        }
    }
}
