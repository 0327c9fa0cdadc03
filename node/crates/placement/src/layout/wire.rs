//! A layout's bytes, in the lowest version that can say it. Version 1 knows no draining members, version 2 no holders, version 3
//! no earlier profiles.

use datamesh_shard::{Epoch, ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Layout, LayoutError, Member};

/// First byte of a layout in which nobody drains.
const NOBODY_DRAINS: u8 = 1;
/// First byte of one in which somebody does.
const SOMEBODY_DRAINS: u8 = 2;
/// First byte of one that says who holds what.
const WITH_HOLDERS: u8 = 3;
/// First byte of one whose pool has data in other profiles, too.
const WITH_PROFILES: u8 = 4;

#[derive(Serialize, Deserialize)]
struct Encoded<M> {
    cluster: NodeName,
    pool: PoolName,
    profile: ErasureProfile,
    epoch: Epoch,
    partitions_log2: u8,
    members: Vec<M>,
}

#[derive(Serialize, Deserialize)]
struct EncodedV3 {
    layout: Encoded<MemberV2>,
    holders: Vec<u16>,
}

#[derive(Serialize, Deserialize)]
struct EncodedV4 {
    layout: EncodedV3,
    earlier: Vec<ErasureProfile>,
}

#[derive(Serialize, Deserialize)]
struct MemberV1 {
    node: NodeName,
    peer: PeerKey,
    zone: ZoneName,
    capacity_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct MemberV2 {
    member: MemberV1,
    draining: bool,
}

impl From<&Member> for MemberV1 {
    fn from(member: &Member) -> Self {
        Self {
            node: member.node.clone(),
            peer: member.peer,
            zone: member.zone.clone(),
            capacity_bytes: member.capacity_bytes,
        }
    }
}

impl From<&Member> for MemberV2 {
    fn from(member: &Member) -> Self {
        Self { member: member.into(), draining: member.draining }
    }
}

impl From<MemberV1> for Member {
    fn from(MemberV1 { node, peer, zone, capacity_bytes }: MemberV1) -> Self {
        Self { node, peer, zone, capacity_bytes, draining: false }
    }
}

impl From<MemberV2> for Member {
    fn from(MemberV2 { member, draining }: MemberV2) -> Self {
        Self { draining, ..member.into() }
    }
}

pub(super) fn encode(layout: &Layout) -> Vec<u8> {
    let with_holders = || EncodedV3 { layout: encoded(layout), holders: layout.holders.clone() };
    if !layout.earlier.is_empty() {
        written(&EncodedV4 { layout: with_holders(), earlier: layout.earlier.clone() }, WITH_PROFILES)
    } else if !layout.holders.is_empty() {
        written(&with_holders(), WITH_HOLDERS)
    } else if layout.members.iter().any(|member| member.draining) {
        written(&encoded::<MemberV2>(layout), SOMEBODY_DRAINS)
    } else {
        written(&encoded::<MemberV1>(layout), NOBODY_DRAINS)
    }
}

fn encoded<M: for<'a> From<&'a Member>>(layout: &Layout) -> Encoded<M> {
    Encoded {
        cluster: layout.cluster.clone(),
        pool: layout.pool.clone(),
        profile: layout.profile,
        epoch: layout.epoch,
        partitions_log2: layout.partitions_log2,
        members: layout.members.iter().map(M::from).collect(),
    }
}

/// Serialising into memory has no way to fail: no maps of unknown length, no custom refusal.
fn written(encoded: &impl Serialize, version: u8) -> Vec<u8> {
    postcard::to_extend(encoded, vec![version]).unwrap_or_default()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Layout, LayoutError> {
    match bytes.split_first() {
        Some((&NOBODY_DRAINS, body)) => Ok(layout::<MemberV1>(read(body)?, Vec::new())),
        Some((&SOMEBODY_DRAINS, body)) => Ok(layout::<MemberV2>(read(body)?, Vec::new())),
        Some((&WITH_HOLDERS, body)) => {
            let EncodedV3 { layout: encoded, holders } = read(body)?;
            Ok(layout(encoded, holders))
        }
        Some((&WITH_PROFILES, body)) => {
            let EncodedV4 { layout: EncodedV3 { layout: encoded, holders }, earlier } = read(body)?;
            Ok(Layout { earlier, ..layout(encoded, holders) })
        }
        Some((&version, _)) => Err(LayoutError::Version(version)),
        None => Err(LayoutError::Bytes(0)),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, LayoutError> {
    match postcard::take_from_bytes(body).map_err(LayoutError::Malformed)? {
        (encoded, []) => Ok(encoded),
        (_, rest) => Err(LayoutError::Trailing(rest.len())),
    }
}

fn layout<M: Into<Member>>(encoded: Encoded<M>, holders: Vec<u16>) -> Layout {
    let Encoded { cluster, pool, profile, epoch, partitions_log2, members } = encoded;
    let members = members.into_iter().map(M::into).collect();
    Layout { cluster, pool, profile, earlier: Vec::new(), epoch, partitions_log2, members, holders }
}
