//! Single flight: of many that want the same segment at the same time, one reads it and the others wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_shard::SegmentId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The segments being read, each by one leader; as many as there are reads under way, at most.
#[derive(Default)]
pub(super) struct Flights(Mutex<BTreeMap<SegmentId, UnderWay>>);

#[derive(Default)]
struct UnderWay {
    landed: CancellationToken,
    followed: bool,
}

/// Whether a read is the first of its segment.
pub(super) enum Boarding {
    /// It is.
    Lead(Flight),
    /// Another is under way; this is cancelled when it ends, however it ends.
    Follow(CancellationToken),
}

/// The lead of a segment's reads. It ends when this is dropped: also with a client that goes away.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    id: SegmentId,
}

impl Flights {
    pub(super) fn board(self: &Arc<Self>, id: SegmentId) -> Boarding {
        let mut flights = self.0.lock();
        match flights.get_mut(&id) {
            Some(flight) => {
                flight.followed = true;
                Boarding::Follow(flight.landed.clone())
            }
            None => {
                flights.insert(id, UnderWay::default());
                Boarding::Lead(Flight { flights: Arc::clone(self), id })
            }
        }
    }
}

impl Flight {
    /// Whether others wait for what this one reads: reason enough to keep it.
    pub(crate) fn is_followed(&self) -> bool {
        self.flights.0.lock().get(&self.id).is_some_and(|flight| flight.followed)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let flight = self.flights.0.lock().remove(&self.id);
        if let Some(flight) = flight {
            flight.landed.cancel();
        }
    }
}
