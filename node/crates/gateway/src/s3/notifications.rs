//! Who is told what happens in a bucket, in S3's words. Only targets of the settings can be named.

use std::collections::BTreeSet;
use std::sync::Arc;

use datamesh_catalog::{EventKind, Subscription, Way};
use datamesh_shard::TargetName;
use s3s::dto::{
    Event, FilterRule, FilterRuleName, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, NotificationConfiguration, NotificationConfigurationFilter,
    PutBucketNotificationConfigurationInput, PutBucketNotificationConfigurationOutput, QueueConfiguration,
    S3KeyFilter,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{names, standing};
use crate::api::App;
use crate::notifications::name_of;

/// Configurations of a bucket at most, as in S3.
const CONFIGURATIONS_MAX: usize = 100;
/// Characters of a configuration's id at most.
const ID_CHARS_MAX: usize = 255;
/// Bytes of a prefix or suffix at most: those of the longest key.
const TEXT_BYTES_MAX: usize = 1024;
/// What a target's name stands behind.
const ARN: &str = "arn:datamesh:sqs:::";

/// `GetBucketNotificationConfiguration`.
pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let kept = app.objects.subscriptions(&bucket).await?;
    let queues: Vec<_> = kept.iter().map(shown).collect();
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput {
        queue_configurations: Some(queues).filter(|queues| !queues.is_empty()),
        ..Default::default()
    }))
}

/// `PutBucketNotificationConfiguration`. An empty one has nobody told.
pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
    let S3Request { input, extensions, .. } = request;
    let name = names::bucket(&input.bucket)?;
    let bucket = app.objects.bucket(&name).await?;
    let subscriptions = read(input.notification_configuration)?;
    if let Some(unknown) = subscriptions.iter().find(|one| !app.notifications.has(&one.target)) {
        return Err(s3_error!(
            InvalidArgument,
            "there is no target {ARN}{}: the cluster's operator makes targets",
            unknown.target
        ));
    }
    let test = !input.skip_destination_validation.unwrap_or_default();
    let cause = standing::cause(&extensions, Way::Put)?;
    app.objects.subscribe((&bucket, &name), subscriptions, test, &cause).await?;
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
}

/// All of it, checked. What cannot be done is refused, not left out.
fn read(given: NotificationConfiguration) -> S3Result<Vec<Subscription>> {
    let NotificationConfiguration {
        event_bridge_configuration,
        lambda_function_configurations,
        queue_configurations,
        topic_configurations,
    } = given;
    let others = event_bridge_configuration.is_some()
        || lambda_function_configurations.is_some_and(|all| !all.is_empty())
        || topic_configurations.is_some_and(|all| !all.is_empty());
    if others {
        return Err(s3_error!(InvalidArgument, "targets are named in QueueConfiguration, and nowhere else"));
    }
    let given = queue_configurations.unwrap_or_default();
    if given.len() > CONFIGURATIONS_MAX {
        return Err(s3_error!(InvalidArgument, "a bucket has at most {CONFIGURATIONS_MAX} configurations"));
    }
    let read = given.into_iter().enumerate().map(|(n, queue)| subscription(queue, n));
    let all = read.collect::<S3Result<Vec<_>>>()?;
    let mut ids = BTreeSet::new();
    for (n, one) in all.iter().enumerate() {
        if !ids.insert(&one.id) {
            return Err(s3_error!(InvalidArgument, "two configurations have the Id {}", one.id));
        }
        if let Some(other) = all[..n].iter().find(|other| one.overlaps(other)) {
            return Err(s3_error!(
                InvalidArgument,
                "the configurations {} and {} overlap: the same event of a key would be of both",
                other.id,
                one.id
            ));
        }
    }
    Ok(all)
}

