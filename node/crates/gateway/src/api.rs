//! The HTTP API under `/api/v1`.

mod admin;
mod buckets;
mod conditional;
mod files;
mod fsck;
mod incoming;
mod keys;
mod listing;
mod range;
mod shreds;
mod target;
mod trace;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use crate::access_keys::AccessKeys;
use crate::auth::Tokens;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::problem::{Kind, Problem};
use crate::status::StatusSource;
use crate::surroundings::Surroundings;

pub(crate) use files::KEPT_HEADERS;
pub(crate) use incoming::{Incoming, Refused, Told, Witness};
pub(crate) use target::DEFAULT_BUCKET;
pub(crate) use trace::known as known_method;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) metrics: Metrics,
    pub(crate) objects: Objects,
    pub(crate) keys: AccessKeys,
    pub(crate) status: StatusSource,
    pub(crate) admin: admin::Admin,
    pub(crate) surroundings: Arc<dyn Surroundings>,
}

pub(crate) use admin::Admin;

/// All routes. Every one of them, and everything that is none, asks for a token first.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/v1/files", get(listing::list))
        .route(
            "/api/v1/files/{*key}",
            get(files::read).head(files::read).put(files::write).delete(files::delete),
        )
        .route("/api/v1/buckets", get(buckets::list))
        .route("/api/v1/buckets/{bucket}", put(buckets::create).delete(buckets::delete))
        .route("/api/v1/buckets/{bucket}/files", get(listing::list))
        .route(
            "/api/v1/buckets/{bucket}/files/{*key}",
            get(files::read).head(files::read).put(files::write).delete(files::delete),
        )
        .route("/api/v1/uploads", post(uploads::begin))
        .route("/api/v1/uploads/{id}", get(uploads::show).delete(uploads::abort))
        .route("/api/v1/uploads/{id}/parts/{part}", put(uploads::part))
        .route("/api/v1/uploads/{id}/complete", post(uploads::complete))
        .route("/api/v1/shreds", get(shreds::list))
        .route("/api/v1/shreds/{id}", get(shreds::show).delete(shreds::forget))
        .route("/api/v1/status", get(admin::status))
        .route("/api/v1/admin/status", get(admin::status))
        .route("/api/v1/admin/mesh", get(admin::mesh))
        .route("/api/v1/admin/fsck", post(fsck::check))
        .route("/api/v1/admin/pools/{pool}", put(admin::put_pool))
        .route("/api/v1/admin/pools/{pool}/drains/{node}", put(admin::drain).delete(admin::undrain))
        .route("/api/v1/admin/pools/{pool}/nodes/{node}/replace", post(admin::replace))
        .route("/api/v1/admin/keys", get(keys::list).post(keys::create))
        .route("/api/v1/admin/keys/{id}", put(keys::change).delete(keys::delete))
        .route("/api/v1/admin/key/export", post(admin::export_key))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&app), trace::around))
        .with_state(app)
}

async fn no_route() -> Problem {
    Problem::new(
        Kind::NoSuchRoute,
        "the API's paths begin with /api/v1/files, /buckets, /uploads, /shreds, /status or /admin",
    )
}

async fn no_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "the path is right, the method is not")
}
