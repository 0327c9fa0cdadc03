use super::*;

const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;
const NEWEST: Standing = Standing::Newest { only: false };

fn rule() -> Rule {
    Rule { id: "r".into(), enabled: true, ..Rule::default() }
}

fn object(standing: Standing) -> Candidate<'static> {
    Candidate { key: b"logs/1", size_bytes: Some(100), created_unix_ms: NOON, standing }
}

fn midnight_after(days: u64) -> u64 {
    (20_001 + days) * DAY_MS
}

#[test]
fn days_end_at_midnight() {
    let rule = Rule { expiration: Some(Expiration::Days(3)), ..rule() };
    assert_eq!(rule.judge(&object(NEWEST), midnight_after(3) - 1), Verdict::Stays);
    assert_eq!(rule.judge(&object(NEWEST), midnight_after(3)), Verdict::Ends);
    let behind = Standing::Behind { since_unix_ms: 0, newer: 9 };
    assert_eq!(rule.judge(&object(behind), u64::MAX), Verdict::Stays, "what is behind has rules of its own");
    let disabled = Rule { enabled: false, ..rule };
    assert_eq!(disabled.judge(&object(NEWEST), u64::MAX), Verdict::Stays);
}

#[test]
fn a_date_is_for_all() {
    let rule = Rule { expiration: Some(Expiration::Date(NOON)), ..rule() };
    assert_eq!(rule.judge(&object(NEWEST), NOON - 1), Verdict::Stays);
    assert_eq!(rule.judge(&object(NEWEST), NOON), Verdict::Ends);
}

#[test]
fn versions_behind_count_from_when_they_were_replaced() {
    let rule = Rule { noncurrent: Some(Noncurrent { days: 1, kept: 2 }), ..rule() };
    let judge = |newer, now| rule.judge(&object(Standing::Behind { since_unix_ms: NOON, newer }), now);
    assert_eq!(judge(2, midnight_after(1) - 1), Verdict::Stays);
    assert_eq!(judge(2, midnight_after(1)), Verdict::Ends);
    assert_eq!(judge(1, u64::MAX), Verdict::Stays, "two stay");
    let marker = |now| {
        let standing = Standing::Behind { since_unix_ms: NOON, newer: 0 };
        rule.judge(&Candidate { size_bytes: None, ..object(standing) }, now)
    };
    assert_eq!(marker(midnight_after(1) - 1), Verdict::Stays);
    assert_eq!(
        marker(midnight_after(1)),
        Verdict::Ends,
        "a delete behind hides nothing, and is none that is kept"
    );
    assert_eq!(rule.judge(&object(NEWEST), u64::MAX), Verdict::Stays);
}

#[test]
fn a_marker_ends_when_it_hides_nothing() {
    let rule = Rule { expiration: Some(Expiration::LoneMarkers), ..rule() };
    let marker = |only| Candidate { size_bytes: None, ..object(Standing::Newest { only }) };
    assert_eq!(rule.judge(&marker(false), NOON), Verdict::Stays);
    assert_eq!(rule.judge(&marker(true), NOON), Verdict::Ends);
    assert_eq!(rule.judge(&object(Standing::Newest { only: true }), u64::MAX), Verdict::Stays);
}

#[test]
fn filters_take_what_they_name() {
    let tags = Tags::of_query("a=1").unwrap();
    let filters = [
        (Filter { prefix: "logs/".into(), ..Filter::default() }, Verdict::Ends),
        (Filter { prefix: "data/".into(), ..Filter::default() }, Verdict::Stays),
        (Filter { larger_than: Some(99), smaller_than: Some(101), ..Filter::default() }, Verdict::Ends),
        (Filter { larger_than: Some(100), ..Filter::default() }, Verdict::Stays),
        (Filter { smaller_than: Some(100), ..Filter::default() }, Verdict::Stays),
        (Filter { tags, ..Filter::default() }, Verdict::EndsWithTags),
    ];
    for (filter, verdict) in filters {
        let rule = Rule { filter, expiration: Some(Expiration::Days(1)), ..rule() };
        assert_eq!(rule.judge(&object(NEWEST), u64::MAX), verdict, "{rule:?}");
    }
}

#[test]
fn the_first_rule_that_ends_a_version_is_named() {
    let days = |id: &str, tags: &str| {
        let filter = Filter { tags: Tags::of_query(tags).unwrap(), ..Filter::default() };
        Rule { id: id.into(), filter, expiration: Some(Expiration::Days(1)), ..rule() }
    };
    let lifecycle = Lifecycle { rules: vec![days("red", "colour=red"), days("blue", "colour=blue")] };
    let named = |tags: Option<&str>, now| {
        let tags = || tags.map(|tags| Tags::of_query(tags).unwrap());
        lifecycle.ends(&object(NEWEST), now, tags).map(|rule| rule.id.as_str())
    };
    assert_eq!(named(Some("colour=blue&a=1"), u64::MAX), Some("blue"));
    assert_eq!(named(Some("colour=blue"), NOON), None, "it is not due");
    assert_eq!(named(Some("color=blue"), u64::MAX), None);
    assert_eq!(named(None, u64::MAX), None, "its tags do not read");
    assert!(lifecycle.may_end(&object(NEWEST), u64::MAX) && !lifecycle.may_end(&object(NEWEST), NOON));
    let marker = Candidate { size_bytes: None, ..object(Standing::Newest { only: true }) };
    assert!(!lifecycle.may_end(&marker, u64::MAX), "a delete has no tags");
}

#[test]
fn uploads_are_given_up_after_days() {
    let filter = Filter { prefix: "logs/".into(), ..Filter::default() };
    let rule = Rule { filter, abort_uploads_after_days: Some(7), ..rule() };
    assert!(!rule.aborts(b"logs/1", NOON, midnight_after(7) - 1));
    assert!(rule.aborts(b"logs/1", NOON, midnight_after(7)));
    assert!(!rule.aborts(b"data/1", NOON, u64::MAX));
}

/// As the first version wrote them: later ones read it.
const KEPT: &str = r#"{"rules":[{"id":"a","enabled":true,"filter":{"prefix":"logs/","tags":{"k":"v"},"larger_than":1,"smaller_than":9},"expiration":{"Days":3},"noncurrent":{"days":1,"kept":2},"abort_uploads_after_days":7},{"id":"b","enabled":false,"filter":{"prefix":"","tags":{}},"expiration":{"Date":1700000000000}},{"id":"c","enabled":true,"filter":{"prefix":"","tags":{}},"expiration":"LoneMarkers"}]}"#;

#[test]
fn kept_rules_read_as_they_were_written() {
    let read: Lifecycle = serde_json::from_str(KEPT).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), KEPT);
    assert_eq!(read.rules[0].noncurrent, Some(Noncurrent { days: 1, kept: 2 }));
    assert!(serde_json::from_str::<Lifecycle>(r#"{"rules":[{"id":"a"}]}"#).is_err());
}
