//! Whether the nodes have what the catalog needs, and nothing else.
//!
//! Nodes are asked first and the catalog after that, and whatever then looks wrong is asked again: a segment is referred to before its
//! first shard is put, and forgotten only after the last one is gone, so what is wrong stays so and what was only under way does not.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::catalog::{CatalogError, KnownSegment, UnknownSegment};
use datamesh_placement::{Table, segments_of};
use datamesh_settings::admin::{FsckFinding, FsckKind, FsckStep};
use datamesh_shard::{Generation, PeerKey, PoolName, SegmentId, ShardSet};
use futures::StreamExt;

use super::{Check, finding, members};

/// Members asked at the same time.
const MEMBERS_AT_ONCE: usize = 64;

/// A pool as it is looked at.
struct Looked<'a> {
    name: &'a PoolName,
    table: &'a Table,
    peers: Vec<PeerKey>,
    /// Members that did not say what they have.
    silent: BTreeSet<PeerKey>,
}

/// What members have of a segment.
#[derive(Default)]
struct There {
    shards: ShardSet,
    generation: Generation,
}

/// What all members said of one segment when they were asked for it.
struct Asked {
    by: Vec<(PeerKey, ShardSet)>,
    /// Whether all of them answered.
    all: bool,
}

impl Asked {
    fn shards(&self) -> ShardSet {
        self.by.iter().flat_map(|(_, shards)| shards.iter()).collect()
    }
}

impl Check {
    pub(super) async fn partitions(&mut self) -> Result<(), CatalogError> {
        let pools = self.context.pools.all();
        let tables = pools.iter().filter_map(|(name, pool)| Some((name, pool.newest()?)));
        let tables: Vec<_> =
            tables.map(|(name, table)| (name.clone(), std::sync::Arc::clone(table))).collect();
        let count = |table: &Table| 1_u64 << table.layout().partitions_log2;
        let (of, mut done) = (tables.iter().map(|(_, table)| count(table)).sum(), 0);
        for (name, table) in &tables {
            let peers = table.layout().members.iter().map(|member| member.peer).collect();
            let mut looked = Looked { name, table, peers, silent: BTreeSet::new() };
            for partition in (0_u32..).take(usize::try_from(count(table)).unwrap_or(usize::MAX)) {
                self.partition(&mut looked, partition).await?;
                done += 1;
                self.progress(FsckStep::Partitions, done, Some(of)).await;
            }
        }
        Ok(())
    }

    async fn partition(&mut self, looked: &mut Looked<'_>, partition: u32) -> Result<(), CatalogError> {
        let Some(span) = segments_of(looked.table.layout().partitions_log2, partition) else { return Ok(()) };
        let there = self.inventories(looked, partition).await;
        let needed = self.context.catalog.needed_segments(span).await?;
        for (segment, known) in needed.iter().filter(|(_, known)| known.pool == *looked.name) {
            let has = there.get(segment).map_or(0, |there| there.shards.len());
            if has == known.profile.total() {
                self.summary.whole += 1;
            } else {
                self.suspect(looked, *segment, known).await?;
            }
        }
        for (segment, there) in there.iter().filter(|(segment, _)| !needed.contains_key(*segment)) {
            self.stranger(looked, *segment, there).await?;
        }
        Ok(())
    }

    /// What all members have of a partition. Those that do not say are named once.
    async fn inventories(&mut self, looked: &mut Looked<'_>, partition: u32) -> BTreeMap<SegmentId, There> {
        let (net, table) = (&*self.context.net, looked.table);
        let asking = looked.peers.clone().into_iter().map(|peer| async move {
            let inventory = members::inventory(net, table, peer, partition).await;
            (peer, inventory)
        });
        let answers: Vec<_> = futures::stream::iter(asking).buffered(MEMBERS_AT_ONCE).collect().await;
        let mut all: BTreeMap<SegmentId, There> = BTreeMap::new();
        let mut silent = Vec::new();
        for (peer, inventory) in answers {
            let Some(inventory) = inventory else {
                silent.push(peer);
                continue;
            };
            for held in inventory {
                let there = all.entry(held.segment).or_default();
                there.shards = there.shards.iter().chain(held.shards.iter()).collect();
                there.generation = there.generation.max(held.generation);
            }
        }
        for peer in silent {
            if looked.silent.insert(peer) {
                let node = self.context.pools.name_of(looked.name, &peer);
                let node = node.map_or_else(|| peer.to_string(), |node| node.to_string());
                let detail = format!("node {node} does not say what it has: what only it has was not seen");
                let pool = Some(looked.name.clone());
                self.find(FsckFinding { pool, ..finding(FsckKind::NodeSilent, detail) }).await;
            }
        }
        all
    }

