//! What every pass over an object needs.

use std::sync::Arc;

use jiff::civil::Date;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::Error as FinalizerError;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backoff::Backoff;
use crate::conditions::Verdict;
use crate::health::Health;

/// Characters of an event's note at most (the API server's limit is 1 kB).
const NOTE_CHARS_MAX: usize = 900;

/// An error of the API server in one line: its own Display shows the whole answer, which no condition can bear.
pub(crate) fn terse(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            let message = status.message.lines().next().unwrap_or_default();
            format!("the API server answers {}: {message}", status.code)
        }
        other => other.to_string(),
    }
}

/// One controller's tools.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) health: Arc<Health>,
    pub(crate) backoff: Backoff,
    /// Owner of the fields this controller sets by server-side apply.
    pub(crate) field_manager: &'static str,
}

impl Context {
    /// Access to a kind in one namespace.
    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Today, in UTC.
    pub(crate) fn today(&self) -> Date {
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// Makes `object` what it says, by server-side apply.
    pub(crate) async fn apply<K>(&self, object: &K) -> kube::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(&object.namespace().unwrap_or_default());
        let params = PatchParams::apply(self.field_manager).force();
        api.patch(&object.name_any(), &params, &Patch::Apply(object)).await.map(|_| ())
    }

    /// Makes `object` unless one of its name exists. Says whether it made it.
    pub(crate) async fn create_once<K>(&self, object: &K) -> kube::Result<bool>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(&object.namespace().unwrap_or_default());
        let params = PostParams { field_manager: Some(self.field_manager.into()), ..PostParams::default() };
        match api.create(&params, object).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells of a changed condition.
    pub(crate) async fn tell_verdict<K>(&self, object: &K, verdict: &Verdict)
    where
        K: Resource<DynamicType = ()>,
    {
        let note = format!("{} is {}: {}", verdict.type_, verdict.status, verdict.message);
        self.tell(object, !verdict.is_alarming(), verdict.reason, &note).await;
    }

    /// Publishes an event. A lost event is no reason to fail a pass, so it is logged only.
    pub(crate) async fn tell<K>(&self, object: &K, good: bool, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if good { EventType::Normal } else { EventType::Warning },
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE_CHARS_MAX).collect()),
            action: "Reconcile".into(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(error = terse(&error), reason, "event not published");
        }
    }
}

/// The end of a pass under a finalizer. A deleted object may go while its last pass runs: another had removed the finalizer.
pub(crate) fn ended<E: std::error::Error + 'static>(
    pass: Result<Action, FinalizerError<E>>,
) -> Result<Action, Box<FinalizerError<E>>> {
    match pass {
        Err(FinalizerError::RemoveFinalizer(kube::Error::Api(status))) if status.is_not_found() => {
            Ok(Action::await_change())
        }
        pass => pass.map_err(Box::new),
    }
}
