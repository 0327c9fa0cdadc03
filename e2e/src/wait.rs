//! Waiting for what the cluster says, by watches and with deadlines; what was seen last is told when it never comes.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{Stream, StreamExt as _};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

/// Between two questions that are answered anew each time.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True, False or Unknown.
    pub status: String,
    /// For machines.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The generation of the spec it speaks of.
    pub observed_generation: Option<i64>,
}

/// The condition of a type, if the object has it.
#[must_use]
pub fn condition(object: &DynamicObject, type_: &str) -> Option<Condition> {
    let all = object.data.pointer("/status/conditions")?.as_array()?;
    let found = all.iter().find(|c| c["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        observed_generation: found["observedGeneration"].as_i64(),
    })
}

/// Whether a condition has this status.
#[must_use]
pub fn is(object: &DynamicObject, type_: &str, status: &str) -> bool {
    condition(object, type_).is_some_and(|c| c.status == status)
}

/// Whether the status speaks of the present spec.
#[must_use]
pub fn up_to_date(object: &DynamicObject) -> bool {
    object.data.pointer("/status/observedGeneration").and_then(serde_json::Value::as_i64)
        == object.metadata.generation
}

/// Waits until an object is as wanted and gives it. `None` stands for an object that is not there.
///
/// # Errors
/// It does not come in time; the message holds the conditions seen last.
pub async fn object_until(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
    limit: Duration,
    wanted: impl Fn(Option<&DynamicObject>) -> bool,
) -> anyhow::Result<Option<DynamicObject>> {
    let mut last = None;
    let stream = watcher::watch_object(api.clone(), name);
    let mut stream = std::pin::pin!(stream);
    let seen = tokio::time::timeout(limit, async {
        while let Some(object) = stream.next().await {
            // A watch that broke off starts anew by itself.
            let Ok(object) = object else { continue };
            if wanted(object.as_ref()) {
                return Ok(object);
            }
            last = object;
        }
        bail!("the watch ended")
    });
    match seen.await {
        Ok(result) => result,
        Err(_) => bail!("{what}: not within {limit:?}; {name} says {}", conditions_text(last.as_ref())),
    }
}

/// Asks again and again until the answer is as wanted, for what nobody can watch: what only the gateway knows.
///
/// # Errors
/// It is not in time; the message holds the last refusal.
pub async fn until<T, F>(what: &str, limit: Duration, ask: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let deadline = tokio::time::Instant::now() + limit;
    let mut turns = tokio::time::interval(ASK_PERIOD);
    loop {
        turns.tick().await;
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if tokio::time::Instant::now() > deadline => {
                return Err(error.context(format!("{what}: not within {limit:?}")));
            }
            Err(_) => {}
        }
    }
}

fn conditions_text(object: Option<&DynamicObject>) -> String {
    let Some(object) = object else { return "nothing: it is not there".into() };
    let conditions = object.data.pointer("/status/conditions").and_then(serde_json::Value::as_array);
    let line = |c: &serde_json::Value| {
        let text = |field: &str| c[field].as_str().unwrap_or_default().to_owned();
        let since = text("lastTransitionTime");
        format!(
            "\n    {}={} since {since}, {}: {}",
            text("type"),
            text("status"),
            text("reason"),
            text("message")
        )
    };
    conditions.into_iter().flatten().map(line).collect()
}

/// Waits until the set of objects that match is as wanted and gives it.
///
/// # Errors
/// It does not come in time; the message holds the names seen last.
pub async fn set_until<K>(
    api: &Api<K>,
    config: watcher::Config,
    what: &str,
    limit: Duration,
    wanted: impl Fn(&[K]) -> bool,
) -> anyhow::Result<Vec<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut set = BTreeMap::new();
    let stream = watcher(api.clone(), config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    let outcome = tokio::time::timeout(limit, follow(&mut stream, &mut set, wanted)).await;
    match outcome {
        Ok(result) => result,
        Err(_) => bail!("{what}: not within {limit:?}; there are {:?}", set.keys().collect::<Vec<_>>()),
    }
}

async fn follow<K: Resource + Clone>(
    stream: &mut (impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Unpin),
    set: &mut BTreeMap<String, K>,
    wanted: impl Fn(&[K]) -> bool,
) -> anyhow::Result<Vec<K>> {
    let mut complete = false;
    while let Some(event) = stream.next().await {
        match event {
            Err(_) => continue,
            Ok(watcher::Event::Init) => {
                complete = false;
                set.clear();
            }
            Ok(watcher::Event::InitDone) => complete = true,
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                set.insert(object.name_any(), object);
            }
            Ok(watcher::Event::Delete(object)) => {
                set.remove(&object.name_any());
            }
        }
        let now: Vec<K> = set.values().cloned().collect();
        if complete && wanted(&now) {
            return Ok(now);
        }
    }
    None.context("the watch ended")
}