    async fn ask_for(&self, looked: &Looked<'_>, segment: SegmentId) -> Asked {
        let net = &*self.context.net;
        let asking = looked.peers.clone().into_iter().map(|peer| async move {
            let located = members::located(net, peer, segment).await;
            (peer, located)
        });
        let answers: Vec<_> = futures::stream::iter(asking).buffered(MEMBERS_AT_ONCE).collect().await;
        let all = answers.iter().all(|(_, shards)| shards.is_some());
        let by = answers.into_iter().filter_map(|(peer, shards)| Some((peer, shards?))).collect();
        Asked { by, all }
    }

    /// A segment of which not all shards were seen: they may be on their way, or it may have been let go.
    async fn suspect(
        &mut self,
        looked: &Looked<'_>,
        segment: SegmentId,
        known: &KnownSegment,
    ) -> Result<(), CatalogError> {
        let is_committed = self.context.catalog.object_of(known.upload).await?.is_some();
        let asked = self.ask_for(looked, segment).await;
        // What an object used before and after nodes were asked, they must have had.
        if !is_committed || !self.context.catalog.is_named(known.upload, segment).await? {
            return Ok(());
        }
        match asked.shards().len() {
            shards if shards == known.profile.total() => self.summary.whole += 1,
            shards if shards >= known.profile.k() => {
                self.summary.short += 1;
                self.context.damage.alarms.raise(looked.name, segment);
            }
            _ if !asked.all => self.summary.unseen += 1,
            shards => {
                let detail = format!(
                    "{shards} shards of a segment are left where {} are needed to read it: put the object again from another copy",
                    known.profile.k()
                );
                let found = FsckFinding {
                    segment: Some(segment.to_string()),
                    pool: Some(looked.name.clone()),
                    ..finding(FsckKind::LostSegment, detail)
                };
                let found = self.about(known.upload, found).await?;
                self.find(found).await;
            }
        }
        Ok(())
    }

    /// Shards of a segment that nobody needs: it may be about to be deleted, or gone by now.
    async fn stranger(
        &mut self,
        looked: &Looked<'_>,
        segment: SegmentId,
        there: &There,
    ) -> Result<(), CatalogError> {
        if self.context.catalog.is_known(segment).await? {
            return Ok(());
        }
        // Had it been known and deleted meanwhile, none would be left.
        let asked = self.ask_for(looked, segment).await;
        let first = asked.by.iter().find_map(|(peer, shards)| Some((*peer, shards.iter().next()?)));
        let Some((peer, index)) = first else { return Ok(()) };
        let Some(header) = members::header(&*self.context.net, peer, segment, index).await else {
            return Ok(());
        };
        let unknown = UnknownSegment {
            segment,
            pool: looked.name.clone(),
            profile: header.profile(),
            generation: there.generation,
            sealed_bytes: header.sealed_bytes(),
            epoch: looked.table.layout().epoch,
        };
        let mended = match self.repair {
            true => {
                let now = self.context.surroundings.now_unix_ms();
                if !self.context.catalog.condemn_unknown(&unknown, now).await? {
                    return Ok(());
                }
                true
            }
            false if self.context.catalog.is_known(segment).await? => return Ok(()),
            false => false,
        };
        let detail = "nodes have shards of a segment that nothing in the catalog needs: they only take room";
        let found = FsckFinding {
            segment: Some(segment.to_string()),
            pool: Some(looked.name.clone()),
            mended,
            ..finding(FsckKind::UnknownSegment, detail)
        };
        self.find(found).await;
        Ok(())
    }
}
