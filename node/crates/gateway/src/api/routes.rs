//! Every route there is, what it asks for and what does it, in one table: none can be without the middle column.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodFilter, on};
use datamesh_catalog::Role;
use http::Method;

use super::{
    App, account, admin, audit, buckets, files, fsck, invites, keys, listing, mailed_reset, second_factor,
    shreds, uploads, users,
};
use crate::auth::Need;

/// One method of one path.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
}

macro_rules! routes {
    ($($method:ident $path:literal $need:expr => $does:path;)*) => {
        /// The table.
        pub(crate) const ROUTES: &[Route] =
            &[$(Route { method: stringify!($method), path: $path, need: $need }),*];

        /// The router it makes.
        pub(super) fn routed() -> Router<Arc<App>> {
            Router::new()$(.route($path, on(MethodFilter::$method, $does)))*
        }
    };
}

use Need::{Anyone, Read, Themselves, Write};

const AUDITOR: Need = Need::Role(Role::Auditor);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::InPerson(Role::Admin);

routes! {
    GET "/api/v1/files" Read => listing::list;
    GET "/api/v1/files/{*key}" Read => files::read;
    HEAD "/api/v1/files/{*key}" Read => files::read;
    PUT "/api/v1/files/{*key}" Write => files::write;
    DELETE "/api/v1/files/{*key}" Write => files::delete;
    GET "/api/v1/buckets" Read => buckets::list;
    PUT "/api/v1/buckets/{bucket}" Write => buckets::create;
    DELETE "/api/v1/buckets/{bucket}" Write => buckets::delete;
    GET "/api/v1/buckets/{bucket}/files" Read => listing::list;
    GET "/api/v1/buckets/{bucket}/files/{*key}" Read => files::read;
    HEAD "/api/v1/buckets/{bucket}/files/{*key}" Read => files::read;
    PUT "/api/v1/buckets/{bucket}/files/{*key}" Write => files::write;
    DELETE "/api/v1/buckets/{bucket}/files/{*key}" Write => files::delete;
    POST "/api/v1/uploads" Write => uploads::begin;
    GET "/api/v1/uploads/{id}" Write => uploads::show;
    DELETE "/api/v1/uploads/{id}" Write => uploads::abort;
    PUT "/api/v1/uploads/{id}/parts/{part}" Write => uploads::part;
    POST "/api/v1/uploads/{id}/complete" Write => uploads::complete;
    GET "/api/v1/shreds" Read => shreds::list;
    GET "/api/v1/shreds/{id}" Read => shreds::show;
    DELETE "/api/v1/shreds/{id}" Write => shreds::forget;
    GET "/api/v1/status" Read => admin::status;
    POST "/api/v1/auth/login" Anyone => account::login;
    POST "/api/v1/auth/register" Anyone => account::register;
    POST "/api/v1/auth/reset" Anyone => account::reset;
    POST "/api/v1/auth/reset/mail" Anyone => mailed_reset::ask;
    POST "/api/v1/auth/logout" Themselves => account::logout;
    GET "/api/v1/auth/profile" Read => account::profile;
    PUT "/api/v1/auth/profile" Themselves => account::change_profile;
    POST "/api/v1/auth/password" Themselves => account::change_password;
    GET "/api/v1/auth/sessions" Themselves => account::sessions;
    DELETE "/api/v1/auth/sessions/{id}" Themselves => account::end;
    GET "/api/v1/auth/tokens" Themselves => account::tokens;
    POST "/api/v1/auth/tokens" Themselves => account::make_token;
    DELETE "/api/v1/auth/tokens/{id}" Themselves => account::end;
    GET "/api/v1/auth/second-factor" Themselves => second_factor::show;
    POST "/api/v1/auth/second-factor" Themselves => second_factor::offer;
    POST "/api/v1/auth/second-factor/confirm" Themselves => second_factor::confirm;
    POST "/api/v1/auth/second-factor/remove" Themselves => second_factor::remove;
    GET "/api/v1/admin/status" AUDITOR => admin::status;
    GET "/api/v1/admin/mesh" AUDITOR => admin::mesh;
    POST "/api/v1/admin/fsck" OPERATOR => fsck::check;
    GET "/api/v1/admin/audit" AUDITOR => audit::list;
    GET "/api/v1/admin/audit/export" AUDITOR => audit::export;
    GET "/api/v1/admin/audit/chains" AUDITOR => audit::chains;
    PUT "/api/v1/admin/pools/{pool}" OPERATOR => admin::put_pool;
    PUT "/api/v1/admin/pools/{pool}/drains/{node}" OPERATOR => admin::drain;
    DELETE "/api/v1/admin/pools/{pool}/drains/{node}" OPERATOR => admin::undrain;
    POST "/api/v1/admin/pools/{pool}/nodes/{node}/replace" OPERATOR => admin::replace;
    GET "/api/v1/admin/keys" ADMIN => keys::list;
    POST "/api/v1/admin/keys" ADMIN => keys::create;
    PUT "/api/v1/admin/keys/{id}" ADMIN => keys::change;
    DELETE "/api/v1/admin/keys/{id}" ADMIN => keys::delete;
    POST "/api/v1/admin/key/export" ADMIN => admin::export_key;
    GET "/api/v1/admin/users" ADMIN => users::list;
    POST "/api/v1/admin/users" ADMIN => users::create;
    GET "/api/v1/admin/users/{name}" ADMIN => users::show;
    PUT "/api/v1/admin/users/{name}" ADMIN => users::change;
    DELETE "/api/v1/admin/users/{name}" ADMIN => users::delete;
    POST "/api/v1/admin/users/{name}/reset" ADMIN => users::reset;
    DELETE "/api/v1/admin/users/{name}/sessions" ADMIN => users::end_sessions;
    DELETE "/api/v1/admin/users/{name}/second-factor" ADMIN => second_factor::clear;
    POST "/api/v1/admin/invites" ADMIN => invites::create;
    GET "/api/v1/admin/invites" ADMIN => invites::list;
    DELETE "/api/v1/admin/invites/{id}" ADMIN => invites::delete;
    GET "/api/v1/admin/registration" ADMIN => users::registration;
    PUT "/api/v1/admin/registration" ADMIN => users::set_registration;
}

/// What a request asks for. What is no route, or no method of one, is answered to whoever may read: what is there is no stranger's
/// business. A `HEAD` without a line of its own is the `GET`'s.
pub(super) fn need_of(method: &Method, path: Option<&str>) -> Need {
    let of = |method: &str| ROUTES.iter().find(|route| Some(route.path) == path && route.method == method);
    let route = of(method.as_str()).or_else(|| of("GET").filter(|_| *method == Method::HEAD));
    route.map_or(Read, |route| route.need)
}