fn subscription(queue: QueueConfiguration, n: usize) -> S3Result<Subscription> {
    let QueueConfiguration { events, filter, id, queue_arn } = queue;
    let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("configuration-{}", n + 1));
    if id.chars().count() > ID_CHARS_MAX {
        return Err(s3_error!(InvalidArgument, "an Id has at most {ID_CHARS_MAX} characters"));
    }
    let target = queue_arn.strip_prefix(ARN).and_then(|name| TargetName::new(name).ok());
    let target = target.ok_or_else(|| {
        s3_error!(InvalidArgument, "Queue is {ARN}NAME, of a target of this cluster, not {queue_arn:?}")
    })?;
    let mut kinds = BTreeSet::new();
    for event in &events {
        kinds.extend(kinds_of(event.as_ref())?);
    }
    if kinds.is_empty() {
        return Err(s3_error!(InvalidArgument, "the configuration {id} names no Event"));
    }
    let (prefix, suffix) = texts(filter)?;
    Ok(Subscription { id, target, kinds: kinds.into_iter().collect(), prefix, suffix })
}

/// What a name of events stands for: one, or all of a group.
fn kinds_of(event: &str) -> S3Result<Vec<EventKind>> {
    let wanted = event.strip_prefix("s3:").unwrap_or_default();
    let is = |kind: &EventKind| match wanted.strip_suffix('*') {
        // `ObjectCreated:*`, and no shorter one.
        Some(group) => group.ends_with(':') && name_of(*kind).starts_with(group),
        None => name_of(*kind) == wanted,
    };
    let kinds: Vec<_> = EventKind::ALL.into_iter().filter(is).collect();
    if kinds.is_empty() {
        let known: Vec<_> = EventKind::ALL.iter().map(|kind| format!("s3:{}", name_of(*kind))).collect();
        return Err(s3_error!(
            InvalidArgument,
            "there is no event {event:?}: there are {}, and `*` in place of what stands last",
            known.join(", ")
        ));
    }
    Ok(kinds)
}

fn texts(filter: Option<NotificationConfigurationFilter>) -> S3Result<(String, String)> {
    let rules = filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules).unwrap_or_default();
    let (mut prefix, mut suffix) = (None, None);
    for FilterRule { name, value } in rules {
        let name = name.as_ref().map(FilterRuleName::as_str).unwrap_or_default().to_ascii_lowercase();
        let text = match name.as_str() {
            FilterRuleName::PREFIX => &mut prefix,
            FilterRuleName::SUFFIX => &mut suffix,
            _ => return Err(s3_error!(InvalidArgument, "the Name of a FilterRule is prefix or suffix")),
        };
        let value = value.unwrap_or_default();
        if value.len() > TEXT_BYTES_MAX {
            return Err(s3_error!(InvalidArgument, "a {name} has at most {TEXT_BYTES_MAX} bytes"));
        }
        if text.replace(value).is_some() {
            return Err(s3_error!(InvalidArgument, "a filter has one {name}"));
        }
    }
    Ok((prefix.unwrap_or_default(), suffix.unwrap_or_default()))
}

