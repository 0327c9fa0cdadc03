//! CPU work off the threads that serve connections, at most as much at once as there are cores. Where there is only one
//! thread it is done in that one, and the number of cores makes no difference: no slot is held over an await.

use std::sync::Arc;

use datamesh_mesh::offload;
use tokio::sync::Semaphore;

use crate::metrics::Stages;

/// Runs heavy work. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cpu {
    slots: Arc<Semaphore>,
    stages: Stages,
}

/// The process is stopping: the work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub(crate) struct Stopped;

impl Cpu {
    pub(super) fn new(stages: Stages) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { slots: Arc::new(Semaphore::new(cores)), stages }
    }

    /// Runs `work` on a thread of its own, if there is one. A panic in it goes on here.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stages) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Stopped)?;
        let stages = self.stages.clone();
        let done = offload(move || {
            let done = work(&stages);
            drop(slot);
            done
        });
        done.await.ok_or(Stopped)
    }
}
