//! Policies by requests.

use super::*;
use Verdict::{Allow, Deny, Silent};

/// One statement, the members that all have left out.
fn statement(effect: &str, more: &str) -> Policy {
    policy(&format!(r#"{{"Effect": "{effect}", {more}}}"#))
}

const READ_ALL: &str = r#""Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*""#;

#[test]
fn whom_a_statement_speaks_of() {
    let facts = Facts::default();
    for (principal, anonymous, alice, bob) in [
        (r#""*""#, Allow, Allow, Allow),
        (r#"{"AWS": "*"}"#, Allow, Allow, Allow),
        (r#"{"AWS": "DMAKAAAAAAAAAAAAAAAA"}"#, Silent, Allow, Silent),
        (r#"{"AWS": ["DMAKAAAAAAAAAAAAAAAA", "DMAKBBBBBBBBBBBBBBBB"]}"#, Silent, Allow, Allow),
        (r#"{"AWS": "arn:aws:iam:::user/bob"}"#, Silent, Silent, Allow),
        (r#"{"AWS": "arn:aws:iam:::user/BOB"}"#, Silent, Silent, Allow),
    ] {
        let more = format!(
            r#""Principal": {principal}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*""#
        );
        let policy = statement("Allow", &more);
        for (who, expected) in [(Principal::Anonymous, anonymous), (ALICE, alice), (BOB, bob)] {
            let got = says(&policy, who, Action::GetObject, Some("x"), &facts);
            assert_eq!(got, expected, "{principal} {who:?}");
        }
    }
}

#[test]
fn what_a_statement_speaks_of() {
    let facts = Facts::default();
    let get = |key| (Action::GetObject, Some(key));
    let list = (Action::ListBucket, None);
    for (more, deed, expected) in [
        (r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*""#, get("a/b"), Allow),
        (r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/a/*""#, get("b/a/c"), Silent),
        (r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/?""#, get("ü"), Allow),
        (r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos*""#, get("a"), Allow),
        (r#""Action": "S3:getobject", "Resource": "arn:aws:s3:::photos/*""#, get("a"), Allow),
        (r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/A""#, get("a"), Silent),
        (r#""Action": "s3:PutObject", "Resource": "arn:aws:s3:::photos/*""#, get("a"), Silent),
        (r#""Action": "s3:Get*", "Resource": "arn:aws:s3:::photos/*""#, get("a"), Allow),
        (r#""Action": "*", "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]"#, list, Allow),
        (r#""Action": "s3:*", "Resource": "arn:aws:s3:::photos/*""#, list, Silent),
        (r#""Action": "s3:ListBucket", "Resource": "arn:aws:s3:::photos""#, list, Allow),
        (r#""NotAction": "s3:Put*", "Resource": "arn:aws:s3:::photos/*""#, get("a"), Allow),
        (r#""NotAction": "s3:Get*", "Resource": "arn:aws:s3:::photos/*""#, get("a"), Silent),
        (r#""Action": "s3:GetObject", "NotResource": "arn:aws:s3:::photos/secret/*""#, get("a"), Allow),
        (
            r#""Action": "s3:GetObject", "NotResource": "arn:aws:s3:::photos/secret/*""#,
            get("secret/a"),
            Silent,
        ),
    ] {
        let policy = statement("Allow", &format!(r#""Principal": "*", {more}"#));
        assert_eq!(says(&policy, ALICE, deed.0, deed.1, &facts), expected, "{more} {deed:?}");
    }
}

#[test]
fn a_version_is_read_by_an_action_of_its_own() {
    let policy = statement("Allow", READ_ALL);
    let facts = Facts::default();
    assert_eq!(says(&policy, ALICE, Action::GetObject, Some("x"), &facts), Allow);
    assert_eq!(says(&policy, ALICE, Action::GetObjectVersion, Some("x"), &facts), Silent);
}

#[test]
fn a_denial_wins_wherever_it_stands() {
    let (allow, deny) = (
        format!(r#"{{"Effect": "Allow", {READ_ALL}}}"#),
        r#"{"Effect": "Deny", "Principal": {"AWS": "DMAKAAAAAAAAAAAAAAAA"}, "Action": "s3:*",
            "Resource": "arn:aws:s3:::photos/secret/*"}"#,
    );
    for statements in [format!("{allow}, {deny}"), format!("{deny}, {allow}")] {
        let policy = policy(&statements);
        let facts = Facts::default();
        assert_eq!(says(&policy, ALICE, Action::GetObject, Some("secret/x"), &facts), Deny);
        assert_eq!(says(&policy, ALICE, Action::GetObject, Some("x"), &facts), Allow);
        assert_eq!(says(&policy, BOB, Action::GetObject, Some("secret/x"), &facts), Allow);
    }
}

fn said() -> Facts {
    Facts {
        source: Some("10.1.2.3".parse().unwrap()),
        now_unix_ms: 1_790_000_000_000,
        user_agent: Some("aws-cli/2".into()),
        referer: Some("https://example.com/page".into()),
        prefix: Some("home/ada/".into()),
        delimiter: Some("/".into()),
        max_keys: Some(10),
        acl: Some("private".into()),
        version: None,
    }
}

/// Condition, whether it holds of what [`said`] says, and of a request that says nothing.
const CONDITIONS: &[(&str, bool, bool)] = &[
    (r#"{"StringEquals": {"s3:prefix": "home/ada/"}}"#, true, false),
    (r#"{"StringEquals": {"s3:prefix": ["", "home/ada/"]}}"#, true, false),
    (r#"{"StringEquals": {"S3:Prefix": "home/"}}"#, false, false),
    (r#"{"StringNotEquals": {"s3:prefix": ["a", "home/ada/"]}}"#, false, true),
    (r#"{"StringNotEquals": {"s3:prefix": "a"}}"#, true, true),
    (r#"{"StringEqualsIgnoreCase": {"s3:prefix": "HOME/ada/"}}"#, true, false),
    (r#"{"StringNotEqualsIgnoreCase": {"s3:prefix": "HOME/ada/"}}"#, false, true),
    (r#"{"StringLike": {"s3:prefix": "home/*"}}"#, true, false),
    (r#"{"StringNotLike": {"s3:prefix": "home/*"}}"#, false, true),
    (r#"{"StringEqualsIfExists": {"s3:prefix": "a"}}"#, false, true),
    (r#"{"ForAnyValue:StringEquals": {"s3:prefix": "home/ada/"}}"#, true, false),
    (r#"{"ForAnyValue:StringNotEquals": {"s3:prefix": "a"}}"#, true, false),
    (r#"{"ForAllValues:StringEquals": {"s3:prefix": "home/ada/"}}"#, true, true),
    (r#"{"ForAllValues:StringEquals": {"s3:prefix": "a"}}"#, false, true),
    (r#"{"Null": {"s3:prefix": true}}"#, false, true),
    (r#"{"Null": {"s3:prefix": "false"}}"#, true, false),
    (r#"{"NumericEquals": {"s3:max-keys": 10}}"#, true, false),
    (r#"{"NumericNotEquals": {"s3:max-keys": "10"}}"#, false, true),
    (r#"{"NumericLessThan": {"s3:max-keys": 10}}"#, false, false),
    (r#"{"NumericLessThanEquals": {"s3:max-keys": 10}}"#, true, false),
    (r#"{"NumericGreaterThan": {"s3:max-keys": [10, 9]}}"#, true, false),
    (r#"{"NumericGreaterThanEquals": {"s3:max-keys": 11}}"#, false, false),
    (r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}"#, true, false),
    (r#"{"DateLessThan": {"aws:CurrentTime": "2026-01-01"}}"#, false, true),
    (r#"{"DateLessThanEquals": {"aws:CurrentTime": "1790000000"}}"#, true, true),
    (r#"{"Bool": {"aws:SecureTransport": "true"}}"#, true, true),
    (r#"{"Bool": {"aws:SecureTransport": false}}"#, false, false),
    (r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#, true, false),
    (r#"{"IpAddress": {"aws:SourceIp": ["192.0.2.1", "10.1.2.3"]}}"#, true, false),
    (r#"{"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}"#, false, false),
    (r#"{"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#, false, true),
    (r#"{"StringLike": {"aws:Referer": "https://example.com/*"}}"#, true, false),
    (r#"{"StringNotLike": {"aws:UserAgent": "curl/*"}}"#, true, true),
    (r#"{"StringEquals": {"s3:delimiter": "/", "s3:prefix": "home/"}}"#, false, false),
    (r#"{"StringEquals": {"s3:delimiter": "/"}, "IpAddress": {"aws:SourceIp": "10.1.2.3"}}"#, true, false),
];

#[test]
fn when_a_statement_speaks() {
    for (condition, of_said, of_nothing) in CONDITIONS {
        let more = format!(
            r#""Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::photos",
            "Condition": {condition}"#
        );
        let policy = statement("Allow", &more);
        for (facts, expected) in [(said(), *of_said), (Facts::default(), *of_nothing)] {
            let got = says(&policy, Principal::Anonymous, Action::ListBucket, None, &facts) == Allow;
            assert_eq!(got, expected, "{condition} {facts:?}");
        }
    }
}

#[test]
fn an_address_is_the_same_however_it_comes() {
    let more = format!(r#"{READ_ALL}, "Condition": {{"IpAddress": {{"aws:SourceIp": "10.0.0.0/8"}}}}"#);
    let policy = statement("Allow", &more);
    let facts = Facts { source: Some("::ffff:10.1.2.3".parse().unwrap()), ..Facts::default() };
    assert_eq!(says(&policy, Principal::Anonymous, Action::GetObject, Some("x"), &facts), Allow);
}

#[test]
fn what_is_public() {
    let from = |net: &str| format!(r#"{READ_ALL}, "Condition": {{"IpAddress": {{"aws:SourceIp": {net}}}}}"#);
    let keys = READ_ALL.replace(r#""*","#, r#"{"AWS": "DMAKAAAAAAAAAAAAAAAA"},"#);
    for (effect, more, public) in [
        ("Allow", READ_ALL.to_owned(), true),
        ("Deny", READ_ALL.to_owned(), false),
        ("Allow", keys, false),
        ("Allow", from(r#""10.0.0.0/8""#), false),
        ("Allow", from(r#"["10.0.0.0/8", "0.0.0.0/1"]"#), true),
        ("Allow", from(r#""2001:db8::/32""#), false),
        ("Allow", from(r#""::/0""#), true),
        ("Allow", from(r#""10.0.0.0/8""#).replace("IpAddress", "NotIpAddress"), true),
        ("Allow", from(r#""10.0.0.0/8""#).replace("IpAddress", "IpAddressIfExists"), true),
        ("Allow", from(r#""10.0.0.0/8""#).replace("IpAddress", "ForAllValues:IpAddress"), true),
    ] {
        assert_eq!(statement(effect, &more).is_public(), public, "{effect} {more}");
    }
}

#[test]
fn whom_no_statement_may_help_is_known_before() {
    let policy = statement("Allow", READ_ALL);
    assert!(policy.may_allow(Principal::Anonymous, &[Action::PutObject, Action::GetObject]));
    assert!(!policy.may_allow(Principal::Anonymous, &[Action::PutObject]));
    assert!(!statement("Deny", READ_ALL).may_allow(ALICE, &[Action::GetObject]));
}
