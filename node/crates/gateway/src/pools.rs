//! The pools as this gateway knows them: what is wanted, the layouts of all epochs, and how the members are.

mod drain;
pub(crate) mod plan;
mod recoding;
pub(crate) mod reputation;
mod safety;
mod sources;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::SegmentRef;
use datamesh_exchange::message::Stewardship;
use datamesh_exchange::net::Net;
use datamesh_placement::{LAYOUT_BYTES_MAX, Layout, LayoutError, Member, SignedLayout, Table};
use datamesh_settings::admin::{MemberState, NodeReport, PoolSafety, PoolSpec};
use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName, SegmentId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

pub(crate) use drain::Progress;
pub(crate) use recoding::Recoded;
use recoding::Recoding;
use reputation::Reputations;
pub(crate) use sources::Sources;
pub(crate) use standing::ended;

/// A report older than this says nothing any more.
pub(crate) const REPORT_AGE_MAX: Duration = Duration::from_secs(15);

/// Patience with a layout that another gateway has committed: what asks for it is woken at once.
const LEARN_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of layouts in the answer to a member that joins: one of the largest, or many small ones.
const JOINED_LAYOUTS_BYTES: usize = LAYOUT_BYTES_MAX;

/// A pool's newest wish and all its committed layouts.
#[derive(Clone)]
pub(crate) struct Pool {
    pub(crate) spec: PoolSpec,
    /// Wanted members that shall give their shards away.
    pub(crate) drains: BTreeSet<NodeName>,
    /// One table per epoch: segments say under which they were written.
    pub(crate) tables: BTreeMap<Epoch, Arc<Table>>,
    /// The newest layout, as pushed to members.
    pub(crate) signed: Option<SignedLayout>,
}

impl Pool {
    pub(crate) fn new(spec: PoolSpec) -> Self {
        Self { spec, drains: BTreeSet::new(), tables: BTreeMap::new(), signed: None }
    }

    /// The table that new segments are placed by.
    pub(crate) fn newest(&self) -> Option<&Arc<Table>> {
        self.tables.last_key_value().map(|(_, table)| table)
    }

    /// The newest layout.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        self.newest().map(|table| table.layout())
    }

    /// Takes a committed layout. Computing its table takes a while: not on a thread that serves.
    pub(crate) fn add(&mut self, layout: Layout, signed: SignedLayout) -> Result<(), LayoutError> {
        let epoch = layout.epoch;
        let newest = self.tables.last_key_value().is_none_or(|(last, _)| *last < epoch);
        self.tables.insert(epoch, Arc::new(Table::compute(layout)?));
        if newest {
            self.signed = Some(signed);
        }
        Ok(())
    }
}

/// A member's last report.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) report: NodeReport,
    /// What it knows as a steward, if it said.
    pub(crate) stewardship: Option<Arc<Stewardship>>,
    pub(crate) at: Instant,
}

/// All pools. Reads are cheap: the pipeline asks for every segment.
pub(crate) struct Pools {
    net: Arc<dyn Net>,
    by_name: RwLock<BTreeMap<PoolName, Arc<Pool>>>,
    reports: RwLock<HashMap<PeerKey, Seen>>,
    /// The newest layout of each pool that its data was seen to lie by.
    settled: RwLock<HashMap<PoolName, Epoch>>,
    /// Of the members that drain.
    draining: RwLock<HashMap<PoolName, HashMap<PeerKey, Progress>>>,
    reputations: Mutex<Reputations>,
    /// Of data in earlier profiles.
    pub(crate) recoding: Recoding,
    /// Told when somebody asks for a layout that is newer than the known ones.
    unknown_epoch: Arc<Notify>,
    /// Changes with each pool that is put.
    changed: watch::Sender<()>,
}

impl Pools {
    pub(crate) fn new(net: Arc<dyn Net>) -> Self {
        Self {
            net,
            by_name: RwLock::default(),
            reports: RwLock::default(),
            settled: RwLock::default(),
            draining: RwLock::default(),
            reputations: Mutex::default(),
            recoding: Recoding::default(),
            unknown_epoch: Arc::default(),
            changed: watch::Sender::default(),
        }
    }

    pub(crate) fn get(&self, name: &PoolName) -> Option<Arc<Pool>> {
        self.by_name.read().get(name).cloned()
    }

    pub(crate) fn put(&self, name: PoolName, pool: Pool) {
        self.by_name.write().insert(name, Arc::new(pool));
        self.changed.send_replace(());
        self.recoding.wake().notify_one();
    }

    pub(crate) fn all(&self) -> Vec<(PoolName, Arc<Pool>)> {
        self.by_name.read().iter().map(|(name, pool)| (name.clone(), Arc::clone(pool))).collect()
    }