fn shown(one: &Subscription) -> QueueConfiguration {
    let rule = |name, text: &String| FilterRule {
        name: Some(FilterRuleName::from_static(name)),
        value: Some(text.clone()),
    };
    let both = [(FilterRuleName::PREFIX, &one.prefix), (FilterRuleName::SUFFIX, &one.suffix)];
    let rules: Vec<_> =
        both.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| rule(name, text)).collect();
    let rules = Some(rules).filter(|rules| !rules.is_empty());
    let filter = rules.map(|rules| NotificationConfigurationFilter {
        key: Some(S3KeyFilter { filter_rules: Some(rules) }),
    });
    QueueConfiguration {
        events: one.kinds.iter().map(|kind| Event::from(format!("s3:{}", name_of(*kind)))).collect(),
        filter,
        id: Some(one.id.clone()),
        queue_arn: format!("{ARN}{}", one.target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(target: &str, event: &str, (prefix, suffix): (&str, &str)) -> QueueConfiguration {
        let rule = |name, value: &str| FilterRule {
            name: Some(FilterRuleName::from_static(name)),
            value: Some(value.to_owned()),
        };
        let filter_rules = Some(vec![rule("Prefix", prefix), rule("suffix", suffix)]);
        QueueConfiguration {
            events: vec![Event::from(event.to_owned())],
            filter: Some(NotificationConfigurationFilter { key: Some(S3KeyFilter { filter_rules }) }),
            id: None,
            queue_arn: target.to_owned(),
        }
    }

    fn told(queues: Vec<QueueConfiguration>) -> Result<Vec<Subscription>, String> {
        let given = NotificationConfiguration { queue_configurations: Some(queues), ..Default::default() };
        read(given).map_err(|error| error.message().unwrap_or_default().to_owned())
    }

    const HOOK: &str = "arn:datamesh:sqs:::hook";

    #[test]
    fn a_group_of_events_is_all_of_it() {
        let of = |event: &str| told(vec![queue(HOOK, event, ("", ""))]).map(|all| all[0].kinds.clone());
        use EventKind::{Completed, Copy, Deleted, Expired, ExpiredMarked, Marked, Post, Put};
        assert_eq!(of("s3:ObjectCreated:*"), Ok(vec![Put, Post, Copy, Completed]));
        assert_eq!(of("s3:ObjectCreated:Copy"), Ok(vec![Copy]));
        assert_eq!(of("s3:ObjectRemoved:*"), Ok(vec![Deleted, Marked]));
        assert_eq!(of("s3:LifecycleExpiration:*"), Ok(vec![Expired, ExpiredMarked]));
        for unknown in
            ["s3:*", "s3:Object*", "s3:ObjectCreated:", "ObjectCreated:Put", "s3:ObjectTagging:*", "*", ""]
        {
            assert!(of(unknown).unwrap_err().contains(&format!("no event {unknown:?}")), "{unknown}");
        }
    }

    #[test]
    fn what_overlaps_is_refused() {
        let two = |one: (&str, &str), two: (&str, &str), event: &str| {
            told(vec![queue(HOOK, "s3:ObjectCreated:Put", one), queue(HOOK, event, two)]).map(|_| ())
        };
        let created = "s3:ObjectCreated:*";
        for (one, other) in [
            (("", ""), ("", "")),
            (("in/", ""), ("in/a", "")),
            (("in/", ""), ("", ".jpg")),
            (("in/a", ".jpg"), ("in/", "g")),
        ] {
            assert!(two(one, other, created).unwrap_err().contains("overlap"), "{one:?} {other:?}");
            assert_eq!(two(one, other, "s3:ObjectRemoved:*"), Ok(()));
        }
        for (one, other) in [(("in/", ""), ("out/", "")), (("in/", ".jpg"), ("in/", ".png"))] {
            assert_eq!(two(one, other, created), Ok(()));
        }
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        let one = |queue: QueueConfiguration| told(vec![queue]).unwrap_err();
        for arn in [
            "http://10.0.0.1/",
            "arn:aws:sqs:us-east-1:1:hook",
            "arn:datamesh:sqs:::",
            "arn:datamesh:sqs:::A b",
        ] {
            assert!(one(queue(arn, "s3:ObjectCreated:*", ("", ""))).contains(&format!("{arn:?}")), "{arn}");
        }
        let long = "x".repeat(1025);
        assert!(one(queue(HOOK, "s3:ObjectCreated:*", (&long, ""))).contains("prefix has at most 1024"));
        let mut none = queue(HOOK, "", ("", ""));
        none.events.clear();
        assert!(one(none).contains("names no Event"));
        let many = (0..101).map(|n| queue(HOOK, "s3:ObjectCreated:*", (&format!("{n:03}"), ""))).collect();
        assert!(told(many).unwrap_err().contains("at most 100"));
    }
}
