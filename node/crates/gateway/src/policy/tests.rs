//! What policies say: a table of policies by requests, what is refused, and what holds of all of them.

mod properties;
mod refusals;
mod verdicts;

use super::{Action, Deed, Facts, Policy, Principal, Verdict};

const BUCKET: &str = "photos";
const ALICE: Principal<'_> = Principal::Key { id: "DMAKAAAAAAAAAAAAAAAA", owner: "alice", groups: &[] };
const BOB: Principal<'_> = Principal::Key { id: "DMAKBBBBBBBBBBBBBBBB", owner: "bob", groups: &[] };

fn policy(statements: &str) -> Policy {
    Policy::parse(&document(statements), BUCKET).unwrap()
}

fn document(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

fn says(
    policy: &Policy,
    principal: Principal<'_>,
    action: Action,
    key: Option<&str>,
    facts: &Facts,
) -> Verdict {
    policy.judge(&Deed { principal, action, bucket: BUCKET, key, facts })
}
