//! Somebody before a bucket: what their key allows, and what the bucket's policy says of it.
//!
//! A denial of the policy wins over all, an allowance extends what the key may, and whoever has no key has nothing else. Buckets are
//! administered with a key, whatever a policy says; the cluster's own administrators always reach the policy itself.

use std::sync::Arc;

use datamesh_catalog::{AccessKeyId, Cause, GroupName, Permission, Way};
use http::Extensions;
use s3s::path::S3Path;
use s3s::{S3Error, S3Result, s3_error};

use super::access::{Seen, allows};
use super::actions::Asked;
use super::names;
use crate::access_keys::KnownKey;
use crate::api::App;
use crate::audit::Actor;
use crate::auth::Address;
use crate::policy::{Action, Deed, Facts, Policy, Principal, Verdict};

/// Operations on the policy itself, from which the cluster's administrators cannot be locked out.
const RESCUES: [&str; 3] = ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"];

/// Who asks.
#[derive(Clone)]
pub(super) enum Asker {
    /// Nobody signed the request.
    Anonymous,
    Key(AccessKeyId, Arc<KnownKey>),
}

/// What they want.
pub(super) struct Wanted<'a> {
    pub(super) operation: &'a str,
    pub(super) need: Permission,
    pub(super) asked: Asked,
    pub(super) path: &'a S3Path,
}

/// They stand before a bucket whose policy was read.
pub(super) struct Standing {
    asker: Asker,
    /// The groups of whom the key acts for, where the policy names any.
    groups: Vec<GroupName>,
    facts: Facts,
    need: Permission,
    bucket: String,
    policy: Option<Arc<Policy>>,
    /// The policy lets strangers in, and something keeps them out.
    restricted: bool,
}

/// What an action asks of a key, whatever operation it comes with. Who writes and deletes is not who sets governance aside.
fn own_need(action: Action) -> Permission {
    match action {
        Action::BypassGovernanceRetention => Permission::Admin,
        _ => Permission::ReadOnly,
    }
}

/// The key does not allow it, and no policy does.
pub(super) fn denied() -> S3Error {
    s3_error!(AccessDenied, "the access key does not allow this")
}

fn unsigned() -> S3Error {
    s3_error!(AccessDenied, "sign the request")
}

/// The standing of a request that was let through.
pub(super) fn of(extensions: &Extensions) -> S3Result<Arc<Standing>> {
    extensions.get::<Arc<Standing>>().cloned().ok_or_else(denied)
}

/// Whose doing a change is that a request asks for, as its event tells it.
pub(super) fn cause(extensions: &Extensions, way: Way) -> S3Result<Arc<Cause>> {
    let by = of(extensions)?.asker.actor().name;
    let seen = extensions.get::<Arc<Seen>>();
    let address = seen.and_then(|seen| seen.from).map(|Address(address)| address.to_string());
    let request = seen.map(|seen| seen.id.clone());
    let (address, request) = (address.unwrap_or_default(), request.unwrap_or_default());
    // The library hands the file of a form to the operation that puts objects.
    let form = seen.and_then(|seen| seen.operation.get()).is_some_and(|name| name == "PostObject");
    Ok(Arc::new(Cause { way: if form { Way::Post } else { way }, by, address, request }))
}

impl Asker {
    fn principal<'a>(&'a self, groups: &'a [GroupName]) -> Principal<'a> {
        match self {
            Self::Anonymous => Principal::Anonymous,
            Self::Key(id, known) => Principal::Key { id: id.as_str(), owner: &known.grant.owner, groups },
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    fn may_by_key(&self, need: Permission, bucket: Option<&str>) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Key(_, known) => allows(&known.grant, need, bucket),
        }
    }

    /// Administers all buckets.
    fn administers(&self) -> bool {
        let all =
            |known: &KnownKey| known.grant.permission == Permission::Admin && known.grant.buckets.is_empty();
        matches!(self, Self::Key(_, known) if all(known))
    }

    fn refused(&self) -> S3Error {
        if self.is_anonymous() { unsigned() } else { denied() }
    }

    /// As the audit names them.
    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Anonymous => Actor { name: "anonymous".to_owned(), ..Actor::default() },
            Self::Key(id, _) => {
                Actor { name: format!("key:{id}"), credential: id.to_string(), ..Actor::default() }
            }
        }
    }
}

