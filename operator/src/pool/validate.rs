//! Step 2: a pool's spec and what it refers to, checked once; the later steps never read the spec again. Pure.

use std::collections::BTreeMap;

use datamesh_crds::{
    CipherName, DataMeshCluster, Resources, Size, SizeError, SpanError, StoragePool, condition, label,
};
use datamesh_seal::ClusterSecret;
use datamesh_settings::BulkEncryption;
use datamesh_settings::admin::{DesiredMember, PoolSpec, RecodeSpec, ScrubSpec};
use datamesh_shard::{Cipher, ErasureProfile, NameError, NodeName, PoolName, ProfileError, ZoneName};
use kube::ResourceExt;

use super::dereference::Found;
use super::namesakes;
use crate::meta::Family;
use crate::{cluster, names, secrets, zones};

/// The part of a volume that is kept free when the spec names none.
const RESERVE_DIVISOR: u64 = 20;

/// One node identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node: NodeName,
    pub(crate) zone: ZoneName,
}

/// A pool that can be built.
pub(crate) struct ValidPool {
    pub(crate) family: Family,
    pub(crate) name: PoolName,
    /// The cluster's name in settings.
    pub(crate) settings_name: NodeName,
    pub(crate) zone_label: String,
    pub(crate) key: ClusterSecret,
    pub(crate) identities: Vec<Identity>,
    /// Nodes beyond `replicas` of which something exists.
    pub(crate) leaving: Vec<Identity>,
    /// The newest layout that was seen of the pool.
    pub(crate) epoch_seen: Option<u64>,
    pub(crate) spec: PoolSpec,
    pub(crate) capacity_bytes: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) image: String,
    pub(crate) pull_policy: &'static str,
    pub(crate) log_level: String,
    pub(crate) bulk_encryption: BulkEncryption,
    pub(crate) resources: Resources,
    pub(crate) volume_size: Size,
    pub(crate) storage_class_name: Option<String>,
    /// What a lost zone would cost, if too much.
    pub(crate) zone_risk: Option<String>,
}

/// What keeps a pool from being built, said so that it can be put right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidPool {
    /// Not wrong, but early.
    #[error("{message}")]
    Waiting {
        /// For machines.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// The cluster's key is missing; its own condition says more.
    #[error("{0}")]
    KeyMissing(String),
    /// A rule of the definition (an old definition may have let it pass).
    #[error("{0}")]
    Rule(String),
    /// Names that become too long.
    #[error("metadata.name: {0}; use a shorter one")]
    Name(NameError),
    /// Nodes whose names another pool's nodes have.
    #[error(
        "metadata.name: nodes would be named {stem}-0 and so on, as those of StoragePool {other} (clusterRef {cluster}), which is older: delete this pool and apply it under another name"
    )]
    Namesake {
        /// What the names begin with.
        stem: String,
        /// The older pool.
        other: String,
        /// Its cluster.
        cluster: String,
    },
    /// A volume that another pool left behind.
    #[error(
        "metadata.name: a node would take volume {claim}, which belongs to {owner}: delete this pool and apply it under another name, or delete the volume if its data may go"
    )]
    Taken {
        /// The volume's claim.
        claim: String,
        /// Whose it is.
        owner: String,
    },
    /// The scrub's period.
    #[error("scrub.period: {0}")]
    ScrubPeriod(#[from] SpanError),
    /// A zone label's value.
    #[error(
        "a Kubernetes node's zone label cannot be used: {0}; change the label or the cluster's spec.zoneLabel"
    )]
    Zone(NameError),
    /// A size.
    #[error("{0}")]
    Size(#[from] SizeError),
    /// k or m.
    #[error("erasure: {0}")]
    Profile(#[from] ProfileError),
    /// A number out of range.
    #[error("{0}: out of range")]
    Range(&'static str),
}

/// Checks what the API server cannot: other objects and live zones.
pub(crate) fn validate(pool: &StoragePool, found: &Found) -> Result<ValidPool, InvalidPool> {
    let spec = &pool.spec;
    let cluster = live_cluster(pool, found)?;
    sound(cluster)?;
    pool.validate_cel().map_err(|errors| InvalidPool::Rule(errors.to_string()))?;
    own_names(pool, found)?;
    let family = Family::of(cluster);
    let profile = ErasureProfile::new(
        u8::try_from(spec.erasure.data_shards).map_err(|_| InvalidPool::Range("erasure.dataShards"))?,
        u8::try_from(spec.erasure.parity_shards).map_err(|_| InvalidPool::Range("erasure.parityShards"))?,
    )?;
    let capacity_bytes = spec.volume_size.bytes()?;
    let reserve_bytes = spec.reserve.as_ref().map_or(Ok(capacity_bytes / RESERVE_DIVISOR), Size::bytes)?;
    let name = PoolName::new(&pool.name_any()).map_err(InvalidPool::Name)?;
    let identities = identities(pool, &name, found, &cluster.spec.zone_label)?;
    let zones: Vec<ZoneName> = identities.iter().map(|identity| identity.zone.clone()).collect();
    let key = key(pool, found)?;
    Ok(ValidPool {
        spec: pool_spec(spec, profile, &identities, capacity_bytes)?,
        settings_name: cluster::settings_name(&family).map_err(InvalidPool::Name)?,
        zone_risk: zones::zone_risk(profile, &zones),
        zone_label: cluster.spec.zone_label.clone(),
        image: cluster.spec.image.reference(),
        pull_policy: cluster.spec.image.pull_policy.as_str(),
        log_level: cluster.spec.log_level.clone(),
        bulk_encryption: cluster::bulk_encryption(cluster.spec.bulk_encryption),
        resources: spec.resources.clone(),
        volume_size: spec.volume_size.clone(),
        storage_class_name: spec.storage_class_name.clone(),
        family,
        name,
        key,
        leaving: leaving(pool, found)?,
        epoch_seen: pool.status.as_ref().and_then(|status| u64::try_from(status.epoch?).ok()),
        identities,
        capacity_bytes,
        reserve_bytes,
    })
}

fn live_cluster<'a>(pool: &StoragePool, found: &'a Found) -> Result<&'a DataMeshCluster, InvalidPool> {
    let name = &pool.spec.cluster_ref;
    let Some(cluster) = &found.cluster else {
        let message = format!(
            "DataMeshCluster {name} does not exist in this namespace: apply it, or correct clusterRef."
        );
        return Err(InvalidPool::Waiting { reason: "ClusterNotFound", message });
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        let message = format!(
            "DataMeshCluster {name} is being deleted; volumes go or stay as its deletionPolicy says."
        );
        return Err(InvalidPool::Waiting { reason: "ClusterDeleted", message });
    }
    Ok(cluster)
}

