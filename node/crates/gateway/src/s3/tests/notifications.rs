//! What targets are told of a bucket's events, by a real server that takes them, and may be away.

mod receiver;

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::{BucketSetting, EventKind, Permission};
use datamesh_settings::admin::FsckEvent;
use datamesh_settings::notifications::NotificationTarget;
use datamesh_shard::TargetName;
use futures::StreamExt as _;
use http::Method;
use ring::hmac;
use serde_json::{Value, json};

use self::receiver::Receiver;
use super::signer::{Ask, Client};
use crate::notifications::{Target, Targets};
use crate::tests::house::{ADMIN, House, USER};
use crate::work::expire::{Expire, PERIOD};
use crate::work::notify::{Bound, NotifyTarget};
use crate::work::{Next, Worker as _};

const EVERYTHING: &str = "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>";

fn hook(name: &str, receiver: &Receiver) -> NotificationTarget {
    NotificationTarget {
        name: TargetName::new(name).unwrap(),
        url: receiver.url(),
        secret_file: None,
        ca_file: None,
    }
}

/// One configuration.
fn queue(target: &str, events: &str, prefix: &str) -> String {
    let rule = format!("<FilterRule><Name>prefix</Name><Value>{prefix}</Value></FilterRule>");
    let filter = format!("<Filter><S3Key>{rule}</S3Key></Filter>");
    format!(
        "<QueueConfiguration><Id>{target}-{prefix}</Id><Queue>arn:datamesh:sqs:::{target}</Queue>{events}{filter}\
         </QueueConfiguration>"
    )
}

struct Photos {
    house: House,
    client: Client,
}

impl Photos {
    async fn new(targets: Vec<NotificationTarget>) -> Self {
        let house = House::telling(Target::open_all(&targets).unwrap()).await;
        let client = Client::new(&house, Permission::Admin, &[]).await;
        let photos = Self { house, client };
        photos.done("PUT", "/photos", b"").await;
        photos
    }

    async fn done(&self, method: &str, target: &str, body: &[u8]) {
        let refused = self.client.refusal(method, target, Ask { body, ..Ask::default() }).await;
        assert_eq!(refused, None, "{method} {target}");
    }

    /// Says who is told; without a test of the targets.
    async fn subscribe(&self, queues: &str) -> Option<String> {
        let body = format!("<NotificationConfiguration>{queues}</NotificationConfiguration>");
        let headers = [("x-amz-skip-destination-validation", "true")];
        let ask = Ask { headers: &headers, body: body.as_bytes(), ..Ask::default() };
        self.client.refusal("PUT", "/photos?notification=", ask).await
    }

    async fn rest(&self, method: Method, path: &str) {
        let asked = self.house.ask_as(Some(USER), method, path, (&[], "text".into()));
        asked.await.ok();
    }

    /// Workers as after a start, by target.
    fn workers(&self) -> Vec<NotifyTarget> {
        NotifyTarget::all(&self.house.core.context, &self.house.core.app.notifications)
    }

    fn bound(&self, pending_max: u64) -> Bound {
        let core = &self.house.core;
        Bound::new(Arc::clone(&core.context), Arc::clone(&core.app.notifications), pending_max)
    }

    async fn pending(&self, target: &str) -> u64 {
        let tallies = self.house.catalog.event_tallies().await.unwrap();
        tallies.get(&TargetName::new(target).unwrap()).map_or(0, |tally| tally.pending)
    }

    async fn problems(&self) -> Value {
        let asked = self.house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/status", (&[], "".into()));
        asked.await.ok().json()["notifications"][0]["problems"].clone()
    }

    fn metric(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.house.core.registry).unwrap();
        text.lines().any(|found| found == line)
    }
}

/// Works until nothing waits, or a message did not arrive.
async fn until_it_waits(worker: &mut NotifyTarget) {
    while worker.work().await == Next::Busy {}
}

