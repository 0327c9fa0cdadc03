//! What a process knows of who wants to know what: it spares a look, and decides nothing, so that any of it may be forgotten.

use std::collections::HashMap;

use super::Known;
use crate::model::BucketId;

/// Bytes of rows that are known at most: a hundred buckets with the longest ones, and many thousands with usual ones.
const BYTES_MAX: usize = 64 << 20;
/// What a bucket counts besides its row.
const BUCKET_BYTES: usize = 256;

/// Subscriptions of buckets that were seen.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Watched {
    known: HashMap<BucketId, Known>,
    bytes: usize,
}

fn bytes_of(known: &Known) -> usize {
    known.bytes + BUCKET_BYTES
}

impl Watched {
    pub(super) fn get(&self, bucket: BucketId) -> Option<Known> {
        self.known.get(&bucket).cloned()
    }

    pub(super) fn has(&self, bucket: BucketId) -> bool {
        self.known.contains_key(&bucket)
    }

    /// Others go where there is no room.
    pub(super) fn insert(&mut self, bucket: BucketId, known: Known) {
        self.remove(bucket);
        self.bytes += bytes_of(&known);
        while self.bytes > BYTES_MAX
            && let Some(other) = self.known.keys().next().copied()
        {
            self.remove(other);
        }
        self.known.insert(bucket, known);
    }

    pub(in crate::catalog) fn remove(&mut self, bucket: BucketId) {
        self.bytes -= self.known.remove(&bucket).as_ref().map_or(0, bytes_of);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datamesh_shard::BucketName;

    use super::*;
    use crate::keyspace::Revision;
    use crate::record::SubscriptionsRecord;

    #[test]
    fn others_are_forgotten_where_there_is_no_room() {
        let bucket = BucketName::new("photos").unwrap();
        let record = Arc::new(SubscriptionsRecord { bucket, subscriptions: Vec::new() });
        let known = |bytes| Known { written: Revision(1), record: Arc::clone(&record), bytes };
        let mut watched = Watched::default();
        for number in 0..1000 {
            watched.insert(BucketId(number), known(BYTES_MAX / 10));
            assert!(watched.has(BucketId(number)) && watched.bytes <= BYTES_MAX, "{number}");
        }
        assert_eq!(watched.known.len(), 9);
        watched.insert(BucketId(999), known(1));
        (0..1000).for_each(|number| watched.remove(BucketId(number)));
        assert_eq!((watched.known.len(), watched.bytes), (0, 0));
    }
}
