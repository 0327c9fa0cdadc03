//! What is no policy, and what its author is told.

use super::*;
use crate::policy::POLICY_BYTES_MAX;

const GOOD: &str =
    r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}"#;
const LIST: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::photos", "Condition": {"StringLike": {"s3:prefix": "a"}}}"#;

fn refusal(text: &str) -> String {
    Policy::parse(text, BUCKET).unwrap_err().to_string()
}

#[test]
fn what_is_written_in_other_words_is_refused_and_named() {
    for (from, to, named) in [
        (r#""Effect": "Allow""#, r#""Effect": "allow""#, "allow"),
        (r#""Effect""#, r#""Affect""#, "Affect"),
        (r#""Effect""#, r#""Effect": "Allow", "Effect""#, "duplicate field"),
        (r#""Principal": "*","#, "", "Principal"),
        (r#""Principal": "*""#, r#""NotPrincipal": "*""#, "NotPrincipal"),
        (r#""Principal": "*""#, r#""Principal": "ada""#, "ada"),
        (r#""Principal": "*""#, r#""Principal": {"Service": "x"}"#, "Service"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": []}"#, "Principal"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam:::user/*"}"#, "user/*"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::123:user/a"}"#, "123"),
        ("s3:GetObject", "s3:GetObjekt", "s3:GetObjekt"),
        ("s3:GetObject", "s3:CreateBucket", "s3:CreateBucket"),
        ("s3:GetObject", "sqs:*", "sqs:*"),
        ("s3:GetObject", "s3:ListBucket", "s3:ListBucket"),
        (r#""Action": "s3:GetObject""#, r#""Action": []"#, "Action"),
        (r#""Action""#, r#""NotAction": "s3:PutObject", "Action""#, "Action"),
        ("photos/*", "other/*", "other/*"),
        ("photos/*", "photos", "s3:GetObject"),
        ("photos/*", "photos/", "photos/"),
        ("arn:aws:s3:::photos/*", "*", r#""*""#),
        ("photos/*", "photos/${aws:username}", "variables"),
    ] {
        let changed = GOOD.replacen(from, to, 1);
        assert_ne!(changed, GOOD, "{from}");
        let refusal = refusal(&document(&changed));
        assert!(refusal.contains(named), "{changed}: {refusal}");
    }
}

#[test]
fn conditions_that_would_say_nothing_are_refused_and_named() {
    for (from, to, named) in [
        ("s3:prefix", "s3:prefixes", "s3:prefixes"),
        ("s3:prefix", "s3:ExistingObjectTag/a", "s3:ExistingObjectTag/a"),
        ("StringLike", "StringLikes", "StringLikes"),
        ("StringLike", "ForSomeValues:StringLike", "ForSomeValues"),
        ("StringLike", "NumericEquals", "s3:prefix"),
        ("StringLike", "NullIfExists", "NullIfExists"),
        (r#""s3:prefix": "a""#, "", "StringLike"),
        (r#""s3:prefix": "a""#, r#""s3:prefix": []"#, "no value"),
        (r#""s3:prefix": "a""#, r#""s3:prefix": "a", "s3:prefix": "b""#, "duplicate field"),
        (r#""s3:prefix": "a""#, r#""s3:prefix": "${aws:username}""#, "variables"),
        (r#"{"s3:prefix": "a"}"#, r#"{"s3:prefix": "a"}, "StringLike": {}"#, "duplicate field"),
        (
            r#""StringLike": {"s3:prefix": "a"}"#,
            r#""IpAddress": {"aws:SourceIp": "10.0.0.0/33"}"#,
            "10.0.0.0/33",
        ),
        (r#""StringLike": {"s3:prefix": "a"}"#, r#""DateEquals": {"aws:CurrentTime": "soon"}"#, "soon"),
        (r#""StringLike": {"s3:prefix": "a"}"#, r#""Bool": {"aws:SecureTransport": "yes"}"#, "yes"),
        (r#""StringLike": {"s3:prefix": "a"}"#, r#""NumericEquals": {"s3:max-keys": "1.5"}"#, "1.5"),
        (r#""StringLike": {"s3:prefix": "a"}"#, r#""Null": {"s3:prefix": ["true", "false"]}"#, "one value"),
        ("s3:ListBucket", "s3:GetBucketLocation", "s3:prefix"),
    ] {
        let changed = LIST.replacen(from, to, 1);
        assert_ne!(changed, LIST, "{from}");
        let refusal = refusal(&document(&changed));
        assert!(refusal.contains(named), "{changed}: {refusal}");
    }
}

#[test]
fn documents() {
    for (text, named) in [
        ("", "EOF"),
        ("[]", "malformed"),
        (r#"{"Version": "2012-10-17"}"#, "Statement"),
        (r#"{"Statement": []}"#, "statement"),
        (r#"{"Version": "2012-10-18", "Statement": []}"#, "2012-10-18"),
        (r#"{"Statement": [], "Comment": ""}"#, "Comment"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(named), "{text}: {refusal}");
    }
    let deep = "[".repeat(10_000);
    assert!(refusal(&deep).contains("malformed"));
    let long = document(GOOD).replace("photos/*", &format!("photos/{}", "x".repeat(POLICY_BYTES_MAX)));
    assert!(refusal(&long).contains("20480"));
    for good in [
        format!(r#"{{"Statement": {GOOD}}}"#),
        format!(r#"{{"Id": "x", "Version": "2008-10-17", "Statement": [{GOOD}, {LIST}]}}"#),
    ] {
        Policy::parse(&good, BUCKET).unwrap();
    }
    let named =
        document(&GOOD.replace(r#"{"Effect""#, r#"{"Sid": "Mine", "Effect""#).replace("GetObject", "X"));
    assert!(refusal(&named).starts_with("statement Mine: "));
}
