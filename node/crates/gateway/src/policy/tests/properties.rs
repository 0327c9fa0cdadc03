//! What holds of all policies.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const KEYS: [Option<&str>; 4] = [None, Some("a"), Some("a/b"), Some("secret/x")];
const PRINCIPALS: [Principal<'_>; 3] = [Principal::Anonymous, ALICE, BOB];

/// A statement of parts that meet each other often.
fn statement() -> impl Strategy<Value = String> {
    let principal =
        select(vec![r#""*""#, r#"{"AWS": "DMAKAAAAAAAAAAAAAAAA"}"#, r#"{"AWS": "arn:aws:iam:::user/bob"}"#]);
    let actions = (
        select(vec!["Action", "NotAction"]),
        select(vec![r#""s3:*""#, r#""s3:Get*""#, r#"["s3:GetObject", "s3:PutObject"]"#, r#""s3:GetObject""#]),
    );
    let resources = (
        select(vec!["Resource", "NotResource"]),
        select(vec![
            r#"["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]"#,
            r#""arn:aws:s3:::photos/*""#,
            r#""arn:aws:s3:::photos/secret/*""#,
        ]),
    );
    let condition = select(vec![
        "",
        r#", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
        r#", "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
        r#", "Condition": {"Null": {"aws:Referer": "true"}}"#,
    ]);
    (select(vec!["Allow", "Deny"]), principal, actions, resources, condition).prop_map(
        |(effect, principal, (act, actions), (res, resources), condition)| {
            format!(
                r#"{{"Effect": "{effect}", "Principal": {principal}, "{act}": {actions}, "{res}": {resources}{condition}}}"#
            )
        },
    )
}

fn parsed(statements: &[String]) -> Policy {
    policy(&statements.join(", "))
}

/// What a policy says of everything that these tests ask.
fn all(policy: &Policy) -> Vec<Verdict> {
    let facts = |address: &str| Facts { source: Some(address.parse().unwrap()), ..Facts::default() };
    let mut said = Vec::new();
    for facts in [facts("10.0.0.1"), facts("192.0.2.1"), Facts::default()] {
        for principal in PRINCIPALS {
            for action in Action::ALL {
                said.extend(KEYS.map(|key| says(policy, principal, *action, key, &facts)));
            }
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_more_denial_never_allows_more(statements in vec(statement(), 1..5), more in statement()) {
        let denial = more.replace("Allow", "Deny");
        let before = all(&parsed(&statements));
        let after = all(&parsed(&[statements, vec![denial]].concat()));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || *after == Verdict::Deny);
        }
    }

    #[test]
    fn one_more_allowance_takes_nothing(statements in vec(statement(), 1..5), more in statement()) {
        let before = all(&parsed(&statements));
        let after = all(&parsed(&[statements, vec![more.replace("Deny", "Allow")]].concat()));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || (*before, *after) == (Verdict::Silent, Verdict::Allow));
        }
    }

    #[test]
    fn the_order_of_statements_is_nothing(
        statements in vec(statement(), 2..6).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let (one, other) = statements;
        prop_assert_eq!(all(&parsed(&one)), all(&parsed(&other)));
    }

    #[test]
    fn who_is_allowed_might_have_been(statements in vec(statement(), 1..5)) {
        let policy = parsed(&statements);
        for principal in PRINCIPALS {
            for action in Action::ALL {
                let facts = Facts::default();
                let allowed = KEYS.iter().any(|key| says(&policy, principal, *action, *key, &facts) == Verdict::Allow);
                prop_assert!(!allowed || policy.may_allow(principal, &[*action]));
            }
        }
    }

    #[test]
    fn only_public_policies_let_strangers_in_from_anywhere(statements in vec(statement(), 1..5)) {
        let policy = parsed(&statements);
        let facts = Facts { source: Some("192.0.2.1".parse().unwrap()), ..Facts::default() };
        for action in Action::ALL {
            for key in KEYS {
                let allowed = says(&policy, Principal::Anonymous, *action, key, &facts) == Verdict::Allow;
                prop_assert!(!allowed || policy.is_public());
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = Policy::parse(&text, BUCKET);
    }

    /// Texts that are nearly policies: one with a piece taken out, doubled, or put elsewhere.
    #[test]
    fn any_mutilated_policy_is_read_or_refused(
        statements in vec(statement(), 1..3),
        from in any::<proptest::sample::Index>(),
        to in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
    ) {
        let text: Vec<char> = document(&statements.join(", ")).chars().collect();
        let (from, to, at) = (from.index(text.len()), to.index(text.len()), at.index(text.len()));
        let piece: String = text[from.min(to)..from.max(to)].iter().collect();
        let (before, behind) = (text[..at].iter().collect::<String>(), text[at..].iter().collect::<String>());
        if let Ok(policy) = Policy::parse(&format!("{before}{piece}{behind}"), BUCKET) {
            all(&policy);
        }
        let left: String = text[..from.min(to)].iter().chain(&text[from.max(to)..]).collect();
        if let Ok(policy) = Policy::parse(&left, BUCKET) {
            all(&policy);
        }
    }
}