/// Image and log level are the cluster's, and an invalid spec must not restart a node: it has to be judged, and found valid,
/// by the cluster's own controller, and by this build's rules if another build judged it.
fn sound(cluster: &DataMeshCluster) -> Result<(), InvalidPool> {
    let name = cluster.name_any();
    let status = cluster.status.as_ref();
    if status.and_then(|status| status.observed_generation) != cluster.metadata.generation {
        let message =
            format!("Waiting until the spec of DataMeshCluster {name} has been checked; see its conditions.");
        return Err(InvalidPool::Waiting { reason: "WaitingForCluster", message });
    }
    let refused = status.and_then(|status| {
        status.conditions.iter().find(|c| c.type_ == condition::PROGRESSING && c.reason == "InvalidSpec")
    });
    let problem = match refused {
        Some(refused) => refused.message.clone(),
        None => match cluster.validate_cel() {
            Ok(()) => return Ok(()),
            Err(errors) => errors.to_string(),
        },
    };
    let message = format!(
        "The spec of DataMeshCluster {name} is invalid; until it is put right nothing of this pool is changed, and what \
         runs goes on running. {problem}"
    );
    Err(InvalidPool::Waiting { reason: "ClusterInvalid", message })
}

/// Whether the nodes' names are this pool's alone.
fn own_names(pool: &StoragePool, found: &Found) -> Result<(), InvalidPool> {
    if let Some(elder) = namesakes::elder(pool, &found.pools) {
        return Err(InvalidPool::Namesake {
            stem: names::pool(&pool.spec.cluster_ref, &pool.name_any()),
            other: elder.name_any(),
            cluster: elder.spec.cluster_ref.clone(),
        });
    }
    match namesakes::taken(pool, replicas(pool)?, &found.other_volumes) {
        Some(claim) => Err(InvalidPool::Taken { claim: claim.name_any(), owner: namesakes::owner(claim) }),
        None => Ok(()),
    }
}

fn replicas(pool: &StoragePool) -> Result<u16, InvalidPool> {
    u16::try_from(pool.spec.replicas).map_err(|_| InvalidPool::Range("replicas"))
}

/// The cluster's key, once the cluster's own controller is content with it.
fn key(pool: &StoragePool, found: &Found) -> Result<ClusterSecret, InvalidPool> {
    let cluster = &pool.spec.cluster_ref;
    let conditions = found.cluster.iter().flat_map(|c| c.status.iter().flat_map(|s| &s.conditions));
    if let Some(missing) =
        conditions.into_iter().find(|c| c.type_ == condition::KEY_MISSING && c.status == "True")
    {
        return Err(InvalidPool::KeyMissing(missing.message.clone()));
    }
    let text = found.key.as_ref().and_then(|secret| secrets::text_of(secret, names::KEY_FIELD));
    let secret = text.and_then(|text| ClusterSecret::from_hex(&text).ok());
    let known = found.cluster.as_ref().and_then(|c| c.status.as_ref()?.key_fingerprint.clone());
    // A key the cluster's controller has not judged yet is not used: it may be a wrong one.
    let judged = secret.filter(|secret| known.as_ref().is_some_and(|known| *known == secret.fingerprint()));
    judged.ok_or_else(|| InvalidPool::Waiting {
        reason: "WaitingForKey",
        message: format!("Waiting for the key of DataMeshCluster {cluster}; see its KeyMissing condition."),
    })
}

