//! Where the CPU time goes, by stage of the pipeline: what `make bench` prints.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

use super::SecondsCounter;

/// A stage of the pipeline that costs CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Compressing and encrypting.
    Seal,
    /// Computing parity.
    Encode,
    /// Hashing shards, to name a segment or to check it.
    Hash,
    /// Rebuilding lost data shards.
    Decode,
    /// Decrypting and decompressing.
    Open,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Encode => "encode",
            Self::Hash => "hash",
            Self::Decode => "decode",
            Self::Open => "open",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// CPU seconds by stage. Cheap to clone.
#[derive(Clone, Default)]
pub struct Stages {
    seconds: Family<StageLabels, SecondsCounter>,
}

impl Stages {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cpu_seconds", "CPU time by stage of the pipeline", self.seconds.clone());
    }

    /// Does `work`, which must stay on this thread, and counts its CPU time.
    pub fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let before = thread_cpu();
        let done = work();
        let took = thread_cpu().saturating_sub(before);
        self.seconds.get_or_create(&StageLabels { stage: stage.name() }).inc_by(took.as_secs_f64());
        done
    }

    /// CPU seconds of a stage so far.
    #[must_use]
    pub fn seconds(&self, stage: Stage) -> f64 {
        self.seconds.get_or_create(&StageLabels { stage: stage.name() }).get()
    }
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_waiting_does_not() {
        let stages = Stages::default();
        stages.measure(Stage::Hash, || std::thread::sleep(Duration::from_millis(50)));
        assert!(stages.seconds(Stage::Hash) < 0.04);
        stages.measure(Stage::Seal, || {
            let mut hash = [0; 32];
            for _ in 0..200_000 {
                hash = blake3::hash(&hash).into();
            }
            std::hint::black_box(hash)
        });
        assert!(stages.seconds(Stage::Seal) > 0.001);
    }
}
