//! Anchors of the catalog's backups, kept for the day on which no gateway has a catalog any more. They are sealed: what counts here is
//! their place alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_exchange::anchor::{ANCHOR_BYTES_MAX, ANCHORS_MAX, AnchorId};
use datamesh_exchange::message::Refusal;
use datamesh_store::Durability;
use parking_lot::Mutex;

use crate::swarm::{RecordBytes, RecordBytesError};

/// Then generation and snapshot, big-endian.
const PREFIX: &[u8] = b"catalog/anchor/";
/// First byte of a record: then its id as it is bound, then the sealed anchor.
const VERSION: u8 = 1;
const ID_BYTES: usize = 32;

/// Generation and snapshot.
type Chain = (u64, u64);

/// What becomes of an anchor that is given to a node.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It is kept, and these chains are forgotten.
    Keep(Vec<Chain>),
    /// A later one of its chain is kept already.
    Known,
    /// Later chains enough are kept.
    Old,
    /// A later catalog has been here.
    Superseded(AnchorId),
}

/// The anchors on a node's volume.
pub(crate) struct Anchors {
    records: Arc<dyn RecordBytes>,
    known: Mutex<BTreeMap<Chain, AnchorId>>,
}

impl Anchors {
    /// As they are kept. What cannot be read is passed over, and kept.
    pub(crate) fn recall(records: Arc<dyn RecordBytes>) -> Self {
        let rows = records.iter(PREFIX).unwrap_or_else(|error| {
            tracing::error!(%error, "the anchors of the catalog's backups cannot be read");
            Vec::new()
        });
        let ids = rows.iter().filter_map(|(_, row)| Some(decode(row)?.0));
        let known = ids.map(|id| (id.chain(), id)).collect();
        Self { records, known: Mutex::new(known) }
    }

    /// Keeps an anchor, durably.
    pub(crate) fn keep(&self, id: AnchorId, sealed: &[u8]) -> Result<(), Refusal> {
        if sealed.is_empty() || sealed.len() > ANCHOR_BYTES_MAX {
            return Err(Refusal::BadRequest(format!("an anchor of {} bytes", sealed.len())));
        }
        // One at a time: the later one stays.
        let mut known = self.known.lock();
        let gone = match place(&known, &id) {
            Place::Known => return Ok(()),
            Place::Old => return Err(Refusal::Failed("the anchors of later backups fill its place".into())),
            Place::Superseded(by) => return Err(Refusal::Superseded { by }),
            Place::Keep(gone) => gone,
        };
        self.write(&id, sealed).map_err(failed)?;
        known.insert(id.chain(), id);
        for chain in gone {
            self.records.delete(&key(chain)).map_err(failed)?;
            known.remove(&chain);
        }
        Ok(())
    }

    /// Lets go of all, unless a later catalog's is among them.
    pub(crate) fn forget(&self, generation: u64) -> Result<(), Refusal> {
        let mut known = self.known.lock();
        if let Some(by) = later(&known, generation) {
            return Err(Refusal::Superseded { by });
        }
        while let Some((chain, _)) = known.first_key_value() {
            let chain = *chain;
            self.records.delete(&key(chain)).map_err(failed)?;
            known.remove(&chain);
        }
        Ok(())
    }