fn said(records: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    records.iter().map(|one| (text(&one["eventName"]), text(&one["s3"]["object"]["key"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_told_in_the_words_of_s3_and_can_prove_by_whom() {
    let mut receiver = Receiver::start().await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("secret");
    std::fs::write(&file, "of both\n").unwrap();
    let photos =
        Photos::new(vec![NotificationTarget { secret_file: Some(file), ..hook("hook", &receiver) }]).await;
    let body =
        format!("<NotificationConfiguration>{}</NotificationConfiguration>", queue("hook", EVERYTHING, ""));
    photos.done("PUT", "/photos?notification=", body.as_bytes()).await;
    let headers = [("x-amz-copy-source", "/photos/a%20b/%C3%A4")];
    photos.done("PUT", "/photos/a%20b/%C3%A4", b"text").await;
    let copy = Ask { headers: &headers, ..Ask::default() };
    assert_eq!(photos.client.refusal("PUT", "/photos/copy", copy).await, None);
    photos.rest(Method::PUT, "/api/v1/buckets/photos/files/by-rest").await;
    photos.rest(Method::DELETE, "/api/v1/buckets/photos/files/by-rest").await;
    photos.done("DELETE", "/photos/copy", b"").await;
    until_it_waits(&mut photos.workers()[0]).await;

    let test = receiver.next().await;
    assert_eq!((&test.body["Event"], &test.body["Bucket"]), (&json!("s3:TestEvent"), &json!("photos")));
    let told = receiver.next().await;
    assert_eq!(told.headers["content-type"], "application/json");
    let records = told.body["Records"].as_array().unwrap();
    let expected = [
        ("ObjectCreated:Put", "a+b/%C3%A4"),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectCreated:Put", "by-rest"),
        ("ObjectRemoved:Delete", "by-rest"),
        ("ObjectRemoved:Delete", "copy"),
    ];
    assert_eq!(said(records), expected.map(|(name, key)| (name.to_owned(), key.to_owned())));
    let (first, object) = (&records[0], &records[0]["s3"]["object"]);
    assert_eq!((&first["eventVersion"], &first["s3"]["s3SchemaVersion"]), (&json!("2.1"), &json!("1.0")));
    assert_eq!(first["s3"]["bucket"]["name"], "photos");
    assert_eq!(first["s3"]["configurationId"], "hook-");
    assert_eq!((&object["size"], object["versionId"].is_null()), (&json!(4), true));
    let by = |n: usize| records[n]["userIdentity"]["principalId"].as_str().unwrap().to_owned();
    assert_eq!((by(0), by(2)), (format!("key:{}", photos.client.id), "user".to_owned()));
    assert_eq!(first["responseElements"]["x-amz-request-id"].as_str().unwrap().len(), 16);
    let found = photos.client.ask("HEAD", "/photos/a%20b/%C3%A4", Ask::default()).await;
    assert_eq!(found.header("etag"), format!("\"{}\"", object["eTag"].as_str().unwrap()));

    for told in [test, told] {
        let signature = told.headers["datamesh-signature"].to_str().unwrap();
        let (time, signed) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let text = [format!("{time}.").as_bytes(), &told.bytes].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"of both");
        hmac::verify(&key, &text, &hex::decode(signed).unwrap()).unwrap();
    }
    assert!(photos.metric("datamesh_gateway_notifications_delivered_total{target=\"hook\"} 6"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_away_is_told_everything_in_order() {
    let receiver = Receiver::start().await;
    let photos = Photos::new(vec![hook("hook", &receiver)]).await;
    assert_eq!(photos.subscribe(&queue("hook", EVERYTHING, "")).await, None);
    let place = receiver.stop().await;
    for n in 0..120 {
        photos.done("PUT", &format!("/photos/k{}", n % 3), format!("{n}").as_bytes()).await;
    }
    let mut worker = photos.workers().remove(0);
    let Next::Wait(first) = worker.work().await else { panic!("nobody is there") };
    let Next::Wait(rest) = worker.work().await else { panic!("it waits") };
    assert!(rest <= first, "whoever wakes it does not make it try again at once");
    assert!(photos.metric("datamesh_gateway_notifications_failed_total{target=\"hook\"} 1"));
    assert_eq!(photos.problems().await, json!(["hook takes no events: it cannot be reached."]));

    let mut receiver = Receiver::at(place).await;
    receiver.answers(503);
    until_it_waits(&mut photos.workers()[0]).await;
    assert!(receiver.next().await.body["Records"].is_array());
    assert_eq!(photos.pending("hook").await, 120, "what is not taken stays");
    assert_eq!(photos.problems().await, json!(["hook takes no events: it answers 503 Service Unavailable."]));
    receiver.answers(204);
    until_it_waits(&mut photos.workers()[0]).await;
    let mut records = Vec::new();
    while records.len() < 120 {
        records.extend(receiver.next().await.body["Records"].as_array().unwrap().clone());
    }
    for key in ["k0", "k1", "k2"] {
        let of_key: Vec<_> = records.iter().filter(|one| one["s3"]["object"]["key"] == key).collect();
        assert_eq!(of_key.len(), 40, "nothing is lost");
        let sequencer = |one: &Value| one["s3"]["object"]["sequencer"].as_str().unwrap().to_owned();
        assert!(of_key.windows(2).all(|pair| sequencer(pair[0]) < sequencer(pair[1])), "{key}");
        let found = photos.client.ask("HEAD", &format!("/photos/{key}"), Ask::default()).await;
        let last = of_key.last().unwrap()["s3"]["object"]["eTag"].as_str().unwrap();
        assert_eq!(found.header("etag"), format!("\"{last}\""), "the last one tells what is there");
    }
    assert_eq!((photos.pending("hook").await, photos.problems().await), (0, Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_away_holds_nobody_up_and_keeps_so_many_events() {
    let (away, mut there) = (Receiver::start().await, Receiver::start().await);
    let photos = Photos::new(vec![hook("away", &away), hook("there", &there)]).await;
    away.stop().await;
    let both = [queue("away", EVERYTHING, "a"), queue("there", EVERYTHING, "b")].concat();
    assert_eq!(photos.subscribe(&both).await, None);
    for n in 0..5 {
        photos.done("PUT", &format!("/photos/a{n}"), b"text").await;
        photos.done("PUT", &format!("/photos/b{n}"), b"text").await;
    }
    for worker in &mut photos.workers() {
        until_it_waits(worker).await;
    }
    assert_eq!(there.next().await.body["Records"].as_array().unwrap().len(), 5);
    assert_eq!((photos.pending("away").await, photos.pending("there").await), (5, 0));
    let mut bound = photos.bound(3);
    assert_eq!(bound.work().await, Next::Busy);
    assert!(matches!(bound.work().await, Next::Wait(_)));
    assert_eq!(photos.pending("away").await, 3);
    assert!(photos.metric("datamesh_gateway_notifications_dropped_total{target=\"away\"} 2"));
    assert!(photos.metric("datamesh_gateway_notifications_pending{target=\"away\"} 3"));
    let problems = photos.problems().await.to_string();
    assert!(problems.contains("2 events for away were given up"), "{problems}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_is_refused_does_not_hold_up_the_others_for_ever() {
    let mut receiver = Receiver::start().await;
    let photos = Photos::new(vec![hook("hook", &receiver)]).await;
    assert_eq!(photos.subscribe(&queue("hook", EVERYTHING, "")).await, None);
    for n in 0..9 {
        let key = if n == 5 { "select-drop".to_owned() } else { format!("k{n}") };
        photos.done("PUT", &format!("/photos/{key}"), b"text").await;
    }
    // What may be anybody's fault ends nothing.
    let mut worker = photos.workers().remove(0);
    for status in [401, 403, 404, 429, 500] {
        receiver.refuses(status, "select-drop");
        for _ in 0..12 {
            assert!(matches!(worker.work().await, Next::Wait(_)), "{status}");
            assert_eq!(receiver.next().await.body["Records"].as_array().unwrap().len(), 9, "{status}");
            worker.hurry();
        }
    }
    receiver.refuses(422, "select-drop");
    let mut steps = 0;
    while photos.pending("hook").await > 0 {
        worker.work().await;
        worker.hurry();
        steps += 1;
        assert!(steps < 40, "it is never given up");
    }
    let (mut told, mut alone) = (Vec::new(), 0);
    while receiver.waiting() > 0 {
        let keys = said(receiver.next().await.body["Records"].as_array().unwrap());
        let refused = keys.iter().any(|(_, key)| key == "select-drop");
        alone += usize::from(refused && keys.len() == 1);
        told.extend(keys.into_iter().filter(|_| !refused).map(|(_, key)| key));
    }
    assert_eq!(told, ["k0", "k1", "k2", "k3", "k4", "k6", "k7", "k8"], "once, and in their order");
    assert_eq!(alone, 8);
    assert!(photos.metric("datamesh_gateway_notifications_dropped_total{target=\"hook\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_target_that_is_no_more_ends() {
    let receiver = Receiver::start().await;
    let photos = Photos::new(vec![hook("hook", &receiver)]).await;
    assert_eq!(photos.subscribe(&queue("hook", EVERYTHING, "")).await, None);
    photos.done("PUT", "/photos/a", b"text").await;
    // As after a start without it.
    let without = Arc::new(Targets::default());
    let mut known = photos.bound(1000);
    let mut bound = Bound::new(Arc::clone(&photos.house.core.context), without, 1000);
    bound.work().await;
    assert_eq!(photos.pending("hook").await, 1, "somebody may have left it out by mistake");
    photos.house.clock.move_on(Duration::from_secs(7 * 24 * 3600 + 1));
    photos.done("PUT", "/photos/b", b"text").await;
    known.work().await;
    assert_eq!(photos.pending("hook").await, 2, "what a target waits for has no age");
    assert_eq!(bound.work().await, Next::Busy);
    assert!(matches!(bound.work().await, Next::Wait(_)));
    assert_eq!(photos.pending("hook").await, 1, "the younger one");
    photos.house.clock.move_on(Duration::from_secs(7 * 24 * 3600 + 1));
    assert_eq!(bound.work().await, Next::Busy);
    bound.work().await;
    assert!(photos.house.catalog.event_tallies().await.unwrap().is_empty(), "nothing is left of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_followed_and_no_answer_is_read() {
    let (mut first, mut second) = (Receiver::start().await, Receiver::start().await);
    let photos = Photos::new(vec![hook("hook", &first)]).await;
    assert_eq!(photos.subscribe(&queue("hook", EVERYTHING, "")).await, None);
    photos.done("PUT", "/photos/a", b"text").await;
    first.sends_to(&second.url());
    until_it_waits(&mut photos.workers()[0]).await;
    first.next().await;
    assert_eq!(photos.pending("hook").await, 1);
    assert_eq!(second.waiting(), 0, "who is told where to go does not go there");
    // An answer without an end.
    first.never_ends();
    until_it_waits(&mut photos.workers()[0]).await;
    first.next().await;
    assert_eq!(photos.pending("hook").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_proves_nothing_to_a_server_that_it_cannot_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (mut receiver, ca) = Receiver::with_tls(folder.path()).await;
    let strange = hook("strange", &receiver);
    let trusted = NotificationTarget { ca_file: Some(ca), ..hook("trusted", &receiver) };
    let photos = Photos::new(vec![strange, trusted]).await;
    let both = [queue("strange", EVERYTHING, "a"), queue("trusted", EVERYTHING, "b")].concat();
    assert_eq!(photos.subscribe(&both).await, None);
    photos.done("PUT", "/photos/a", b"text").await;
    photos.done("PUT", "/photos/b", b"text").await;
    for worker in &mut photos.workers() {
        until_it_waits(worker).await;
    }
    assert_eq!((photos.pending("strange").await, photos.pending("trusted").await), (1, 0));
    assert_eq!(said(receiver.next().await.body["Records"].as_array().unwrap())[0].1, "b");
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_given_as_it_was_put_and_names_targets_of_the_operator_only() {
    let receiver = Receiver::start().await;
    let photos = Photos::new(vec![hook("hook", &receiver)]).await;
    let kept = async || {
        let got = photos.client.ask("GET", "/photos?notification=", Ask::default()).await.ok();
        String::from_utf8_lossy(&got.body).into_owned()
    };
    assert!(!kept().await.contains("QueueConfiguration"));
    let put = queue("hook", "<Event>s3:ObjectRemoved:Delete</Event>", "in/");
    assert_eq!(photos.subscribe(&put).await, None);
    for part in
        ["<Id>hook-in/</Id>", "arn:datamesh:sqs:::hook", "s3:ObjectRemoved:Delete", "<Value>in/</Value>"]
    {
        assert!(kept().await.contains(part), "{part}: {}", kept().await);
    }
    let refused = [
        queue("another", EVERYTHING, ""),
        queue("hook", "<Event>s3:ObjectTagging:Put</Event>", ""),
        queue("hook", "", ""),
        [queue("hook", EVERYTHING, ""), queue("hook", EVERYTHING, "a")].concat(),
        put.replace("arn:datamesh:sqs:::hook", &receiver.url()),
        put.replace("Queue", "Topic"),
    ];
    for queues in refused {
        let code = photos.subscribe(&queues).await.unwrap();
        assert!(["InvalidArgument", "MalformedXML"].contains(&code.as_str()), "{code}: {queues}");
    }
    assert!(kept().await.contains("hook-in/"), "what is refused changes nothing");
    assert_eq!(photos.subscribe("").await, None);
    assert!(!kept().await.contains("QueueConfiguration"));
    photos.done("PUT", "/photos/in/a", b"").await;
    assert_eq!(photos.pending("hook").await, 0);
}

#[tokio::test]
async fn what_rules_end_is_told_as_their_doing() {
    let receiver = Receiver::start().await;
    let photos = Photos::new(vec![hook("hook", &receiver)]).await;
    let ends = "<Event>s3:LifecycleExpiration:*</Event>";
    assert_eq!(photos.subscribe(&queue("hook", ends, "")).await, None);
    photos.done("PUT", "/photos/old", b"text").await;
    let bucket = photos.house.catalog.buckets().await.unwrap().remove(0);
    let rules = br#"{"rules":[{"id":"all","enabled":true,"filter":{"prefix":""},"expiration":{"Days":1}}]}"#;
    let set =
        photos.house.catalog.set_bucket_setting(bucket.id, BucketSetting::Lifecycle, Some(rules.to_vec()));
    set.await.unwrap();
    photos.house.clock.move_on(Duration::from_secs(9 * 24 * 3600));
    let mut walk = Expire::new(Arc::clone(&photos.house.core.context), Arc::clone(&photos.house.core.app));
    while walk.work().await != Next::Wait(PERIOD) {}
    let [event] =
        photos.house.catalog.events(&TargetName::new("hook").unwrap(), 9).await.unwrap().try_into().unwrap();
    assert_eq!((event.what.kind, event.what.by.as_str()), (Some(EventKind::Expired), "lifecycle"));
}

#[tokio::test]
async fn a_configuration_that_does_not_read_is_found_and_can_be_put_anew() {
    let receiver = Receiver::start().await;
    let photos = Photos::new(vec![hook("hook", &receiver)]).await;
    let bucket = photos.house.catalog.buckets().await.unwrap().remove(0);
    let newer = Some(b"\xffof a later build".to_vec());
    photos.house.catalog.set_bucket_setting(bucket.id, BucketSetting::Notifications, newer).await.unwrap();
    let put =
        async || photos.client.refusal("PUT", "/photos/a", Ask { body: b"text", ..Ask::default() }).await;
    assert_eq!(put().await.as_deref(), Some("InternalError"), "nobody knows whom to tell");
    let events: Vec<_> = photos.house.core.app.admin.fsck.begin(false).unwrap().collect().await;
    let found = events.iter().find_map(|event| match event {
        FsckEvent::Finding(finding) => Some((finding.bucket.as_deref(), finding.detail.as_str())),
        _ => None,
    });
    let (of, detail) = found.unwrap();
    assert!(of == Some("photos") && detail.contains("put it anew"), "{detail}");
    assert_eq!(photos.subscribe(&queue("hook", EVERYTHING, "")).await, None);
    assert_eq!(put().await, None);
    assert_eq!(photos.pending("hook").await, 1);
}
