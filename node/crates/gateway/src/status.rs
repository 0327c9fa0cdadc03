//! What the cluster knows of itself, from what its nodes reported. Nothing here is guessed.

mod avoided;
mod copies;
mod drain;
mod notifications;
mod recode;
mod safety;
mod scrub;

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::catalog::CatalogError;
use datamesh_placement::ZoneLoss;
use datamesh_settings::CatalogBackups;
use datamesh_settings::admin::{
    AvoidedReason, BackupStatus, CatalogEngine, CatalogMember, CatalogMemberState, CatalogStatus,
    ClusterStatus, DesiredMember, DrainState, MemberState, MemberStatus, PoolStatus, ProfileStatus,
};
use datamesh_shard::{BucketName, ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};
use tokio::time::Instant;

use crate::api::DEFAULT_BUCKET;
use crate::backup::Standing;
use crate::backup::copies::Place;
use crate::group::Group;
use crate::moving::Told;
use crate::notifications::Targets;
use crate::pipeline::Damage;
use crate::pools::{Pool, Pools, plan};
use crate::surroundings::Surroundings;

/// Copies of a catalog that one gateway keeps.
const REPLICAS_ALONE: u32 = 1;

/// Everything the status is made of.
pub(crate) struct StatusSource {
    pub(crate) cluster: NodeName,
    pub(crate) gateway: NodeName,
    pub(crate) key_fingerprint: String,
    pub(crate) catalog: EmbeddedCatalog,
    /// Those that keep it together, where several do.
    pub(crate) group: Option<Arc<Group>>,
    pub(crate) backup: Arc<Standing>,
    pub(crate) backups: CatalogBackups,
    pub(crate) copies: Option<Arc<Place>>,
    /// How far its move is, where it moves.
    pub(crate) moving: Option<Arc<Told>>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) damage: Arc<Damage>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
}

impl StatusSource {
    /// The status now.
    pub(crate) async fn now(&self) -> Result<ClusterStatus, CatalogError> {
        let mut pools = Vec::new();
        for (name, pool) in self.pools.all() {
            let joined = self.catalog.bindings(&name).await?.into_iter().collect();
            let profiles = recode::profiles(self, &name, &pool).await?;
            pools.push(self.pool(name, &pool, &joined, profiles));
        }
        let counters = self.catalog.counters().await?;
        let (members, leaving) = match &self.group {
            Some(group) if self.engine() == CatalogEngine::Embedded => group.members().await,
            // Once it has moved, nobody counts its copies here.
            Some(_) | None => (Vec::new(), None),
        };
        Ok(ClusterStatus {
            cluster: self.cluster.clone(),
            gateway: self.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key_fingerprint: self.key_fingerprint.clone(),
            catalog: CatalogStatus {
                engine: self.engine(),
                replicas: if self.group.is_none() || members.is_empty() {
                    REPLICAS_ALONE
                } else {
                    whole_copies(&members)
                },
                incarnation: self.catalog.incarnation(),
                objects: counters.objects,
                members,
                leaving,
                backup: self.backup().await?,
                moving: self.moving.as_ref().map(|moving| moving.status()),
                condemned_segments: counters.condemned_segments,
            },
            default_pool: default_pool(self.default_bucket().await?, &pools),
            pools,
            notifications: notifications::told(self).await?,
        })
    }

    fn engine(&self) -> CatalogEngine {
        if self.catalog.keyspace().is_elsewhere() { CatalogEngine::Postgres } else { CatalogEngine::Embedded }
    }

    /// None in a database, which has its own.
    pub(crate) async fn backup(&self) -> Result<Option<BackupStatus>, CatalogError> {
        if self.catalog.keyspace().is_elsewhere() {
            return Ok(None);
        }
        let backup = match self.backups {
            CatalogBackups::Mesh => self.backup.told(self.catalog.options().retention_ms),
            CatalogBackups::Off => Standing::told_off(),
        };
        let (copies, restored) = (copies::told(self).await?, copies::restored(self).await?);
        Ok(Some(BackupStatus { copies, restored, ..backup }))
    }

    /// The pool the default bucket is bound to, once something was put into it.
    async fn default_bucket(&self) -> Result<Option<PoolName>, CatalogError> {
        let Ok(name) = BucketName::new(DEFAULT_BUCKET) else { return Ok(None) };
        Ok(self.catalog.bucket(&name).await?.map(|bucket| bucket.pool))
    }

