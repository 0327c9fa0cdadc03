//! One shredding at a time, which goes on while nobody asks.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use datamesh_exchange::message::{Refusal, Response, SHRED_SEGMENTS_MAX};
use datamesh_shard::SegmentId;
use datamesh_store::Shredded;
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::shelf::Shelf;

/// The newest shredding, over or not. Forgotten with the process: whoever wants it asks again, and it begins anew.
#[derive(Default)]
pub(super) struct Shreds(Mutex<Option<Shredding>>);

struct Shredding {
    segments: Arc<BTreeSet<SegmentId>>,
    outcome: Arc<OnceLock<Result<Shredded, String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Shreds {
    /// Begins it, unless it goes on already; says how far it is. One that failed begins anew when it is asked for again.
    pub(super) fn ask(&self, shelf: &Arc<dyn Shelf>, segments: &[SegmentId]) -> Result<Response, Refusal> {
        if segments.len() > SHRED_SEGMENTS_MAX {
            return Err(Refusal::BadRequest(format!("more than {SHRED_SEGMENTS_MAX} segments")));
        }
        let segments: BTreeSet<SegmentId> = segments.iter().copied().collect();
        let mut newest = self.0.lock();
        if let Some(known) = newest.as_ref() {
            let is_same = *known.segments == segments;
            match known.outcome.get().cloned() {
                Some(Ok(Shredded { left, .. })) if is_same => {
                    return Ok(Response::Shredding { done: true, left });
                }
                Some(Err(reason)) if is_same => {
                    *newest = None;
                    return Err(Refusal::Failed(reason));
                }
                None if is_same => return Ok(Response::Shredding { done: false, left: 0 }),
                None => return Err(Refusal::Busy),
                Some(_) => {}
            }
        }
        *newest = Some(begin(Arc::clone(shelf), Arc::new(segments)));
        Ok(Response::Shredding { done: false, left: 0 })
    }
}

fn begin(shelf: Arc<dyn Shelf>, segments: Arc<BTreeSet<SegmentId>>) -> Shredding {
    let outcome = Arc::new(OnceLock::new());
    let (told, wanted) = (Arc::clone(&outcome), Arc::clone(&segments));
    #[allow(clippy::disallowed_methods, reason = "owned by the handle")]
    let task = tokio::spawn(async move {
        let shredded = shelf.shred(wanted).await;
        if let Err(error) = &shredded {
            tracing::warn!(%error, "what was deleted is not shredded");
        }
        let _ = told.set(shredded.map_err(|error| error.to_string()));
    });
    Shredding { segments, outcome, _task: AbortOnDropHandle::new(task) }
}