impl Standing {
    /// Holds a request against key and policy.
    ///
    /// # Errors
    /// `AccessDenied`; the catalog's faults.
    pub(super) async fn judge(
        app: &Arc<App>,
        (asker, facts): (Asker, Facts),
        wanted: Wanted<'_>,
    ) -> S3Result<Self> {
        let Wanted { operation, need, asked, path } = wanted;
        let (bucket, key) = (path.get_bucket_name(), path.get_object_key());
        let by_key = asker.may_by_key(need, bucket);
        let rescued = RESCUES.contains(&operation) && asker.administers();
        match (asked, bucket) {
            (Asked::Nothing, _) | (_, None) if !by_key => Err(asker.refused()),
            (Asked::Nothing, bucket) => Ok(Self::without_policy((asker, facts), need, bucket)),
            (_, bucket) if rescued => Ok(Self::without_policy((asker, facts), need, bucket)),
            (_, None) => Ok(Self::without_policy((asker, facts), need, None)),
            (Asked::Now(actions), Some(bucket)) => {
                let standing = Self::before(app, (asker, facts), need, bucket).await?;
                standing.may(&actions, key, &standing.facts)?;
                Ok(standing)
            }
            (Asked::Later(actions), Some(bucket)) => {
                let standing = Self::before(app, (asker, facts), need, bucket).await?;
                if by_key || standing.may_be_allowed(actions) {
                    Ok(standing)
                } else {
                    Err(standing.asker.refused())
                }
            }
        }
    }

    fn without_policy((asker, facts): (Asker, Facts), need: Permission, bucket: Option<&str>) -> Self {
        let bucket = bucket.unwrap_or_default().to_owned();
        Self { asker, groups: Vec::new(), facts, need, bucket, policy: None, restricted: false }
    }

    async fn before(
        app: &Arc<App>,
        (asker, facts): (Asker, Facts),
        need: Permission,
        bucket: &str,
    ) -> S3Result<Self> {
        let mut standing = Self::without_policy((asker, facts), need, Some(bucket));
        // What is no name is no bucket's: the operation says so.
        let Ok(name) = names::bucket(bucket) else { return Ok(standing) };
        if standing.asker.is_anonymous() {
            let (policy, kept_out) = app.objects.policy_for_strangers(&name).await?;
            standing.restricted = kept_out && policy.as_ref().is_some_and(|policy| policy.is_public());
            standing.policy = policy;
        } else {
            standing.policy = app.objects.policy(&name).await?;
        }
        if let Asker::Key(_, known) = &standing.asker
            && standing.policy.as_ref().is_some_and(|policy| policy.names_groups())
        {
            standing.groups = app.accounts.groups_of_owner(&known.grant.owner).await?;
        }
        Ok(standing)
    }

    /// The same asker before another bucket, to read an object there.
    pub(super) async fn elsewhere(
        &self,
        app: &Arc<App>,
        bucket: &str,
        version: Option<String>,
    ) -> S3Result<Self> {
        let facts = self.facts.of_version(version);
        Self::before(app, (self.asker.clone(), facts), Permission::ReadOnly, bucket).await
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    fn is_closed_to_asker(&self, need: Permission) -> bool {
        self.asker.is_anonymous() && (self.restricted || need == Permission::Admin)
    }

    fn may_be_allowed(&self, actions: &[Action]) -> bool {
        let policy = self.policy.as_ref().filter(|_| !self.is_closed_to_asker(self.need));
        policy.is_some_and(|policy| policy.may_allow(self.asker.principal(&self.groups), actions))
    }

    /// Whether governance is set aside of a version: it was asked for, by somebody who may. Clients ask also where there is nothing to
    /// set aside, so to ask in vain is no fault.
    pub(super) fn sets_governance_aside(&self, asked: Option<bool>, key: &str, facts: &Facts) -> bool {
        asked == Some(true) && self.may(&[Action::BypassGovernanceRetention], Some(key), facts).is_ok()
    }

    /// Whether they may lift a legal hold: who writes and deletes puts holds on, and is not who ends them.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(super) fn may_lift_hold(&self, key: &str) -> S3Result<()> {
        self.may_one(Action::PutObjectLegalHold, Permission::Admin, (Some(key), &self.facts))
    }

    /// Whether they may do all of this.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(super) fn may(&self, actions: &[Action], key: Option<&str>, facts: &Facts) -> S3Result<()> {
        actions.iter().try_for_each(|action| self.may_one(*action, own_need(*action), (key, facts)))
    }

    /// Whether they may do this, by the policy or by a key that allows this much besides what the operation asks of it.
    fn may_one(
        &self,
        action: Action,
        least: Permission,
        (key, facts): (Option<&str>, &Facts),
    ) -> S3Result<()> {
        let need = self.need.max(least);
        let by_key = self.asker.may_by_key(need, Some(&self.bucket));
        let principal = self.asker.principal(&self.groups);
        let deed = Deed { principal, action, bucket: &self.bucket, key, facts };
        match self.policy.as_ref().map_or(Verdict::Silent, |policy| policy.judge(&deed)) {
            Verdict::Deny if self.asker.is_anonymous() => Err(unsigned()),
            Verdict::Deny => Err(s3_error!(AccessDenied, "the bucket's policy denies {}", action.name())),
            Verdict::Allow if !self.is_closed_to_asker(need) => Ok(()),
            Verdict::Allow | Verdict::Silent if by_key => Ok(()),
            Verdict::Allow | Verdict::Silent => Err(self.asker.refused()),
        }
    }
}
