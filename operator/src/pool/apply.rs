//! Step 4: makes the objects exist, node by node.

use super::build::{NodeObjects, pod_disruption_budget};
use super::rollout::Rollout;
use super::validate::ValidPool;
use crate::context::Context;

/// Makes all of it exist, but for the StatefulSets that are held back or still going. Says which volumes could not grow.
pub(super) async fn apply(
    pool: &ValidPool,
    nodes: &[NodeObjects],
    rollout: &Rollout,
    context: &Context,
) -> kube::Result<Vec<String>> {
    let mut refused = Vec::new();
    context.apply(&pod_disruption_budget::pool(pool)).await?;
    for node in nodes {
        let name = node.name();
        context.apply(&node.settings).await?;
        // Never rewritten: the catalog has bound its nonce to the node's key.
        context.create_once(&node.join).await?;
        if let Some(growth) = &node.growth {
            refused.extend(growth.ask(&pool.family.namespace, context).await?);
        }
        if !rollout.held.contains(&name) && !rollout.going.contains(&name) {
            context.apply(&node.stateful_set).await?;
        }
    }
    Ok(refused)
}
