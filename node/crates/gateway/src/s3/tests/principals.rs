//! Each operation by each kind of principal, by what the bucket's policy says of its actions.

use std::collections::BTreeSet;

use datamesh_catalog::Permission;

use super::access::cells;
use super::documentation::camel;
use super::signer::{Ask, Client};
use crate::policy::Action;
use crate::s3::actions::{Asked, Brings, of};
use crate::s3::front::OPERATIONS;
use crate::tests::house::{Got, House};

/// No bucket's policy has a say in these: there is no bucket yet, or none in particular.
const OF_NO_BUCKET: [&str; 2] = ["ListBuckets", "CreateBucket"];
/// The cluster's administrators are never denied these.
const RESCUES: [&str; 3] = ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"];

fn asked(operation: &str) -> Vec<Action> {
    match of(operation, false, Brings::default()) {
        Asked::Nothing => Vec::new(),
        Asked::Now(actions) => actions,
        // The keys of these tests name no versions.
        Asked::Later(actions) => actions[..1].to_vec(),
    }
}

#[test]
fn every_operation_has_an_action_and_is_walked_here() {
    let walked: BTreeSet<_> = cells().into_iter().map(|(operation, ..)| operation.to_owned()).collect();
    for operation in OPERATIONS.iter().map(|name| camel(name)) {
        assert!(walked.contains(&operation), "{operation} is not in the table of cells");
        let of_none = OF_NO_BUCKET.contains(&operation.as_str());
        assert_eq!(asked(&operation).is_empty(), of_none, "{operation}: what do policies call it?");
        let all = Brings { tags: true, retention: true, legal_hold: true };
        for (versioned, brings) in [(true, Brings::default()), (false, all), (true, all)] {
            assert_eq!(of(&operation, versioned, brings) == Asked::Nothing, of_none, "{operation}");
        }
    }
}

fn document(effect: &str, actions: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Principal": "*", {actions},
        "Resource": ["arn:aws:s3:::ours", "arn:aws:s3:::ours/*"]}}]}}"#
    )
}

fn named(actions: &[Action]) -> String {
    actions.iter().map(|action| format!("{:?}", action.name())).collect::<Vec<_>>().join(", ")
}

/// Who asks.
struct Askers {
    /// Administers the cluster.
    root: Client,
    /// Administers this bucket.
    owner: Client,
    /// Has a key to another bucket.
    other: Client,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Root,
    Owner,
    Other,
    Anonymous,
}

type Cell<'a> = (&'a str, &'a str, &'a str, &'a [u8]);

impl Askers {
    async fn new(house: &House) -> Self {
        let root = Client::new(house, Permission::Admin, &[]).await;
        assert_eq!(root.refusal("PUT", "/ours", Ask::default()).await, None);
        assert_eq!(root.refusal("PUT", "/ours/x", Ask { body: b"text", ..Ask::default() }).await, None);
        Self {
            root,
            owner: Client::new(house, Permission::Admin, &["ours"]).await,
            other: Client::new(house, Permission::Admin, &["another"]).await,
        }
    }

    async fn set(&self, policy: &str) {
        let put = Ask { body: policy.as_bytes(), ..Ask::default() };
        assert_eq!(self.root.refusal("PUT", "/ours?policy=", put).await, None, "{policy}");
    }

    /// Whether it is refused for who asks.
    async fn is_denied(&self, who: Who, (operation, method, target, body): Cell<'_>) -> bool {
        let copies = ["CopyObject", "UploadPartCopy"].contains(&operation);
        let source = [("x-amz-copy-source", "/ours/x")];
        let headers: &[(&str, &str)] = if copies { &source } else { &[] };
        let ask = Ask { headers, body, ..Ask::default() };
        let got = match who {
            Who::Root => self.root.ask(method, target, ask).await,
            Who::Owner => self.owner.ask(method, target, ask).await,
            Who::Other => self.other.ask(method, target, ask).await,
            Who::Anonymous => self.root.stranger(method, target, ask).await,
        };
        is_denied(&got)
    }
}

/// Of many keys, each is refused on its own.
fn is_denied(got: &Got) -> bool {
    got.status == 403 || String::from_utf8_lossy(&got.body).contains("<Code>AccessDenied</Code>")
}

#[tokio::test]
async fn an_allowance_of_its_action_and_of_no_other_lets_in() {
    let house = House::new(6).await;
    let askers = Askers::new(&house).await;
    for (operation, method, target, body, least) in cells() {
        let actions = asked(operation);
        if actions.is_empty() {
            continue;
        }
        let target = target.replace('@', "ours");
        let cell = (operation, method, target.as_str(), body);
        // A copy reads, too.
        let with_read = format!(r#""Action": [{}, "s3:GetObject"]"#, named(&actions));
        for who in [Who::Other, Who::Anonymous] {
            for action in &actions {
                askers.set(&document("Allow", &format!(r#""NotAction": {:?}"#, action.name()))).await;
                assert!(askers.is_denied(who, cell).await, "{operation} as {who:?} without {action:?}");
            }
            askers.set(&document("Allow", &with_read)).await;
            // Strangers administer nothing, whatever a policy says.
            let expected = who == Who::Anonymous && least == Permission::Admin;
            assert_eq!(askers.is_denied(who, cell).await, expected, "{operation} as {who:?}");
        }
    }
}

#[tokio::test]
async fn a_denial_of_its_action_wins_over_the_key() {
    let house = House::new(6).await;
    let askers = Askers::new(&house).await;
    for (operation, method, target, body, _) in cells() {
        for action in asked(operation) {
            askers.set(&document("Deny", &format!(r#""Action": {:?}"#, action.name()))).await;
            let target = target.replace('@', "ours");
            let cell = (operation, method, target.as_str(), body);
            assert!(askers.is_denied(Who::Owner, cell).await, "{operation} of the bucket's administrator");
            let denied = askers.is_denied(Who::Root, cell).await;
            assert_eq!(denied, !RESCUES.contains(&operation), "{operation} of the cluster's administrator");
        }
    }
}
