//! How far drains are, and what they wait for.

use datamesh_placement::Member;
use datamesh_settings::admin::{DrainState, DrainStatus, MemberState, NodeReport};
use datamesh_shard::NodeName;
use tokio::time::Instant;

use super::StatusSource;
use crate::pools::Pool;

impl StatusSource {
    /// How far a member is with giving its shards away, if it shall.
    pub(super) fn drain(
        &self,
        pool: &Pool,
        node: &NodeName,
        report: Option<&NodeReport>,
    ) -> Option<DrainStatus> {
        let layout = pool.layout()?;
        let member = layout.member(node);
        let draining = member.filter(|member| member.draining);
        if draining.is_none() && pool.spec.member(node).is_some() && !pool.drains.contains(node) {
            return None;
        }
        let progress = draining.and_then(|member| self.pools.drain_of(&layout.pool, &member.peer));
        let now = Instant::now();
        let state = match &progress {
            // It shall drain, and is in no layout: it was emptied, or never had anything.
            _ if member.is_none() => DrainState::Drained,
            _ if draining.is_none() => DrainState::Pending,
            _ if draining.is_some_and(|member| self.pools.is_drained(member, layout.epoch)) => {
                DrainState::Drained
            }
            Some(progress) if progress.is_stalled(now) => DrainState::Stalled,
            _ => DrainState::Moving,
        };
        let is_under_way = matches!(state, DrainState::Moving | DrainState::Stalled);
        let eta_seconds = progress.as_ref().filter(|_| is_under_way).and_then(|p| p.eta_seconds(now));
        Some(DrainStatus {
            state,
            left_shards: report.map(|report| report.shards),
            left_bytes: report.map(|report| report.shard_bytes),
            moved_bytes: progress.map_or(0, |progress| progress.moved_bytes()),
            eta_seconds: eta_seconds.filter(|_| state == DrainState::Moving),
            waits_for: if state == DrainState::Drained { Vec::new() } else { self.waits_for(pool, node) },
        })
    }

    /// What keeps a drain from going on, as far as it shows.
    fn waits_for(&self, pool: &Pool, node: &NodeName) -> Vec<String> {
        let Some(layout) = pool.layout() else { return Vec::new() };
        let mut waits = Vec::new();
        for member in &layout.members {
            let (name, state) = (&member.node, self.pools.state(&member.peer));
            let is_itself = name == node;
            waits.extend(match state {
                MemberState::Down if is_itself => {
                    Some(format!(
                        "{name} does not answer: bring it back, its shards leave it from there. If its volume is lost for \
                         good, `datamesh node replace {name} --volume-is-lost` has it left out."
                    ))
                }
                MemberState::Down if !member.draining => {
                    Some(format!("{name} does not answer: shards that belong there wait until it is back."))
                }
                MemberState::Full if !is_itself && !member.draining => Some(format!(
                    "{name} takes no shards, its disk is full: shards that belong there wait until it has room."
                )),
                _ => None,
            });
        }
        let is_behind = |member: &&Member| {
            let seen = self.pools.report(&member.peer);
            seen.is_some_and(|seen| seen.report.epoch < Some(layout.epoch))
        };
        let behind: Vec<&str> =
            layout.members.iter().filter(is_behind).map(|member| member.node.as_str()).collect();
        if waits.is_empty() && !behind.is_empty() {
            waits.push(format!("Yet to learn layout {}: {}.", layout.epoch, behind.join(", ")));
        }
        waits
    }
}