    /// A member's name, for people.
    pub(crate) fn name_of(&self, pool: &PoolName, peer: &PeerKey) -> Option<NodeName> {
        let pool = self.get(pool)?;
        let mut members = pool.layout()?.members.iter();
        members.find(|member| member.peer == *peer).map(|member| member.node.clone())
    }

    /// The newest layouts of all pools.
    pub(crate) fn signed(&self) -> Vec<SignedLayout> {
        self.by_name.read().values().filter_map(|pool| pool.signed.clone()).collect()
    }

    /// The newest layouts for a member of a pool: its own pool's, and those of others as far as a message has room for them.
    pub(crate) fn signed_for(&self, name: &PoolName) -> Vec<SignedLayout> {
        let own = self.get(name).and_then(|pool| pool.signed.clone());
        let mut room =
            JOINED_LAYOUTS_BYTES.saturating_sub(own.as_ref().map_or(0, |signed| signed.bytes.len()));
        let others = self.all().into_iter().filter(|(other, _)| other != name);
        let others = others.filter_map(|(_, pool)| pool.signed.clone()).filter(|signed| {
            let fits = signed.bytes.len() <= room;
            room -= if fits { signed.bytes.len() } else { 0 };
            fits
        });
        own.into_iter().chain(others).collect()
    }

    pub(crate) fn report(&self, peer: &PeerKey) -> Option<Seen> {
        self.reports.read().get(peer).cloned()
    }

    pub(crate) fn note_report(
        &self,
        peer: PeerKey,
        report: NodeReport,
        stewardship: Option<Arc<Stewardship>>,
    ) {
        self.reports.write().insert(peer, Seen { report, stewardship, at: Instant::now() });
    }

    /// Follows the members of a pool that drain, by what they reported.
    pub(crate) fn watch_drains(&self, pool: &Pool) {
        let Some(layout) = pool.layout() else { return };
        let now = Instant::now();
        let mut pools = self.draining.write();
        let mut known = pools.remove(&layout.pool).unwrap_or_default();
        let draining = layout.members.iter().filter(|member| member.draining).map(|member| {
            let left = self.report(&member.peer).map_or(0, |seen| seen.report.shard_bytes);
            let mut progress = known.remove(&member.peer).unwrap_or_else(|| Progress::new(left, now));
            progress.note(left, now);
            (member.peer, progress)
        });
        let draining = draining.collect();
        pools.insert(layout.pool.clone(), draining);
    }

    /// How far a member is with its drain, if it drains and has reported.
    pub(crate) fn drain_of(&self, pool: &PoolName, peer: &PeerKey) -> Option<Progress> {
        self.draining.read().get(pool)?.get(peer).cloned()
    }

    /// Members of the newest layout that drain and have nothing any more.
    pub(crate) fn drained(&self, pool: &Pool) -> BTreeSet<NodeName> {
        let Some(layout) = pool.layout() else { return BTreeSet::new() };
        let drained = layout.members.iter().filter(|member| self.is_drained(member, layout.epoch));
        drained.map(|member| member.node.clone()).collect()
    }

    /// Whether a member of the newest layout, which has this epoch, drains and has nothing any more.
    pub(crate) fn is_drained(&self, member: &Member, epoch: Epoch) -> bool {
        member.draining && self.report(&member.peer).is_some_and(|seen| seen.report.is_drained(epoch))
    }

    /// What the stewards of a pool counted, if it has a layout: only counts under the newest one, from members that
    /// reported lately.
    pub(crate) fn safety(&self, pool: &Pool) -> Option<PoolSafety> {
        let table = pool.newest()?;
        let members = table.layout().members.iter();
        let seen = members.filter_map(|member| self.report(&member.peer));
        let fresh = seen.filter(|seen| seen.at.elapsed() < REPORT_AGE_MAX);
        let stewards: Vec<_> = fresh.filter_map(|seen| seen.stewardship).collect();
        Some(safety::of(table.layout().epoch, table.partitions(), &stewards))
    }

    /// Tells whether a segment's partition was counted by its steward since so long ago, nothing in it being set apart as new: by
    /// what was heard until now.
    pub(crate) fn counted(&self, pool: &Pool) -> impl Fn(SegmentId, Duration) -> bool + use<> {
        let table = pool.newest().cloned();
        let members = table.iter().flat_map(|table| &table.layout().members);
        let seen = members.filter_map(|member| self.report(&member.peer));
        let said = seen.filter_map(|seen| Some((seen.stewardship?, seen.at)));
        let epoch = table.as_ref().map(|table| table.layout().epoch);
        let said: Vec<_> = said.filter(|(said, _)| said.epoch == epoch).collect();
        move |segment, ago| {
            let Some(table) = &table else { return false };
            let partition = table.partition_of(segment).0;
            said.iter()
                .any(|(said, at)| safety::counted_within(said, partition, ago.saturating_sub(at.elapsed())))
        }
    }

