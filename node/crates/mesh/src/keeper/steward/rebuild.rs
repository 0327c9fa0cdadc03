//! Makes the missing shards of one segment out of k others, proves them, and puts them where they belong.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_erasure::Coder;
use datamesh_exchange::survey::Rebuild;
use datamesh_placement::Table;
use datamesh_shard::{SegmentHeader, ShardIndex, ShardKey};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::super::fellows::{Fellows, Offered};
use crate::offload::offload;
use crate::planted::{Planted, is_planted};

/// What rebuilding one segment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Rebuilt {
    /// Shards that are durable where they belong now.
    pub(in super::super) kept: u64,
    /// Their payload bytes.
    pub(in super::super) bytes: u64,
    /// Shards that were not made or not taken.
    pub(in super::super) failed: u64,
}

pub(super) async fn rebuild(fellows: &Fellows, table: &Arc<Table>, due: Rebuild) -> Rebuilt {
    let mut outcome = Rebuilt::default();
    let Some(made) = make(fellows, table, &due).await else {
        tracing::warn!(segment = ?due.segment, tolerance = due.tolerance, "not rebuilt: too few shards were read");
        outcome.failed = u64::try_from(due.missing.len()).unwrap_or(u64::MAX);
        return outcome;
    };
    let (header, shards) = made;
    for ((index, member), payload) in due.missing.iter().zip(shards) {
        let key = ShardKey { segment: due.segment, index: *index };
        let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        match fellows.put(table, *member, (key, due.generation), (header.clone(), payload)).await {
            Offered::Kept => (outcome.kept, outcome.bytes) = (outcome.kept + 1, outcome.bytes + bytes),
            Offered::NotWanted => {}
            Offered::Failed => outcome.failed += 1,
        }
    }
    outcome
}

/// How shards that others are made of are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// By what comes out: each shard that is made depends on every byte of those it is made of.
    Made,
    /// Each by itself, which costs k times as much and says whose is wrong.
    Each,
}

/// The encoded header and the missing shards, each proven against its leaf.
async fn make(fellows: &Fellows, table: &Arc<Table>, due: &Rebuild) -> Option<(Bytes, Vec<Bytes>)> {
    for proof in [Proof::Made, Proof::Each] {
        let (header, present) = gather(fellows, table, due, proof).await?;
        let wanted: Vec<_> = due.missing.iter().map(|(index, _)| *index).collect();
        let encoded = header.encode();
        let made = offload(move || code(&header, &present, &wanted)).await?;
        if let Some(shards) = made {
            return Some((encoded, shards));
        }
        tracing::warn!(segment = ?due.segment, ?proof, "shards do not come out as their leaves say");
    }
    None
}

fn code(
    header: &SegmentHeader,
    present: &BTreeMap<ShardIndex, Bytes>,
    wanted: &[ShardIndex],
) -> Option<Vec<Bytes>> {
    let profile = header.profile();
    let mut out = vec![vec![0; header.shard_bytes()]; wanted.len()];
    let present: Vec<Option<&[u8]>> = (0..profile.data() + profile.parity())
        .map(|index| present.get(&ShardIndex(index)).map(AsRef::as_ref))
        .collect();
    let mut places: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    Coder::new(profile).rebuild(&present, wanted, &mut places).ok()?;
    // The header was proven as it came.
    let proven = wanted.iter().zip(&out).all(|(index, shard)| header.verify_leaf(*index, shard).is_ok());
    (proven || is_planted(Planted::RepairUnproven)).then(|| out.into_iter().map(Bytes::from).collect())
}

/// k shards: as many are asked for at once, and a failure is replaced by the next source.
async fn gather(
    fellows: &Fellows,
    table: &Arc<Table>,
    due: &Rebuild,
    proof: Proof,
) -> Option<(SegmentHeader, BTreeMap<ShardIndex, Bytes>)> {
    let k = due.profile.k();
    let (mut got, mut header) = (BTreeMap::new(), None);
    let mut sources = due.sources.iter();
    let mut asked = FuturesUnordered::new();
    while got.len() < k {
        while got.len() + asked.len() < k
            && let Some((index, member)) = sources.next()
        {
            let key = ShardKey { segment: due.segment, index: *index };
            asked.push(async move {
                let got = match proof {
                    Proof::Made => fellows.get(table, *member, key).await,
                    Proof::Each => fellows.get_proven(table, *member, key).await,
                };
                (key.index, got)
            });
        }
        if let (index, Some((found, payload))) = asked.next().await? {
            if found.profile() != due.profile {
                return None;
            }
            got.insert(index, payload);
            header.get_or_insert(found);
        }
    }
    Some((header?, got))
}
