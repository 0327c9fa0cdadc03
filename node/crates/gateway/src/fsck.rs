//! Whether the catalog agrees with itself and with the nodes, while all goes on; what can be is mended on request. The answer is a
//! stream of lines, and whoever stops reading stops the check.

mod members;
mod partitions;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{BucketId, BucketKind, Object, UploadId};
use datamesh_settings::admin::{FsckEvent, FsckFinding, FsckKind, FsckProgress, FsckStep, FsckSummary};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::time::Instant;

use crate::pipeline::Context;

/// Lines that wait for their reader.
const LINES_MAX: usize = 64;
/// Between two lines that say how far it is.
const TOLD_EACH: Duration = Duration::from_secs(1);

/// Checks, one at a time.
pub(crate) struct Fsck {
    context: Arc<Context>,
    one: Arc<Mutex<()>>,
    /// How far the last one is, or was.
    at: At,
}

/// When a check was begun, and how far it is.
pub(crate) type UnderWay = (Instant, FsckProgress);
type At = Arc<parking_lot::Mutex<Option<UnderWay>>>;

impl Fsck {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, one: Arc::default(), at: Arc::default() }
    }

    /// The one under way, if there is one.
    pub(crate) fn under_way(&self) -> Option<UnderWay> {
        let is_over = self.one.try_lock().is_ok();
        self.at.lock().clone().filter(|_| !is_over)
    }

    /// Begins one, which goes on while its lines are read; `None` while another is under way.
    pub(crate) fn begin(&self, repair: bool) -> Option<BoxStream<'static, FsckEvent>> {
        let one = Arc::clone(&self.one).try_lock_owned().ok()?;
        let (lines, told) = mpsc::channel(LINES_MAX);
        let first = FsckProgress { step: FsckStep::Uploads, done: 0, of: None };
        *self.at.lock() = Some((Instant::now(), first));
        let check = Check {
            context: Arc::clone(&self.context),
            repair,
            lines,
            told_at: Instant::now(),
            at: Arc::clone(&self.at),
            buckets: BTreeMap::new(),
            private: BTreeSet::new(),
            summary: FsckSummary::default(),
        };
        let told = futures::stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
        let working: BoxFuture<'static, ()> = check.run(one).boxed();
        let working = working.into_stream().filter_map(|()| std::future::ready(None));
        Some(futures::stream::select(told, working).boxed())
    }
}

/// One under way.
struct Check {
    context: Arc<Context>,
    repair: bool,
    lines: mpsc::Sender<FsckEvent>,
    told_at: Instant,
    at: At,
    /// Names of the buckets there were at the beginning.
    buckets: BTreeMap<BucketId, String>,
    /// Those of them whose clients seal.
    private: BTreeSet<BucketId>,
    summary: FsckSummary,
}

impl Check {
    async fn run(mut self, _one: OwnedMutexGuard<()>) {
        let last = match self.all().await {
            Ok(()) => FsckEvent::End(self.summary),
            Err(error) => {
                tracing::error!(%error, "a check of the catalog does not go on");
                FsckEvent::Failed { detail: "the catalog cannot be read now; see the gateway's log".into() }
            }
        };
        self.tell(last).await;
    }

    async fn all(&mut self) -> Result<(), CatalogError> {
        let buckets = self.context.catalog.buckets().await?;
        let private = buckets.iter().filter(|bucket| bucket.kind == BucketKind::Private);
        self.private = private.map(|bucket| bucket.id).collect();
        self.buckets = buckets.into_iter().map(|bucket| (bucket.id, bucket.name.to_string())).collect();
        // What rows wrongly keep is let go first, so that it is not looked for on the nodes.
        self.uploads().await?;
        self.references().await?;
        self.objects().await?;
        self.settings().await?;
        self.shares().await?;
        self.partitions().await
    }

    /// A reader that is gone ends the check with its stream; until then nothing is left out.
    async fn tell(&self, line: FsckEvent) {
        let _ = self.lines.send(line).await;
    }

    async fn progress(&mut self, step: FsckStep, done: u64, of: Option<u64>) {
        let progress = FsckProgress { step, done, of };
        if let Some((_, at)) = &mut *self.at.lock() {
            *at = progress.clone();
        }
        if self.told_at.elapsed() >= TOLD_EACH {
            self.told_at = Instant::now();
            self.tell(FsckEvent::Progress(progress)).await;
        }
    }

    async fn find(&mut self, finding: FsckFinding) {
        self.summary.findings += 1;
        self.summary.mended += u64::from(finding.mended);
        self.tell(FsckEvent::Finding(finding)).await;
    }

    /// Names the object that an upload is, in a finding about it.
    async fn about(&self, upload: UploadId, finding: FsckFinding) -> Result<FsckFinding, CatalogError> {
        let Some(Object { bucket, key, .. }) = self.context.catalog.object_of(upload).await? else {
            return Ok(finding);
        };
        Ok(FsckFinding { bucket: self.buckets.get(&bucket).cloned(), key: Some(key.to_string()), ..finding })
    }
}

fn finding(kind: FsckKind, detail: impl Into<String>) -> FsckFinding {
    FsckFinding {
        kind,
        detail: detail.into(),
        bucket: None,
        key: None,
        segment: None,
        pool: None,
        mended: false,
    }
}