    /// Whom to ask for the shards of a segment that was written under this epoch: by the newest layout once everything
    /// lies where that says, else by the one it was written under. Others are asked where a shard is not where it should
    /// be.
    pub(crate) fn sources(&self, reference: &SegmentRef) -> Option<Sources> {
        let SegmentRef { id, pool: name, profile, epoch, .. } = reference;
        let pool = self.get(name);
        let newest = pool.as_ref().and_then(|pool| pool.layout());
        if newest.is_none_or(|newest| newest.epoch < *epoch) {
            // Another gateway has committed it.
            self.unknown_epoch.notify_one();
        }
        let pool = pool?;
        let settled = self.settled.read().get(name).copied().unwrap_or_default();
        // Once nothing is left of a profile the newest layout has no rows for it: whoever still reads by it reads what was
        // deleted, where it lay.
        let knows = |table: &&Arc<Table>| table.layout().profiles().any(|known| known == *profile);
        let settled = pool.tables.get(&settled.max(*epoch)).filter(knows);
        let table = settled.or_else(|| pool.tables.get(epoch).filter(knows))?;
        Some(Sources::new(&pool, table, *profile, *id))
    }

    /// The same; what is not known yet is waited for, for a moment.
    pub(crate) async fn sources_soon(&self, reference: &SegmentRef) -> Option<Sources> {
        let (mut changes, until) = (self.changed.subscribe(), Instant::now() + LEARN_WITHIN);
        loop {
            let known = self.sources(reference);
            if known.is_some() || !matches!(timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
                return known;
            }
        }
    }

    /// Notified when a segment lies by a layout that is not known here.
    pub(crate) fn unknown_epoch(&self) -> Arc<Notify> {
        Arc::clone(&self.unknown_epoch)
    }

    /// Notes whether everything of a pool lies where its newest layout says.
    pub(crate) fn settle(&self, name: &PoolName, pool: &Pool) {
        if let Some(table) = pool.newest()
            && self.safety(pool).is_some_and(|safety| safety.is_settled())
        {
            self.settled.write().insert(name.clone(), table.layout().epoch);
        }
    }

    /// Whether it is known that shards of a pool are not all where its newest layout says: they move, or are being rebuilt,
    /// and the nodes count them.
    pub(crate) fn is_on_the_move(&self, name: &PoolName) -> bool {
        let Some(pool) = self.get(name) else { return false };
        let newest = pool.layout().map(|layout| layout.epoch);
        let settled = self.settled.read().get(name).copied();
        newest > settled && settled.is_some()
            || self.safety(&pool).is_some_and(|safety| safety.is_complete() && !safety.is_settled())
    }

    /// The profile that segments of a pool are coded anew in, and how many bytes a second at most, if they are and some are in
    /// another.
    pub(crate) fn recodes(&self, name: &PoolName) -> Option<(ErasureProfile, Option<u64>)> {
        let pool = self.get(name)?;
        let layout = pool.layout().filter(|layout| pool.spec.recode.enabled && !layout.earlier.is_empty())?;
        Some((layout.profile, pool.spec.recode.max_bytes_per_second))
    }

    /// Whether a member is believed to answer.
    pub(crate) fn is_live(&self, peer: &PeerKey) -> bool {
        self.net.is_live(peer)
    }

    /// What a joined member is to this gateway.
    pub(crate) fn state(&self, peer: &PeerKey) -> MemberState {
        if !self.is_live(peer) {
            return MemberState::Down;
        }
        let full = self
            .report(peer)
            .is_some_and(|seen| !seen.report.accepting && seen.at.elapsed() < REPORT_AGE_MAX);
        if full { MemberState::Full } else { MemberState::Up }
    }

    /// The full members, if with their room there would be enough nodes for a segment.
    pub(crate) fn wants_room(&self, pool: &Pool) -> Vec<NodeName> {
        let Some(layout) = pool.layout() else { return Vec::new() };
        let in_state =
            |wanted: MemberState| layout.staying().filter(move |member| self.state(&member.peer) == wanted);
        let full: Vec<_> = in_state(MemberState::Full).map(|member| member.node.clone()).collect();
        if full.len() + in_state(MemberState::Up).count() < layout.profile.total() {
            return Vec::new();
        }
        full
    }

    /// Whether each member of a table can take shards now, by member index.
    pub(crate) fn available(&self, table: &Table) -> Vec<bool> {
        let takes = |member: &Member| !member.draining && self.state(&member.peer) == MemberState::Up;
        table.layout().members.iter().map(takes).collect()
    }
}
