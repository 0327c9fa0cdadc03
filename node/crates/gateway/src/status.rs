//! What the cluster knows of itself, from what its nodes reported. Nothing here is guessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::catalog::CatalogError;
use datamesh_settings::admin::{
    CatalogStatus, ClusterStatus, DesiredMember, MemberState, MemberStatus, PoolStatus,
};
use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};

use crate::pipeline::Damage;
use crate::pools::{Pool, Pools, plan};

/// Copies of the catalog: one, until it is replicated.
const CATALOG_REPLICAS: u32 = 1;

/// Everything the status is made of.
pub(crate) struct StatusSource {
    pub(crate) cluster: NodeName,
    pub(crate) gateway: NodeName,
    pub(crate) key_fingerprint: String,
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) pools: Arc<Pools>,
    pub(crate) damage: Arc<Damage>,
}

impl StatusSource {
    /// The status now.
    pub(crate) async fn now(&self) -> Result<ClusterStatus, CatalogError> {
        let mut pools = Vec::new();
        for (name, pool) in self.pools.all() {
            let joined = self.catalog.bindings(&name).await?.into_iter().collect();
            pools.push(self.pool(name, &pool, &joined));
        }
        let counters = self.catalog.counters().await?;
        Ok(ClusterStatus {
            cluster: self.cluster.clone(),
            gateway: self.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key_fingerprint: self.key_fingerprint.clone(),
            catalog: CatalogStatus {
                replicas: CATALOG_REPLICAS,
                incarnation: self.catalog.incarnation(),
                objects: counters.objects,
                condemned_segments: counters.condemned_segments,
            },
            pools,
        })
    }

    fn pool(&self, name: PoolName, pool: &Pool, joined: &BTreeMap<NodeName, PeerKey>) -> PoolStatus {
        let mut wanted: BTreeMap<NodeName, ZoneName> = pool
            .spec
            .members
            .iter()
            .map(|DesiredMember { node, zone, .. }| (node.clone(), zone.clone()))
            .collect();
        for member in pool.layout().map_or(&[][..], |layout| &layout.members) {
            wanted.insert(member.node.clone(), member.zone.clone());
        }
        let members: Vec<_> = wanted
            .into_iter()
            .map(|(node, zone)| self.member(joined.get(&node).copied(), node, zone))
            .collect();
        let writable = self.is_writable(pool);
        let problems = problems(pool, &members, writable);
        let counts = self.damage.of(&name);
        PoolStatus {
            name,
            erasure: pool.spec.erasure,
            epoch: pool.layout().map(|layout| layout.epoch),
            writable,
            members,
            short_puts: counts.short_puts,
            damaged_shards: counts.damaged_shards,
            problems,
        }
    }

    fn member(&self, peer: Option<PeerKey>, node: NodeName, zone: ZoneName) -> MemberStatus {
        let state = peer.map_or(MemberState::Joining, |peer| self.pools.state(&peer));
        let seen = peer.and_then(|peer| self.pools.report(&peer));
        MemberStatus {
            node,
            zone,
            state,
            peer,
            report_age_seconds: seen.as_ref().map(|seen| seen.at.elapsed().as_secs()),
            report: seen.map(|seen| seen.report),
        }
    }

    /// Whether so many members take shards that a put may be acknowledged.
    fn is_writable(&self, pool: &Pool) -> bool {
        let Some(table) = pool.newest() else { return false };
        let up = self.pools.available(table).into_iter().filter(|up| *up).count();
        // At most m shards of a segment stand on one node, and one more loss must leave k.
        let per_node = pool.spec.erasure.m();
        let durable = up.saturating_mul(per_node).min(pool.spec.erasure.total());
        durable >= usize::from(plan::ack_shards(&pool.spec)) && up > 1
    }
}

fn problems(pool: &Pool, members: &[MemberStatus], writable: bool) -> Vec<String> {
    let named = |state: MemberState| -> Vec<&str> {
        members.iter().filter(|member| member.state == state).map(|member| member.node.as_str()).collect()
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
        let names = down.join(", ");
        let left = pool.spec.erasure.m().saturating_sub(down.len());
        problems.push(format!(
            "{names} do not answer. Whole data survives {left} more losses; it is well again when they are back."
        ));
    }
    let full = named(MemberState::Full);
    if !full.is_empty() {
        let names = full.join(", ");
        problems
            .push(format!("{names} take no new shards, their disks are full: delete data or add capacity."));
    }
    let loss = pool.newest().map(|table| table.zone_loss());
    if let Some(loss) = loss.filter(|loss| loss.zones > 1 && loss.shards > loss.parity) {
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
