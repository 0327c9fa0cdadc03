//! How many connections there may be: of all listeners together, for they share memory and open files.

use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::limits::{CONNECTION_BYTES, CONNECTIONS_MAX, HTTP2_CONNECTIONS_MAX};

/// However little memory there is: fewer would serve nobody.
const CONNECTIONS_MIN: usize = 128;
/// Open files of storage and of the mesh's links, or half of those there are: the catalog holds hundreds at most, the mesh some for each node.
const FILES_BESIDES: u64 = 8192;

/// Room for connections.
#[derive(Clone)]
pub(crate) struct Connections {
    all: Arc<Semaphore>,
    /// Of these, those that may still begin HTTP/2.
    http2: Arc<Semaphore>,
    crowded: Arc<Notify>,
}

impl Connections {
    /// As many as so much memory and the open files are enough for.
    pub(crate) fn within(memory_bytes: Option<u64>) -> Self {
        let files = getrlimit(Resource::Nofile).current;
        let most = most(memory_bytes, files);
        tracing::debug!(most, "connections at a time");
        Self::of(most)
    }

    /// So many. Those that speak HTTP/2 do not give way while they are idle, so they have half of the places at most.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(most)),
            http2: Arc::new(Semaphore::new(HTTP2_CONNECTIONS_MAX.min(most / 2))),
            crowded: Arc::default(),
        }
    }

    /// A place, once there is one: if there is none, the connection that is idle longest gives its own up.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.all).try_acquire_owned() {
            return Some(place);
        }
        self.crowded.notify_one();
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// One of those with HTTP/2, if there is one.
    pub(super) fn place_of_http2(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.http2).try_acquire_owned().ok()
    }

    /// Wakes one that is to give its place up, whoever has waited longest.
    pub(super) fn crowded(&self) -> Arc<Notify> {
        Arc::clone(&self.crowded)
    }
}

fn most(memory_bytes: Option<u64>, files: Option<u64>) -> usize {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let by_memory =
        memory_bytes.map_or(usize::MAX, |bytes| count(bytes / CONNECTION_BYTES).max(CONNECTIONS_MIN));
    let by_files = files.map_or(usize::MAX, |files| count(files - FILES_BESIDES.min(files / 2)));
    CONNECTIONS_MAX.min(by_memory).min(by_files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_memory_and_files_are_enough_for() {
        const MIB: u64 = 1 << 20;
        assert_eq!(most(None, None), CONNECTIONS_MAX);
        assert_eq!(most(Some(48 * MIB), None), 768);
        assert_eq!(most(Some(0), None), CONNECTIONS_MIN);
        assert_eq!(most(Some(u64::MAX), Some(1024)), 512, "half of few files");
        assert_eq!(most(None, Some(18_000)), 18_000 - 8192);
        assert_eq!(most(None, Some(20_000)), CONNECTIONS_MAX);
    }
}