/// All node identities with their zones. What exists keeps its zone, whatever the nodes' labels say now.
fn identities(
    pool: &StoragePool,
    name: &PoolName,
    found: &Found,
    zone_label: &str,
) -> Result<Vec<Identity>, InvalidPool> {
    let cluster = &pool.spec.cluster_ref;
    let replicas = replicas(pool)?;
    let mut known = known_zones(pool, found);
    // Those that leave take no place in a zone.
    known.retain(|ordinal, _| *ordinal < replicas);
    let zones = zones::assign(replicas, &known, &zones::live_zones(&found.nodes, zone_label));
    let zones = zones.map_err(InvalidPool::Zone)?;
    let identity = |(ordinal, zone)| {
        let node = NodeName::new(&names::node(cluster, name.as_str(), ordinal)).map_err(InvalidPool::Name)?;
        Ok(Identity { node, zone })
    };
    (0..replicas).zip(zones).map(identity).collect()
}

/// The nodes beyond `replicas` that exist, by their StatefulSets and volumes: these are what is still to be removed.
fn leaving(pool: &StoragePool, found: &Found) -> Result<Vec<Identity>, InvalidPool> {
    let (cluster, name, replicas) = (&pool.spec.cluster_ref, pool.name_any(), replicas(pool)?);
    let sets = found.stateful_sets.iter().map(ResourceExt::name_any);
    let claims =
        found.volumes.iter().filter_map(|claim| Some(names::claimant(&claim.name_any())?.to_owned()));
    let beyond = |node: String| {
        let ordinal = names::ordinal_of(&node, cluster, &name)?;
        (ordinal >= replicas && names::node(cluster, &name, ordinal) == node).then_some((ordinal, node))
    };
    let known = known_zones(pool, found);
    let identity = |(ordinal, node): (u16, String)| {
        let zone = known.get(&ordinal).map_or(zones::UNZONED, String::as_str);
        Ok(Identity {
            node: NodeName::new(&node).map_err(InvalidPool::Name)?,
            zone: ZoneName::new(zone).map_err(InvalidPool::Zone)?,
        })
    };
    let all: BTreeMap<u16, String> = sets.chain(claims).filter_map(beyond).collect();
    all.into_iter().map(identity).collect()
}

/// Zones by ordinal. Volumes say it most reliably, since the data is there; then StatefulSets, then the status.
fn known_zones(pool: &StoragePool, found: &Found) -> BTreeMap<u16, String> {
    let (cluster, name) = (&pool.spec.cluster_ref, pool.name_any());
    let by_status = pool.status.iter().flat_map(|s| &s.members).map(|m| (m.node.clone(), m.zone.clone()));
    let labelled = |labels: &BTreeMap<String, String>| {
        Some((labels.get(label::NODE)?.clone(), labels.get(label::ZONE)?.clone()))
    };
    let by_set = found.stateful_sets.iter().filter_map(|set| labelled(set.labels()));
    let by_volume = found.volumes.iter().filter_map(|claim| labelled(claim.labels()));
    let zones = by_status.chain(by_set).chain(by_volume);
    zones.filter_map(|(node, zone)| Some((names::ordinal_of(&node, cluster, &name)?, zone))).collect()
}

/// What the gateway is told.
fn pool_spec(
    spec: &datamesh_crds::StoragePoolSpec,
    erasure: ErasureProfile,
    identities: &[Identity],
    capacity_bytes: u64,
) -> Result<PoolSpec, InvalidPool> {
    let member = |identity: &Identity| DesiredMember {
        node: identity.node.clone(),
        zone: identity.zone.clone(),
        capacity_bytes,
    };
    let ack_shards = spec.ack_shards.map(u8::try_from).transpose();
    Ok(PoolSpec {
        erasure,
        cipher: match spec.cipher {
            CipherName::Aes256Gcm => Cipher::Aes256Gcm,
            CipherName::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305,
        },
        ack_shards: ack_shards.map_err(|_| InvalidPool::Range("ackShards"))?,
        members: identities.iter().map(member).collect(),
        scrub: scrub_spec(&spec.scrub)?,
        recode: RecodeSpec {
            enabled: spec.recode.enabled,
            max_bytes_per_second: spec.recode.max_bytes_per_second.as_ref().map(Size::bytes).transpose()?,
        },
    })
}

fn scrub_spec(spec: &datamesh_crds::ScrubSpec) -> Result<ScrubSpec, InvalidPool> {
    Ok(ScrubSpec {
        period_seconds: spec.period.duration()?.as_secs(),
        paused: spec.paused,
        max_bytes_per_second: spec.max_bytes_per_second.as_ref().map(Size::bytes).transpose()?,
    })
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(crate) mod tests;
