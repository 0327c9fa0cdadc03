//! The HTTP API under `/api/v1`.

mod account;
mod admin;
mod archive;
mod audit;
mod backups;
mod buckets;
mod compression;
mod conditional;
mod credentials;
mod files;
mod fsck;
mod groups;
mod idempotency;
mod identities;
mod incoming;
mod invites;
mod jobs;
mod keys;
mod listing;
mod mailed_reset;
mod metadata;
mod monitoring;
mod oidc;
pub(crate) mod openapi;
mod own_keys;
mod pages;
mod quota;
mod range;
pub(crate) mod routes;
mod sealed;
mod second_factor;
mod segments;
mod shared;
mod shares;
mod shreds;
mod target;
mod trace;
mod trash;
mod tus;
mod uploads;
mod users;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::access_keys::AccessKeys;
use crate::accounts::Accounts;
use crate::audit::Audit;
use crate::auth::Tokens;
use crate::metrics::Metrics;
use crate::notifications::Targets;
use crate::objects::Objects;
use crate::owned::Tasks;
use crate::problem::{Kind, Problem};
use crate::status::StatusSource;
use crate::surroundings::Surroundings;
use crate::work::expire::NewRules;

pub(crate) use files::KEPT_HEADERS;
pub(crate) use incoming::{Incoming, Inherited, Refused, Told, Witness};
pub(crate) use listing::rfc3339;
pub(crate) use target::DEFAULT_BUCKET;
pub(crate) use trace::known as known_method;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) accounts: Accounts,
    pub(crate) audit: Arc<Audit>,
    pub(crate) metrics: Metrics,
    pub(crate) objects: Objects,
    pub(crate) keys: AccessKeys,
    pub(crate) status: StatusSource,
    pub(crate) admin: admin::Admin,
    /// Told when a bucket gets other rules of expiry.
    pub(crate) new_rules: NewRules,
    /// Whom events of buckets may be told.
    pub(crate) notifications: Arc<Targets>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
    /// Requests to REST.
    pub(crate) quotas: Quotas,
    /// Requests to S3.
    pub(crate) s3_quotas: Quotas,
    pub(crate) once: Once,
    pub(crate) archives: Archives,
    /// Bodies that are written down to their end, though their clients may be gone.
    pub(crate) appends: Tasks,
}

pub(crate) use admin::Admin;
pub(crate) use archive::Archives;
pub(crate) use idempotency::Once;
pub(crate) use quota::{Quotas, Share, network, region};

/// All routes, and everything that is none, behind what [`trace::around`] does: each asks for what [`routes`] says.
pub(crate) fn router(app: Arc<App>) -> Router {
    routes::routed()
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&app), trace::around))
        .with_state(app)
}

async fn no_route() -> Problem {
    Problem::new(
        Kind::NoSuchRoute,
        "the paths there are stand in /api/v1/openapi.json, and to read in /api/v1/docs",
    )
}

async fn no_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "the path is right, the method is not")
}
