//! The controller of StoragePools: dereference, validate, build, apply, update_status.

use std::sync::Arc;
use std::time::Duration;

use datamesh_crds::StoragePool;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};

use crate::context::{Context, ended, terse};
use crate::names;
use crate::outcome::Outcome;

mod apply;
mod build;
mod cleanup;
mod dereference;
mod draining;
mod gateway;
mod leaving;
mod namesakes;
mod removal;
mod rollout;
#[cfg(test)]
mod tests;
mod update_status;
mod validate;

use dereference::Found;
use gateway::{Answer, Untold};
use leaving::{Leaving, Step};
use validate::{InvalidPool, ValidPool};

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
    ended(finalizer(&api, names::FINALIZER, pool, pass).await).map_err(Error::Finalizer)
}

async fn bring_about(pool: &StoragePool, context: &Context) -> Result<Action, Error> {
    let found = match dereference::dereference(pool, context).await {
        Ok(found) => found,
        Err(error) => {
            // The first failure is the one to know; the API server may be away for both.
            if let Err(untold) = update_status::tell_failure(pool, &terse(&error), context).await {
                tracing::warn!(error = terse(&untold), "status not written");
            }
            return Err(error.into());
        }
    };
    let valid = validate::validate(pool, &found);
    let mut answer = gateway::ask(&found).await;
    let result = pass(pool, &found, &valid, &mut answer, context).await;
    let outcome = match &result {
        Ok(outcome) => outcome.clone(),
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let good = update_status::update_status(pool, &found, &valid, &outcome, &answer, context).await?;
    result?;
    Ok(Action::requeue(if good { LATER } else { SOON }))
}

/// Hands the pool to the gateway, builds, applies and removes, as far as spec, cluster and key allow.
async fn pass(
    pool: &StoragePool,
    found: &Found,
    valid: &Result<ValidPool, InvalidPool>,
    answer: &mut Answer,
    context: &Context,
) -> Result<Outcome, Error> {
    let valid = match workable(found, valid) {
        Ok(valid) => valid,
        Err(outcome) => return Ok(outcome),
    };
    // First of all: what the gateway refuses must restart no node.
    answer.submit(valid).await;
    let leaving = leaving::decide(valid, found, answer);
    let outcome = carry_out(valid, found, &leaving, answer, context).await?;
    removal::remove(pool, &leaving, context).await?;
    Ok(outcome)
}

/// Makes it exist, unless the gateway refuses it. One that is away refuses nothing, and nodes may be what it waits for.
async fn carry_out(
    pool: &ValidPool,
    found: &Found,
    leaving: &[Leaving<'_>],
    answer: &Answer,
    context: &Context,
) -> Result<Outcome, Error> {
    let away = match answer.told() {
        None | Some(Ok(())) => None,
        Some(Err(Untold::Refused(words))) => {
            return Ok(Outcome::Invalid(format!("The gateway refuses the pool: {words}")));
        }
        Some(Err(Untold::Away(message))) => Some(message.clone()),
    };
    let known = answer.pool(pool.name.as_str());
    // Who leaves is kept like all others for as long as it has shards: what brings a node back, brings its shards out.
    let kept = leaving.iter().filter(|node| node.step == Step::Keep).map(|node| node.identity);
    let nodes = build::build(pool, kept, found)?;
    let state = rollout::decide(&nodes, found, known);
    let refused = apply::apply(pool, &nodes, &state, context).await?;
    let underway = |reason, message| Ok(Outcome::Underway { reason, message });
    match (away, state.outcome()) {
        (Some(message), Outcome::Underway { message: nodes, .. }) => {
            underway("GatewayUnreachable", format!("{message}. {nodes}"))
        }
        (Some(message), _) => underway("GatewayUnreachable", message),
        (None, _) if !refused.is_empty() => underway("VolumesNotGrown", refused.join(" ")),
        (None, Outcome::Applied) if known.is_none_or(|known| known.epoch.is_none()) => underway(
            "NodesJoining",
            "All pods are ready; waiting for all nodes to join and the first layout.".into(),
        ),
        (None, Outcome::Applied) if !leaving.is_empty() => {
            underway("NodesLeaving", draining::leaving(leaving))
        }
        (None, outcome) => Ok(outcome),
    }
}

/// The pool, if something may be done to it now.
fn workable<'a>(found: &Found, valid: &'a Result<ValidPool, InvalidPool>) -> Result<&'a ValidPool, Outcome> {
    match (valid, &found.cluster) {
        (Err(InvalidPool::Waiting { reason, message }), _) => {
            Err(Outcome::Underway { reason, message: message.clone() })
        }
        (_, Some(cluster)) if cluster.spec.paused => Err(Outcome::Paused),
        (Err(InvalidPool::KeyMissing(message)), _) => {
            Err(Outcome::KeyMissing { reason: "KeyMissing", message: message.clone() })
        }
        (Err(invalid), _) => Err(Outcome::Invalid(invalid.to_string())),
        (Ok(valid), _) => Ok(valid),
    }
}
