//! What targets are told, in S3's words: without I/O.

use datamesh_catalog::{Event, EventKind, Happened};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

/// Bytes of one message at most; one event alone may have more.
const BYTES_MAX: usize = 256 << 10;
/// As S3 writes keys: like a form, but for `/`.
const IN_KEYS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// What S3 calls it, without `s3:`.
pub(crate) const fn name_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Put => "ObjectCreated:Put",
        EventKind::Post => "ObjectCreated:Post",
        EventKind::Copy => "ObjectCreated:Copy",
        EventKind::Completed => "ObjectCreated:CompleteMultipartUpload",
        EventKind::Deleted => "ObjectRemoved:Delete",
        EventKind::Marked => "ObjectRemoved:DeleteMarkerCreated",
        EventKind::Expired => "LifecycleExpiration:Delete",
        EventKind::ExpiredMarked => "LifecycleExpiration:DeleteMarkerCreated",
    }
}

/// One body, of the first so many events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) events: usize,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Of as many events as go together, from the first on. A test of the target goes alone. `None`: there are none.
    pub(crate) fn of(events: &[Event]) -> Option<Self> {
        let first = events.first()?;
        if first.what.kind.is_none() {
            return Some(Self { events: 1, body: test(&first.what).to_string().into_bytes() });
        }
        let mut body = b"{\"Records\":[".to_vec();
        let mut taken = 0;
        for event in events {
            let Some(kind) = event.what.kind else { break };
            let record = record(event, kind).to_string();
            if taken > 0 && body.len() + record.len() > BYTES_MAX {
                break;
            }
            if taken > 0 {
                body.push(b',');
            }
            body.extend_from_slice(record.as_bytes());
            taken += 1;
        }
        body.extend_from_slice(b"]}");
        Some(Self { events: taken, body })
    }
}

fn time(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn test(Happened { bucket, at_unix_ms, request, .. }: &Happened) -> Value {
    json!({
        "Service": "DataMesh",
        "Event": "s3:TestEvent",
        "Time": time(*at_unix_ms),
        "Bucket": bucket.as_str(),
        "RequestId": request,
        "HostId": "",
    })
}

fn record(event: &Event, kind: EventKind) -> Value {
    let Happened {
        bucket, subscription, at_unix_ms, version, size_bytes, etag, by, address, request, ..
    } = &event.what;
    let key = event.key.as_ref().map(|key| percent_encode(key.as_bytes(), IN_KEYS).to_string());
    let mut object = json!({
        "key": key.unwrap_or_default().replace("%20", "+"),
        "sequencer": format!("{:016X}", event.order),
    });
    if !etag.is_empty() {
        object["size"] = (*size_bytes).into();
        object["eTag"] = etag.as_str().into();
    }
    if let Some(version) = version {
        object["versionId"] = version.as_str().into();
    }
    json!({
        "eventVersion": "2.1",
        "eventSource": "datamesh:s3",
        "awsRegion": "",
        "eventTime": time(*at_unix_ms),
        "eventName": name_of(kind),
        "userIdentity": { "principalId": by },
        "requestParameters": { "sourceIPAddress": address },
        "responseElements": { "x-amz-request-id": request },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": subscription,
            "bucket": {
                "name": bucket.as_str(),
                "ownerIdentity": { "principalId": "" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": object,
        },
    })
}
