//! The controller of DataMeshClusters: dereference, validate, build, apply, update_status.

use std::sync::Arc;
use std::time::Duration;

use datamesh_crds::DataMeshCluster;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};
use rustls::pki_types::UnixTime;

use crate::context::{Context, ended, terse};
use crate::names;
use crate::outcome::Outcome;

mod apply;
mod build;
mod catalog_move;
mod cleanup;
mod copies;
mod database;
mod dereference;
mod given_files;
mod given_tls;
mod key;
mod leaving;
mod memory;
mod notifications;
mod removal;
mod request_limits;
mod rollout;
mod sign_in;
mod update_status;
mod validate;
mod verdicts;

pub(crate) use build::config_map::{cluster_settings, listen};
pub(crate) use build::pod_disruption_budget::one_at_a_time;
pub(crate) use cleanup::{delete, delete_this};
use key::Key;
#[cfg(test)]
pub(crate) use validate::tests;
pub(crate) use validate::{bulk_encryption, settings_name};
use verdicts::Answer;

/// To the next look while something is not as it should be.
const SOON: Duration = Duration::from_secs(10);
/// To the next look otherwise: the gateway and the key are looked at, not watched.
const LATER: Duration = Duration::from_secs(15);

/// Why a pass over a cluster failed; it is tried again.
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

/// One pass over a cluster.
pub(crate) async fn reconcile(cluster: Arc<DataMeshCluster>, context: Arc<Context>) -> Result<Action, Error> {
    let api = context.api::<DataMeshCluster>(&cluster.namespace().unwrap_or_default());
    let context = &context;
    let pass = |event| async move {
        match event {
            Event::Apply(cluster) => Box::pin(bring_about(&cluster, context)).await,
            Event::Cleanup(cluster) => Box::pin(cleanup::clean_up(&cluster, context)).await,
        }
    };
    ended(finalizer(&api, names::FINALIZER, cluster, pass).await).map_err(Error::Finalizer)
}

async fn bring_about(cluster: &DataMeshCluster, context: &Context) -> Result<Action, Error> {
    let found = dereference::dereference(cluster, context).await?;
    let judged = key::judge(cluster, &found);
    let answer = update_status::ask(cluster, &found).await;
    let result = pass(cluster, &found, &judged, &answer, context).await;
    let outcome = match &result {
        Ok(outcome) => outcome.clone(),
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let good = update_status::update_status(cluster, &found, &judged, &outcome, &answer, context).await?;
    result?;
    Ok(Action::requeue(if good { LATER } else { SOON }))
}

/// Validates, builds and applies, as far as the spec and the key allow.
async fn pass(
    cluster: &DataMeshCluster,
    found: &dereference::Found,
    judged: &Key,
    answer: &Answer,
    context: &Context,
) -> Result<Outcome, Error> {
    if cluster.spec.paused {
        return Ok(Outcome::Paused);
    }
    let valid = match validate::validate(cluster, found, UnixTime::now()) {
        Ok(valid) => valid,
        Err(invalid) => return Ok(Outcome::Invalid(invalid.to_string())),
    };
    let (secret, key_is_new) = match judged {
        Key::Present(secret) => (secret, false),
        Key::New(secret) => (secret, true),
        Key::Missing { reason, message } => {
            return Ok(Outcome::KeyMissing { reason, message: message.clone() });
        }
    };
    if key_is_new && !apply::keep_new_key(cluster, &valid, secret, context).await? {
        // Another one came into being meanwhile: look again, and never go on with this one.
        return Ok(Outcome::Underway {
            reason: "KeyAppeared",
            message: "Another key appeared; looking again.".into(),
        });
    }
    let mut objects = build::build(&valid, found, secret, context.today())?;
    let leaving = leaving::decide(&valid, &objects.gateways, found, answer);
    objects.gateways.retain(|gateway| !gateway.leaves || leaving::is_kept(&leaving, &gateway.name()));
    let rollout = rollout::decide(&objects.gateways, found, answer, jiff::Timestamp::now());
    let refused = apply::apply(&objects, &rollout.held, context).await?;
    removal::remove(cluster, &leaving, context).await?;
    if !refused.is_empty() {
        return Ok(Outcome::Underway { reason: "VolumesNotGrown", message: refused.join(" ") });
    }
    Ok(leaving::outcome(&leaving, rollout.outcome, answer))
}
