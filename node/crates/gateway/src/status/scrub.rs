//! How far the members of a pool are with reading their shards, as they said.

use datamesh_settings::admin::{MemberState, MemberStatus, PoolScrub};

use crate::pools::Pool;

/// `None` without a layout: then there are no shards. Who is down does not scrub, and is missed anyway.
pub(super) fn told(pool: &Pool, members: &[MemberStatus]) -> Option<PoolScrub> {
    let layout = pool.layout()?;
    let in_layout = members.iter().filter(|member| layout.member(&member.node).is_some());
    let live = in_layout.filter(|member| matches!(member.state, MemberState::Up | MemberState::Full));
    let reports = live.filter_map(|member| Some(member.report.as_ref()?.scrub));
    let members = u32::try_from(layout.members.len()).unwrap_or(u32::MAX);
    Some(PoolScrub::of(pool.spec.scrub, members, reports))
}

/// What somebody should do about it. A pause is somebody's will, and told beside the counts; shards that nobody has read for long
/// are not.
pub(super) fn problem(scrub: &PoolScrub) -> Option<String> {
    (scrub.overdue_members > 0).then(|| scrub.caveats().pop()).flatten()
}
