//! The controller of StoragePools: dereference, validate, build, apply, update_status.

use std::sync::Arc;
use std::time::Duration;

use datamesh_crds::StoragePool;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};

use crate::context::{Context, terse};
use crate::names;
use crate::outcome::Outcome;

mod apply;
mod build;
mod cleanup;
mod dereference;
mod rollout;
mod update_status;
mod validate;

use dereference::Found;
use update_status::Answer;

/// To the next look while something is not as it should be.
const SOON: Duration = Duration::from_secs(10);
/// To the next look otherwise: the gateway and the key are looked at, not watched.
const LATER: Duration = Duration::from_secs(15);

/// Why a pass over a pool failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server.
    #[error("{}", terse(.0))]
    Kube(#[from] kube::Error),
    /// An object could not be built.
    #[error(transparent)]
    Build(#[from] build::BuildError),
    /// Setting or removing the finalizer, or what it guards.
    #[error("{0}")]
    Finalizer(#[source] Box<FinalizerError<Error>>),
}

/// One pass over a pool.
pub(crate) async fn reconcile(pool: Arc<StoragePool>, context: Arc<Context>) -> Result<Action, Error> {
    let api = context.api::<StoragePool>(&pool.namespace().unwrap_or_default());
    let context = &context;
    let pass = |event| async move {
        match event {
            Event::Apply(pool) => Box::pin(bring_about(&pool, context)).await,
            Event::Cleanup(pool) => Box::pin(cleanup::clean_up(&pool, context)).await,
        }
    };
    finalizer(&api, names::FINALIZER, pool, pass).await.map_err(|error| Error::Finalizer(Box::new(error)))
}

async fn bring_about(pool: &StoragePool, context: &Context) -> Result<Action, Error> {
    let found = dereference::dereference(pool, context).await?;
    let valid = validate::validate(pool, &found);
    let answer = update_status::ask(&found).await;
    let result = pass(&found, &valid, &answer, context).await;
    let outcome = match &result {
        Ok(outcome) => outcome.clone(),
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let good = update_status::update_status(pool, &found, &valid, &outcome, &answer, context).await?;
    result?;
    Ok(Action::requeue(if good { LATER } else { SOON }))
}

/// Builds and applies, as far as spec, cluster and key allow, and hands the pool to the gateway.
async fn pass(
    found: &Found,
    valid: &Result<validate::ValidPool, validate::InvalidPool>,
    answer: &Answer,
    context: &Context,
) -> Result<Outcome, Error> {
    let valid = match (valid, &found.cluster) {
        (Err(validate::InvalidPool::Waiting { reason, message }), _) => {
            return Ok(Outcome::Underway { reason, message: message.clone() });
        }
        (_, Some(cluster)) if cluster.spec.paused => return Ok(Outcome::Paused),
        (Err(validate::InvalidPool::KeyMissing(message)), _) => {
            return Ok(Outcome::KeyMissing { reason: "KeyMissing", message: message.clone() });
        }
        (Err(invalid), _) => return Ok(Outcome::Invalid(invalid.to_string())),
        (Ok(valid), _) => valid,
    };
    let nodes = build::build(valid, found)?;
    let state = rollout::decide(&nodes, found, answer.pool(&valid.name));
    let refused = apply::apply(valid, &nodes, &state, context).await?;
    if let Some(message) = answer.submit(valid).await {
        return Ok(Outcome::Underway { reason: "GatewayUnreachable", message });
    }
    if !refused.is_empty() {
        return Ok(Outcome::Underway { reason: "VolumesNotGrown", message: refused.join(" ") });
    }
    Ok(match state.outcome() {
        Outcome::Applied if answer.pool(&valid.name).is_none_or(|known| known.epoch.is_none()) => {
            Outcome::Underway {
                reason: "NodesJoining",
                message: "All pods are ready; waiting for all nodes to join and the first layout.".into(),
            }
        }
        outcome => outcome,
    })
}