    fn write(&self, id: &AnchorId, sealed: &[u8]) -> Result<(), RecordBytesError> {
        let row = [&[VERSION][..], &id.binding(), sealed].concat();
        self.records.put(&key(id.chain()), &row, Durability::Synced)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<AnchorId> {
        self.known.lock().values().copied().collect()
    }

    /// One of them.
    pub(crate) fn get(&self, id: &AnchorId) -> Result<Bytes, Refusal> {
        let row = self.records.get(&key(id.chain())).map_err(failed)?;
        let found = row.as_deref().and_then(decode).filter(|(found, _)| found == id);
        found.map(|(_, sealed)| Bytes::copy_from_slice(sealed)).ok_or(Refusal::NotFound)
    }
}

/// The newest, if it is of a later catalog.
fn later(known: &BTreeMap<Chain, AnchorId>, generation: u64) -> Option<AnchorId> {
    known.values().max().copied().filter(|newest| newest.generation > generation)
}

/// Where an anchor belongs among those that are known.
fn place(known: &BTreeMap<Chain, AnchorId>, id: &AnchorId) -> Place {
    if let Some(by) = later(known, id.generation) {
        return Place::Superseded(by);
    }
    if known.get(&id.chain()).is_some_and(|kept| kept > id) {
        return Place::Known;
    }
    let mut chains: Vec<Chain> = known.keys().copied().filter(|chain| *chain != id.chain()).collect();
    chains.push(id.chain());
    chains.sort_unstable();
    let beyond = chains.len().saturating_sub(ANCHORS_MAX);
    let gone: Vec<Chain> = chains.into_iter().take(beyond).collect();
    if gone.contains(&id.chain()) { Place::Old } else { Place::Keep(gone) }
}

fn key((generation, snapshot): Chain) -> Vec<u8> {
    [PREFIX, &generation.to_be_bytes(), &snapshot.to_be_bytes()].concat()
}

fn decode(row: &[u8]) -> Option<(AnchorId, &[u8])> {
    let (&version, rest) = row.split_first()?;
    let (id, sealed) = rest.split_first_chunk::<ID_BYTES>()?;
    let mut fields = id.as_chunks::<8>().0.iter().map(|field| u64::from_le_bytes(*field));
    let (generation, snapshot) = (fields.next()?, fields.next()?);
    let id = AnchorId { generation, revision: fields.next()?, at_unix_ms: fields.next()?, snapshot };
    (version == VERSION).then_some((id, sealed))
}

fn failed(error: RecordBytesError) -> Refusal {
    tracing::error!(%error, "an anchor of the catalog's backup is not kept or read");
    Refusal::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::MemoryRecords;

    fn id(generation: u64, snapshot: u64, revision: u64) -> AnchorId {
        AnchorId { generation, snapshot, revision, at_unix_ms: revision * 10 }
    }

    #[test]
    fn the_newest_of_each_chain_is_kept_over_a_restart() {
        let records = Arc::new(MemoryRecords::default());
        let anchors = Anchors::recall(Arc::<MemoryRecords>::clone(&records));
        anchors.keep(id(1, 5, 5), b"a").unwrap();
        anchors.keep(id(1, 5, 9), b"b").unwrap();
        // It was under way for long.
        anchors.keep(id(1, 5, 7), b"late").unwrap();
        anchors.keep(id(2, 3, 3), b"c").unwrap();
        let anchors = Anchors::recall(records);
        assert_eq!(anchors.all(), [id(1, 5, 9), id(2, 3, 3)]);
        assert_eq!(anchors.get(&id(1, 5, 9)).unwrap(), "b");
        assert_eq!(anchors.get(&id(2, 3, 3)).unwrap(), "c");
        assert_eq!(anchors.get(&id(1, 5, 7)), Err(Refusal::NotFound));
    }

    #[test]
    fn an_earlier_catalog_is_told_that_it_was_replaced() {
        let anchors = Anchors::recall(Arc::new(MemoryRecords::default()));
        anchors.keep(id(7, 1, 1), b"a").unwrap();
        assert_eq!(
            anchors.keep(id(6, 9, 9), b"b"),
            Err(Refusal::Superseded { by: id(7, 1, 1) }),
            "whatever its revision is"
        );
        anchors.keep(id(7, 2, 2), b"c").unwrap();
    }

    #[test]
    fn so_many_chains_and_bytes_are_kept_and_no_more() {
        let anchors = Anchors::recall(Arc::new(MemoryRecords::default()));
        for snapshot in 1..=ANCHORS_MAX as u64 + 3 {
            anchors.keep(id(1, snapshot, snapshot), b"a").unwrap();
        }
        let kept = anchors.all();
        assert_eq!((kept.len(), kept[0].snapshot), (ANCHORS_MAX, 4));
        // It would count as kept, and is not.
        assert!(matches!(anchors.keep(id(1, 2, 2), b"older than all"), Err(Refusal::Failed(_))));
        assert_eq!(anchors.all(), kept);
        assert!(anchors.keep(id(1, 99, 99), &[]).is_err());
        assert!(anchors.keep(id(1, 99, 99), &vec![0; ANCHOR_BYTES_MAX + 1]).is_err());
        anchors.keep(id(1, 99, 99), &vec![0; ANCHOR_BYTES_MAX]).unwrap();
    }

    #[test]
    fn all_are_forgotten_for_good_but_not_on_the_word_of_an_earlier_catalog() {
        let records = Arc::new(MemoryRecords::default());
        let anchors = Anchors::recall(Arc::<MemoryRecords>::clone(&records));
        anchors.keep(id(6, 1, 1), b"a").unwrap();
        anchors.keep(id(7, 1, 1), b"b").unwrap();
        assert_eq!(anchors.forget(6), Err(Refusal::Superseded { by: id(7, 1, 1) }));
        assert_eq!(anchors.all().len(), 2);
        anchors.forget(7).unwrap();
        assert!(anchors.all().is_empty() && Anchors::recall(records).all().is_empty());
        anchors.forget(7).unwrap();
        anchors.keep(id(7, 2, 2), b"c").unwrap();
    }

    #[test]
    fn a_record_that_cannot_be_read_is_no_anchor() {
        let records = Arc::new(MemoryRecords::default());
        records.put(&key((1, 1)), &[9; 50], Durability::Synced).unwrap();
        records.put(&key((1, 2)), &[1; 20], Durability::Synced).unwrap();
        assert!(Anchors::recall(records).all().is_empty());
    }
}