    fn pool(
        &self,
        name: PoolName,
        pool: &Pool,
        joined: &BTreeMap<NodeName, PeerKey>,
        profiles: Vec<ProfileStatus>,
    ) -> PoolStatus {
        let mut wanted: BTreeMap<NodeName, ZoneName> = pool
            .spec
            .members
            .iter()
            .map(|DesiredMember { node, zone, .. }| (node.clone(), zone.clone()))
            .collect();
        for member in pool.layout().map_or(&[][..], |layout| &layout.members) {
            wanted.insert(member.node.clone(), member.zone.clone());
        }
        // By the key the layout knows it by: a new one may have come to the name since.
        let peer_of = |node: &NodeName| {
            let member = pool.layout().and_then(|layout| layout.member(node));
            member.map(|member| member.peer).or_else(|| joined.get(node).copied())
        };
        let members: Vec<_> =
            wanted.into_iter().map(|(node, zone)| self.member(pool, peer_of(&node), (node, zone))).collect();
        let writable = self.is_writable(pool);
        let zone_loss = zone_loss(pool);
        let scrub = scrub::told(pool, &members);
        let mut problems = problems(pool, &members, zone_loss, writable);
        problems.extend(scrub.as_ref().and_then(scrub::problem));
        let recode = recode::told(pool, &profiles, self.pools.recoding.of(&name).as_ref());
        let counts = self.damage.of(&name);
        let safety = self.safety(&name, pool);
        PoolStatus {
            name,
            erasure: pool.spec.erasure,
            profiles,
            recode,
            epoch: pool.layout().map(|layout| layout.epoch),
            writable,
            members,
            short_puts: counts.short_puts,
            damaged_shards: counts.damaged_shards,
            counting_since_unix_ms: Some(self.damage.since_unix_ms()),
            zone_loss_shards: zone_loss.and_then(|loss| u32::try_from(loss.shards).ok()),
            safety,
            scrub,
            problems,
        }
    }

    fn member(&self, pool: &Pool, peer: Option<PeerKey>, (node, zone): (NodeName, ZoneName)) -> MemberStatus {
        let state = peer.map_or(MemberState::Joining, |peer| self.pools.state(&peer));
        let seen = peer.and_then(|peer| self.pools.report(&peer));
        let drain = self.drain(pool, &node, seen.as_ref().map(|seen| &seen.report));
        let avoided = peer.and_then(|peer| self.pools.avoided(&peer));
        let avoided = avoided.map(|avoided| avoided::told(&node, &avoided, Instant::now()));
        MemberStatus {
            node,
            zone,
            state,
            peer,
            drain,
            avoided,
            report_age_seconds: seen.as_ref().map(|seen| seen.at.elapsed().as_secs()),
            report: seen.map(|seen| seen.report),
        }
    }

    /// Whether so many members take shards that a put may be acknowledged.
    fn is_writable(&self, pool: &Pool) -> bool {
        let Some(table) = pool.newest() else { return false };
        let up = self.pools.available(table).into_iter().filter(|up| *up).count();
        // At most m shards of a segment stand on one node, and one more loss must leave k.
        let profile = table.layout().profile;
        let durable = up.saturating_mul(profile.m()).min(profile.total());
        durable >= usize::from(plan::ack_shards(&pool.spec, profile)) && up > 1
    }
}

/// Members that everything is agreed on with, and that have it.
fn whole_copies(members: &[CatalogMember]) -> u32 {
    let whole = members.iter().filter(|member| member.state == CatalogMemberState::Current);
    u32::try_from(whole.count()).unwrap_or(u32::MAX)
}

/// Where a put without a bucket goes: to the pool its bucket is bound to, else to the one its first put would choose.
fn default_pool(bound: Option<PoolName>, by_name: &[PoolStatus]) -> Option<PoolName> {
    bound.or_else(|| by_name.first().map(|pool| pool.name.clone()))
}

/// What the loss of a whole zone may cost, where that is more than is survived.
fn zone_loss(pool: &Pool) -> Option<ZoneLoss> {
    pool.newest().map(|table| table.zone_loss()).filter(|loss| !loss.is_survived())
}

fn problems(
    pool: &Pool,
    members: &[MemberStatus],
    zone_loss: Option<ZoneLoss>,
    writable: bool,
) -> Vec<String> {
    let named = |state: MemberState| -> Vec<&str> {
        // Whoever is drained is missed by nobody.
        let is_drained = |member: &MemberStatus| {
            member.drain.as_ref().is_some_and(|drain| drain.state == DrainState::Drained)
        };
        let missed = members.iter().filter(|member| member.state == state && !is_drained(member));
        missed.map(|member| member.node.as_str()).collect()
    };
    let mut problems = Vec::new();
    let joining = named(MemberState::Joining);
    if !joining.is_empty() {
        let names = joining.join(", ");
        problems.push(match pool.layout() {
            None => {
                format!("Waiting for {names} to join: the pool can be written once all its members have.")
            }
            Some(_) => format!("Waiting for {names} to join; until then data goes to the other members."),
        });
    }
    let down = named(MemberState::Down);
    if !down.is_empty() {
        // Of the profile that bears the least: what is said holds for all of the data.
        let profiles = pool.layout().into_iter().flat_map(|layout| layout.profiles());
        let weakest = profiles.min_by_key(|profile| profile.m()).unwrap_or(pool.spec.erasure);
        problems.push(losses(weakest, &down));
    }
    for member in members {
        if let Some(drain) = member.drain.as_ref().filter(|drain| drain.state == DrainState::Stalled) {
            let (node, reasons) = (&member.node, drain.waits_for.join(" "));
            problems.push(
                format!("{node} is being drained, but nothing leaves it. {reasons}").trim_end().to_owned(),
            );
        }
    }
    // Whoever is only slow is told by `diagnose`: it costs time, no safety.
    let wrong = members.iter().filter_map(|member| Some((&member.node, member.avoided.as_ref()?)));
    let wrong = wrong.filter(|(_, avoided)| avoided.reason == AvoidedReason::WrongAnswers);
    problems.extend(wrong.map(|(node, avoided)| format!("{node} {}", avoided.detail)));
    let full = named(MemberState::Full);
    if !full.is_empty() {
        let names = full.join(", ");
        problems
            .push(format!("{names} take no new shards, their disks are full: delete data or add capacity."));
    }
    // One zone is what a machine or a small cluster has: nothing that somebody could clear.
    if let Some(loss) = zone_loss.filter(|loss| loss.zones > 1) {
        problems.push(format!(
            "The loss of a whole zone may cost {} shards of a segment, {} are survived: spread the members over more zones.",
            loss.shards, loss.parity
        ));
    }
    if !writable && pool.layout().is_some() {
        problems.push("Too few members take shards: puts fail until more of them are back.".to_owned());
    }
    problems
}

