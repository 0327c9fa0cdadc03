use datamesh_shard::BucketName;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::{ETAG_BYTES_MAX, EVENT_TEXT_BYTES_MAX, SUBSCRIPTION_TEXT_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::model::{EventKind, Happened, Subscription};

/// Who wants to know of what happens in a bucket: what its setting holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionsRecord {
    /// The bucket's name, which events tell: they may outlive it.
    pub bucket: BucketName,
    /// Of any event, one at most wants to know.
    pub subscriptions: Vec<Subscription>,
}

impl Record for SubscriptionsRecord {
    const NAME: &'static str = "subscriptions of a bucket";

    fn check(&self) -> Result<(), &'static str> {
        let long = |one: &Subscription| {
            one.kinds.len() > EventKind::ALL.len()
                || [&one.id, &one.prefix, &one.suffix]
                    .into_iter()
                    .any(|text| text.len() > SUBSCRIPTION_TEXT_BYTES_MAX)
        };
        if self.subscriptions.len() > SUBSCRIPTIONS_MAX || self.subscriptions.iter().any(long) {
            Err("there is too much of it")
        } else {
            Ok(())
        }
    }
}

/// An event that waits for its target to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventRecord(pub Happened);

impl Record for EventRecord {
    const NAME: &'static str = "event";

    fn check(&self) -> Result<(), &'static str> {
        let Happened { subscription, version, etag, by, address, request, .. } = &self.0;
        let version = version.as_deref().unwrap_or_default();
        let texts = [version, by.as_str(), address.as_str(), request.as_str()];
        let long = subscription.len() > SUBSCRIPTION_TEXT_BYTES_MAX
            || etag.len() > ETAG_BYTES_MAX
            || texts.iter().any(|text| text.len() > EVENT_TEXT_BYTES_MAX);
        if long { Err("a text is too long") } else { Ok(()) }
    }
}
