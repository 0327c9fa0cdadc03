//! Where the catalog leads: sees to it that the replicas of the settings' gateways are the group.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::raft::MembersError;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::members::Step;
use super::metrics::GroupMetrics;
use super::{Group, HAND_OVER_WAIT, standing};
use crate::metrics::CatalogMetrics;
use crate::work::{Next, Worker};

const PERIOD: Duration = Duration::from_secs(1);
/// Patience with one step: a replica that takes longer to come up to the others is waited for again.
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// The worker.
pub(crate) struct KeepMembers {
    group: Arc<Group>,
    wake: Arc<Notify>,
    metrics: GroupMetrics,
    /// What was waited for when it was said last.
    told: Option<String>,
}

impl KeepMembers {
    pub(crate) fn new(group: Arc<Group>, metrics: CatalogMetrics) -> Self {
        Self { group, wake: Arc::default(), metrics: GroupMetrics::new(metrics), told: None }
    }

    async fn step(&mut self) -> Next {
        let said = self.group.ask().await;
        let status = self.group.replica.status();
        self.metrics.note(&self.group.replica, &status, &said);
        self.metrics.members(&standing::members(&self.group.members.stay, &said));
        if status.leader != Some(self.group.replica.id()) {
            self.told = None;
            return Next::Wait(PERIOD);
        }
        let step = self.group.next(&said);
        match timeout(STEP_WITHIN, self.take(step)).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the catalog's members are not as they should be yet");
                Next::Wait(PERIOD)
            }
            Err(_) => Next::Wait(PERIOD),
        }
    }

    async fn take(&mut self, step: Step) -> Result<Next, MembersError> {
        let replica = &self.group.replica;
        match step {
            Step::Nothing => {
                self.told = None;
                return Ok(Next::Wait(PERIOD));
            }
            Step::Wait(reason) => {
                if self.told.as_ref() != Some(&reason) {
                    tracing::info!("the catalog's members stay as they are: {reason}");
                    self.told = Some(reason);
                }
                return Ok(Next::Wait(PERIOD));
            }
            Step::Learn(id) => {
                tracing::info!(replica = id, "a replica of the catalog is brought up to the others");
                replica.add_learner(id).await?;
            }
            Step::Vote(ids) => {
                tracing::info!(replicas = ?ids, "the replicas of the catalog change");
                replica.change_members(ids).await?;
            }
            Step::HandOver(id) => {
                tracing::info!(to = id, "this gateway is to leave: another one is to lead the catalog");
                replica.hand_over(id).await?;
                let handed = replica.until(|group| group.leader != Some(replica.id()));
                // Late is no fault: it is asked again.
                let _ = timeout(HAND_OVER_WAIT, handed).await;
            }
            Step::Forget(id) => {
                tracing::info!(replica = id, "a replica of the catalog is forgotten");
                replica.remove_learner(id).await?;
            }
        }
        Ok(Next::Busy)
    }
}

impl Worker for KeepMembers {
    fn name(&self) -> &'static str {
        "keep catalog members"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.step().boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.wake))
    }
}