/// What it means that these members do not answer.
fn losses(profile: ErasureProfile, down: &[&str]) -> String {
    let (names, m) = (down.join(", "), profile.m());
    match m.checked_sub(down.len()) {
        Some(left) => format!("{names} do not answer. Data that is whole survives {left} more losses."),
        None => format!(
            "{names} do not answer, and {profile} survives the loss of {m}: some data cannot be read until they are back."
        ),
    }
}

#[cfg(test)]
mod tests {
    use datamesh_placement::{Layout, Member, Table};
    use datamesh_settings::admin::PoolSpec;
    use datamesh_shard::{Cipher, Epoch};

    use super::*;

    /// A pool 4+2 whose members stand in these zones.
    fn pool(zones: &[&str]) -> Pool {
        let erasure = ErasureProfile::new(4, 2).unwrap();
        let member = |(n, zone): (usize, &&str)| Member {
            node: format!("n{n}").parse().unwrap(),
            peer: PeerKey([u8::try_from(n).unwrap() + 1; 32]),
            zone: zone.parse().unwrap(),
            capacity_bytes: 1 << 30,
            draining: false,
        };
        let members: Vec<Member> = zones.iter().enumerate().map(member).collect();
        let spec = PoolSpec {
            erasure,
            cipher: Cipher::default(),
            ack_shards: None,
            members: Vec::new(),
            scrub: Default::default(),
            recode: Default::default(),
        };
        let layout = Layout {
            cluster: "test".parse().unwrap(),
            pool: "main".parse().unwrap(),
            profile: erasure,
            earlier: Vec::new(),
            epoch: Epoch(1),
            partitions_log2: 10,
            members,
            holders: Vec::new(),
        };
        let mut pool = Pool::new(spec);
        pool.tables.insert(Epoch(1), Arc::new(Table::compute(layout).unwrap()));
        pool
    }

    #[test]
    fn the_loss_of_a_zone_is_told_where_it_costs_too_much() {
        assert_eq!(zone_loss(&pool(&["a", "b", "c", "a", "b", "c"])), None);
        let uneven = pool(&["a", "a", "a", "b", "b", "b", "c"]);
        let loss = zone_loss(&uneven).unwrap();
        assert!(loss.shards >= 3, "{loss:?}");
        let told = problems(&uneven, &[], Some(loss), true);
        assert!(told.len() == 1 && told[0].contains("whole zone may cost"), "{told:?}");
        // A single zone is told to the operator, but is no problem anybody could clear.
        let single = pool(&["a"; 6]);
        assert_eq!(zone_loss(&single).unwrap().shards, 6);
        assert!(problems(&single, &[], zone_loss(&single), true).is_empty());
    }

    #[test]
    fn losses_are_promised_to_whole_data_only_and_never_beyond_m() {
        let profile = ErasureProfile::new(4, 2).unwrap();
        assert!(losses(profile, &["n0"]).contains("n0 do not answer. Data that is whole survives 1 more"));
        let beyond = losses(profile, &["n0", "n1", "n2"]);
        assert!(beyond.contains("cannot be read until") && !beyond.contains("survives 0"), "{beyond}");
    }

    #[test]
    fn the_default_bucket_stays_in_the_pool_its_first_put_chose() {
        let pool = |name: &str| PoolStatus {
            name: name.parse().unwrap(),
            erasure: ErasureProfile::new(4, 2).unwrap(),
            epoch: None,
            writable: false,
            members: Vec::new(),
            short_puts: 0,
            damaged_shards: 0,
            counting_since_unix_ms: None,
            zone_loss_shards: None,
            safety: None,
            scrub: None,
            profiles: Vec::new(),
            recode: None,
            problems: Vec::new(),
        };
        let pools = [pool("early"), pool("main")];
        assert_eq!(default_pool(None, &pools), Some("early".parse().unwrap()));
        assert_eq!(default_pool(Some("main".parse().unwrap()), &pools), Some("main".parse().unwrap()));
        assert_eq!(default_pool(None, &[]), None);
    }
}
