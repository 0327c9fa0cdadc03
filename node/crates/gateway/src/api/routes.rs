//! Every route there is in one table: what it asks for, what does it, and what it takes and gives. None can be without one of these, and
//! the API's description is made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodFilter, on};
use datamesh_catalog::Role;
use datamesh_settings::admin::{
    AskedBackup, BackupOverview, BackupPoints, ClusterStatus, FsckEvent, FsckRequest, Jobs, PoolSpec,
};
use datamesh_settings::audit::AuditLine;
use datamesh_settings::mesh::MeshStatus;
use http::Method;
use serde_json::Value;

use super::openapi::{self, Operation, does};
use super::{
    App, account, admin, archive, audit, backups, buckets, compression, credentials, files, fsck, groups,
    identities, invites, jobs, keys, listing, mailed_reset, metadata, monitoring, oidc, own_keys, sealed,
    second_factor, segments, shared, shares, shreds, trash, tus, uploads, users, versions,
};
use crate::auth::Need;

/// One method of one path.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    /// What it takes and gives, for its description.
    pub(crate) says: fn() -> Operation,
}

macro_rules! routes {
    ($($method:ident $path:literal $need:expr => $does:path, $says:expr;)*) => {
        /// The table.
        pub(crate) const ROUTES: &[Route] =
            &[$(Route { method: stringify!($method), path: $path, need: $need, says: || $says }),*];

        /// The router it makes.
        pub(super) fn routed() -> Router<Arc<App>> {
            Router::new()$(.route($path, compression::of(on(MethodFilter::$method, $does), &$says)))*
        }
    };
}

use Need::{Anyone, Read, Themselves, Write};

const AUDITOR: Need = Need::Role(Role::Auditor);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::InPerson(Role::Admin);
/// What an answer has that shows a secret.
const SECRET: &[&str] = &["Cache-Control"];

/// Headers of requests that change an object.
const CONDITIONS: &[&str] = &["If-Match", "If-None-Match"];
/// Headers of requests that read one.
const READING: &[&str] = &["Range", "If-Range", "If-Match", "If-None-Match"];
/// The same, of what comes whole.
const READING_WHOLE: &[&str] = &["If-Match", "If-None-Match"];

/// What requests say that go on with an upload of tus.
const APPENDING: &[&str] =
    &["Tus-Resumable", "Upload-Offset", "Upload-Checksum", "If-Match", "If-None-Match"];
/// What answers of tus have.
const TUS: &[&str] = &["Tus-Resumable"];
const GROWN: &[&str] = &["Tus-Resumable", "Upload-Offset"];
const SHOWN_OF_TUS: &[&str] = &["Tus-Resumable", "Upload-Offset", "Upload-Length", "Cache-Control"];

/// Where one goes on with what was made.
const UPLOAD: &[&str] = &[
    "GET /api/v1/uploads/{id}",
    "DELETE /api/v1/uploads/{id}",
    "PUT /api/v1/uploads/{id}/parts/{part}",
    "POST /api/v1/uploads/{id}/complete",
    "GET /api/v1/uploads/{id}/segments",
];
const USER: &[&str] = &[
    "GET /api/v1/admin/users/{name}",
    "PUT /api/v1/admin/users/{name}",
    "DELETE /api/v1/admin/users/{name}",
    "POST /api/v1/admin/users/{name}/reset",
];
const GROUP: &[&str] = &[
    "GET /api/v1/admin/groups/{name}",
    "PUT /api/v1/admin/groups/{name}",
    "DELETE /api/v1/admin/groups/{name}",
];

routes! {
    GET "/api/v1/openapi.json" Anyone => openapi::json,
        does("This description").heeds(READING_WHOLE).gives::<BTreeMap<String, Value>>(200).with(&["ETag"]).gives_nothing(304).with(&["ETag"]);
    GET "/api/v1/docs" Anyone => openapi::page,
        does("This description, to read").heeds(READING_WHOLE).gives_a_page().with(&["ETag"]).gives_nothing(304).with(&["ETag"]);
    GET "/api/v1/archive" Read => archive::read,
        does("Downloads a folder of the default bucket as a zip").asks::<archive::Params>().gives_bytes(200);
    GET "/api/v1/buckets/{bucket}/archive" Read => archive::read,
        does("Downloads a folder of a bucket as a zip").asks::<archive::Params>().gives_bytes(200);
    GET "/api/v1/files" Read => listing::list,
        does("Lists the default bucket by key").asks::<listing::Params>().gives::<listing::Answer>(200).compressed();
    GET "/api/v1/files/{*key}" Read => files::read, reads_file("Reads an object, or a part of it");
    HEAD "/api/v1/files/{*key}" Read => files::read, reads_file("Shows an object's headers");
    PUT "/api/v1/files/{*key}" Write => files::write, writes_object();
    DELETE "/api/v1/files/{*key}" Write => files::delete, deletes_object();
    GET "/api/v1/buckets" Read => buckets::list,
        does("Lists the buckets by name").gives::<buckets::Listed>(200).compressed();
    GET "/api/v1/buckets/{bucket}" Read => buckets::show,
        does("Shows a bucket, what is set of it and what it has").gives::<buckets::Whole>(200);
    PUT "/api/v1/buckets/{bucket}" Write => buckets::create,
        does("Makes a bucket").may_take::<buckets::Create>().gives::<buckets::Shown>(201);
    DELETE "/api/v1/buckets/{bucket}" Write => buckets::delete,
        does("Deletes a bucket that is empty").gives_nothing(204);
    GET "/api/v1/buckets/{bucket}/files" Read => listing::list,
        does("Lists a bucket by key").asks::<listing::Params>().gives::<listing::Answer>(200).compressed();
    GET "/api/v1/buckets/{bucket}/files/{*key}" Read => files::read, reads_file("Reads an object, or a part of it");
    HEAD "/api/v1/buckets/{bucket}/files/{*key}" Read => files::read, reads_file("Shows an object's headers");
    PUT "/api/v1/buckets/{bucket}/files/{*key}" Write => files::write, writes_object();
    DELETE "/api/v1/buckets/{bucket}/files/{*key}" Write => files::delete, deletes_object();
    GET "/api/v1/buckets/{bucket}/sealed/{*key}" Read => sealed::read, reads_manifest();
    PUT "/api/v1/buckets/{bucket}/sealed/{*key}" Write => sealed::write,
        does("Stores a small object that its client sealed").heeds(CONDITIONS).takes::<sealed::Small>()
            .gives::<files::Written>(200).with(&["ETag"]).gives::<files::Written>(201).with(&["ETag"]);
    GET "/api/v1/buckets/{bucket}/segments/{segment}/{*key}" Read => sealed::segment,
        does("Reads a segment of an object as its client sealed it, or a part of it").asks::<sealed::Of>().heeds(READING)
            .gives_bytes(200).with(&["ETag"]).gives_bytes(206).with(&["ETag"]).gives_nothing(304).with(&["ETag"]);
    GET "/api/v1/metadata/{*key}" Read => metadata::read, reads_metadata();
    PUT "/api/v1/metadata/{*key}" Write => metadata::write, writes_metadata();
    GET "/api/v1/buckets/{bucket}/metadata/{*key}" Read => metadata::read, reads_metadata();
    PUT "/api/v1/buckets/{bucket}/metadata/{*key}" Write => metadata::write, writes_metadata();
    GET "/api/v1/versions" Read => versions::list, lists_versions("Lists the versions that the default bucket keeps, by key");
    POST "/api/v1/versions/restore" Write => versions::restore, restores_version();
    GET "/api/v1/buckets/{bucket}/versions" Read => versions::list, lists_versions("Lists the versions that a bucket keeps, by key");
    POST "/api/v1/buckets/{bucket}/versions/restore" Write => versions::restore, restores_version();
    GET "/api/v1/buckets/{bucket}/trash" Read => trash::show,
        does("Shows for how long what is deleted of a bucket is kept").gives::<trash::Shown>(200);
    PUT "/api/v1/buckets/{bucket}/trash" Write => trash::keep,
        does("Has what is deleted of a bucket kept for some days").takes::<trash::Keep>().gives::<trash::Shown>(200);
    DELETE "/api/v1/buckets/{bucket}/trash" Write => trash::keep_no_more,
        does("Has what is deleted of a bucket kept no more; what is in its trash stays until its days are over").gives_nothing(204);
    GET "/api/v1/buckets/{bucket}/trash/files" Read => trash::list,
        does("Lists what was deleted and can be put back").asks::<trash::Params>().gives::<trash::Listed>(200).compressed();
    DELETE "/api/v1/buckets/{bucket}/trash/files" Write => trash::empty,
        does("Deletes for good what was deleted").asks::<trash::Emptied>().gives::<trash::Purged>(200);
    POST "/api/v1/buckets/{bucket}/trash/restore" Write => trash::restore,
        does("Puts an object back that was deleted").takes::<trash::Restore>().gives::<trash::Restored>(200);
    POST "/api/v1/buckets/{bucket}/trash/purge" Write => trash::purge,
        does("Deletes for good one object that was deleted").takes::<trash::Entry>().gives::<trash::Purged>(200);
    POST "/api/v1/uploads" Write => uploads::begin,
        does("Begins an upload in parts").takes::<uploads::Begin>().once().gives::<uploads::Shown>(201).leads_by("id", "/id", UPLOAD);
    GET "/api/v1/uploads/{id}" Write => uploads::show,
        does("Shows which parts have arrived").gives::<uploads::Shown>(200).compressed();
    DELETE "/api/v1/uploads/{id}" Write => uploads::abort,
        does("Gives an upload up").gives_nothing(204);
    PUT "/api/v1/uploads/{id}/parts/{part}" Write => uploads::part,
        does("Stores a part; again replaces it").takes_bytes().gives::<uploads::Part>(200);
    POST "/api/v1/uploads/{id}/complete" Write => uploads::complete,
        does("Makes the object of its parts").heeds(CONDITIONS).may_take::<uploads::Complete>()
            .gives::<files::Written>(200).with(&["ETag"]).gives::<files::Written>(201).with(&["ETag"]);
    GET "/api/v1/uploads/{id}/segments" Write => segments::list,
        does("Lists the segments of an upload that are durable").asks::<segments::Params>().gives::<segments::Listed>(200);
    PUT "/api/v1/uploads/{id}/segments/{segment}" Write => segments::put,
        does("Stores a segment that its client sealed; again changes nothing").takes_bytes()
            .gives::<segments::Put>(200).gives::<segments::Put>(201);
    PUT "/api/v1/uploads/{id}/pages/{page}" Write => segments::page,
        does("Writes a page of a manifest that goes on; again replaces it, and those behind it").takes::<segments::Page>()
            .gives::<segments::Written>(200);
    POST "/api/v1/uploads/{id}/commit" Write => segments::commit,
        does("Makes the object of its segments, with the last page of its manifest").heeds(CONDITIONS).takes::<segments::Commit>()
            .gives::<files::Written>(200).with(&["ETag"]).gives::<files::Written>(201).with(&["ETag"]);
    OPTIONS "/api/v1/tus" Anyone => tus::offers, offers_tus();
    POST "/api/v1/tus" Write => tus::create, begins_tus();
    HEAD "/api/v1/tus/{id}" Write => tus::show,
        does("Tells how far an upload of tus is").heeds(&["Tus-Resumable"]).gives_nothing(200).with(SHOWN_OF_TUS);
    PATCH "/api/v1/tus/{id}" Write => tus::append,
        does("Goes on with an upload of tus; at its end makes the object").heeds(APPENDING).takes_appended()
            .gives_nothing(204).with(GROWN);
    DELETE "/api/v1/tus/{id}" Write => tus::end,
        does("Gives an upload of tus up").heeds(&["Tus-Resumable"]).gives_nothing(204).with(TUS);
    POST "/api/v1/tus/{id}" Write => tus::stand_in, stands_in_for_tus();
    GET "/api/v1/shreds" Read => shreds::list,
        does("Lists what is being shredded, and was lately").gives::<shreds::All>(200).compressed();
    GET "/api/v1/shreds/{id}" Read => shreds::show,
        does("Shows how far a shredding is").gives::<shreds::Shown>(200);
    DELETE "/api/v1/shreds/{id}" Write => shreds::forget,
        does("Calls a shredding off, or forgets one that is over").gives_nothing(204);
    GET "/api/v1/status" Read => admin::status,
        does("Shows how the cluster is").gives::<ClusterStatus>(200).compressed();
    GET "/api/v1/monitoring/health" Read => monitoring::health,
        does("Shows whether all is well").gives::<monitoring::Health>(200).compressed();
    GET "/api/v1/monitoring/metrics" AUDITOR => monitoring::metrics,
        does("Shows the cluster's numbers").gives::<monitoring::Numbers>(200).compressed();
    GET "/api/v1/monitoring/alerts" AUDITOR => monitoring::alerts,
        does("Lists what is to be looked at, worst first").gives::<monitoring::Alerts>(200).compressed();
    GET "/api/v1/monitoring/analytics" AUDITOR => monitoring::analytics,
        does("Is not there yet").gives_a_problem(501);
    POST "/api/v1/auth/login" Anyone => account::login,
        does("Signs in").takes::<account::Login>().gives::<account::ShownLogin<'_>>(200).with(SECRET);
    POST "/api/v1/auth/register" Anyone => account::register,
        does("Makes an account, where that is allowed").takes::<account::Register>().gives::<account::ShownUser>(201);
    POST "/api/v1/auth/reset" Anyone => account::reset,
        does("Chooses a password by a code").takes::<account::Reset>().gives_nothing(204);
    POST "/api/v1/auth/reset/mail" Anyone => mailed_reset::ask,
        does("Mails a code to choose a password, if there is such a user").takes::<mailed_reset::Ask>().gives_nothing(202);
    GET "/api/v1/auth/oidc" Anyone => oidc::list,
        does("Lists the providers of OpenID Connect to sign in at").gives::<oidc::Listed>(200);
    GET "/api/v1/auth/oidc/{provider}/start" Anyone => oidc::start,
        does("Sends a browser to a provider to sign in").gives_nothing(303).with(&["Location"]);
    GET "/api/v1/auth/oidc/{provider}/callback" Anyone => oidc::callback,
        does("Takes the browser in that a provider sent back").asks::<oidc::Back>().gives_a_page();
    POST "/api/v1/auth/oidc/{provider}/device" Anyone => oidc::begin_device,
        does("Begins the sign-in of a program without a browser").gives::<oidc::ShownDevice<'_>>(200).with(SECRET);
    POST "/api/v1/auth/oidc/{provider}/device/token" Anyone => oidc::ask_for_device,
        does("Signs the program in, once somebody has said yes").takes::<oidc::AskForDevice>()
            .gives::<account::ShownLogin<'_>>(200).with(SECRET).gives::<oidc::Later>(202).with(SECRET);
    GET "/api/v1/auth/identities" Themselves => identities::list,
        does("Lists who one is at providers").gives::<identities::Listed>(200);
    POST "/api/v1/auth/identities/{provider}" Themselves => identities::bind,
        does("Sends one's browser to a provider, to be bound to whom it names").takes::<identities::Bind>()
            .gives::<identities::Away>(200).with(SECRET);
    DELETE "/api/v1/auth/identities/{provider}" Themselves => identities::unbind,
        does("Unbinds one from who one is at a provider").gives_nothing(204);
    POST "/api/v1/auth/logout" Themselves => account::logout,
        does("Ends the session that asks").gives_nothing(204);
    GET "/api/v1/auth/profile" Read => account::profile,
        does("Shows who asks").gives::<account::Profile>(200);
    PUT "/api/v1/auth/profile" Themselves => account::change_profile,
        does("Changes the address for mail: 202 until a code was read that is mailed there").takes::<account::ChangeProfile>()
            .gives::<account::ShownUser>(200).gives::<account::ShownUser>(202);
    POST "/api/v1/auth/profile/email" Anyone => account::confirm_email,
        does("Makes an address one's own by the code that was mailed there").takes::<account::ConfirmEmail>().gives_nothing(204);
    POST "/api/v1/auth/password" Themselves => account::change_password,
        does("Changes the password; other sessions end").takes::<account::ChangePassword>().gives_nothing(204);
    GET "/api/v1/auth/sessions" Themselves => credentials::sessions,
        does("Lists one's sessions").gives::<credentials::Credentials<'_>>(200);
    DELETE "/api/v1/auth/sessions/{id}" Themselves => credentials::end,
        does("Ends a session").gives_nothing(204);
    GET "/api/v1/auth/tokens" Themselves => credentials::tokens,
        does("Lists one's tokens").gives::<credentials::Credentials<'_>>(200);
    POST "/api/v1/auth/tokens" Themselves => credentials::make_token,
        does("Makes a token for a program").takes::<credentials::MakeToken>().once()
            .gives::<credentials::ShownCredential<'_>>(201).with(SECRET).leads_by("id", "/id", &["DELETE /api/v1/auth/tokens/{id}"]);
    DELETE "/api/v1/auth/tokens/{id}" Themselves => credentials::end,
        does("Ends a token").gives_nothing(204);
    GET "/api/v1/auth/keys" Themselves => own_keys::list,
        does("Lists one's key pairs of S3").gives::<keys::Listed<'_>>(200);
    POST "/api/v1/auth/keys" Themselves => own_keys::create,
        does("Makes a key pair of S3 for oneself").takes::<own_keys::Create>().once()
            .gives::<keys::Shown<'_>>(201).with(SECRET);
    DELETE "/api/v1/auth/keys/{id}" Themselves => own_keys::delete,
        does("Deletes a key pair of one's own").gives_nothing(204);
    GET "/api/v1/auth/second-factor" Themselves => second_factor::show,
        does("Shows whether a second factor is asked for").gives::<second_factor::Shown>(200);
    POST "/api/v1/auth/second-factor" Themselves => second_factor::offer,
        does("Offers a second factor").takes::<second_factor::Offer>().gives::<second_factor::ShownOffer<'_>>(200).with(SECRET);
    POST "/api/v1/auth/second-factor/confirm" Themselves => second_factor::confirm,
        does("Makes the second factor count, and shows recovery codes").takes::<second_factor::Confirm>().once()
            .gives::<second_factor::Recovery<'_>>(200).with(SECRET);
    POST "/api/v1/auth/second-factor/remove" Themselves => second_factor::remove,
        does("Removes the second factor").takes::<second_factor::Remove>().gives_nothing(204);
    GET "/api/v1/shares" Themselves => shares::list,
        does("Lists one's links").gives::<shares::Listed>(200);
    POST "/api/v1/shares" Themselves => shares::create,
        does("Makes a link by which others have an object or a folder, or put files").takes::<shares::Make>()
            .gives::<shares::Shown>(201).with(SECRET).leads_by("id", "/id", &["DELETE /api/v1/shares/{id}"]).once();
    DELETE "/api/v1/shares/{id}" Themselves => shares::end,
        does("Ends a link").gives_nothing(204);
    GET "/api/v1/shared/{token}" Anyone => shared::about,
        does("Shows what a link is of").gives::<shared::Shown>(200).with(SECRET);
    GET "/api/v1/shared/{token}/download" Anyone => shared::download,
        reads_object("Downloads the file of a link, or a part of it");
    HEAD "/api/v1/shared/{token}/download" Anyone => shared::download,
        reads_object("Shows the headers of the file of a link");
    GET "/api/v1/shared/{token}/files" Anyone => shared::list,
        does("Lists the folder of a link by key").asks::<listing::Params>().gives::<listing::Answer>(200).with(SECRET);
    GET "/api/v1/shared/{token}/files/{*key}" Anyone => shared::read,
        reads_object("Downloads a file of the folder of a link, or a part of it");
    HEAD "/api/v1/shared/{token}/files/{*key}" Anyone => shared::read,
        reads_object("Shows the headers of a file of the folder of a link");
    GET "/api/v1/shared/{token}/archive" Anyone => shared::zip,
        does("Downloads the folder of a link as a zip").gives_bytes(200).with(SECRET);
    POST "/api/v1/shared/{token}/drop/{file}" Anyone => shared::take,
        does("Puts a file into the drop box of a link; replaces nothing").takes_bytes().gives::<shared::Came>(201).with(SECRET);
    GET "/api/v1/admin/status" AUDITOR => admin::status,
        does("Shows how the cluster is").gives::<ClusterStatus>(200).compressed();
    GET "/api/v1/admin/mesh" AUDITOR => admin::mesh,
        does("Asks all nodes what they see of one another").gives::<MeshStatus>(200).compressed();
    GET "/api/v1/admin/jobs" AUDITOR => jobs::list,
        does("Lists what goes on for longer than a request").gives::<Jobs>(200).compressed();
    GET "/api/v1/admin/backup" AUDITOR => backups::show,
        does("Shows how backups of the catalog stand").gives::<BackupOverview>(200);
    POST "/api/v1/admin/backup" OPERATOR => backups::ask,
        does("Asks for a backup of all that is acknowledged by now").gives::<AskedBackup>(202);
    GET "/api/v1/admin/backup/points" AUDITOR => backups::points,
        does("Lists what the catalog can come back to").gives::<BackupPoints>(200).compressed();
    POST "/api/v1/admin/fsck" OPERATOR => fsck::check,
        does("Checks the catalog and the nodes, told line by line").may_take::<FsckRequest>().gives_lines::<FsckEvent>();
    POST "/api/v1/admin/restored/confirm" ADMIN => fsck::confirm,
        does("Lets a catalog that came out of copies delete again").gives::<ClusterStatus>(200);
    GET "/api/v1/admin/audit" AUDITOR => audit::list,
        does("Lists who did what").asks::<audit::Params>().gives::<audit::Listed>(200).compressed();
    GET "/api/v1/admin/audit/export" AUDITOR => audit::export,
        does("Gives all of the audit, line by line").asks::<audit::Params>().gives_lines::<AuditLine>().compressed();
    GET "/api/v1/admin/audit/chains" AUDITOR => audit::chains,
        does("Shows how far each chain goes, signed").gives::<audit::Chains>(200).compressed();
    PUT "/api/v1/admin/pools/{pool}" OPERATOR => admin::put_pool,
        does("Says what a pool shall be").takes::<PoolSpec>().gives::<ClusterStatus>(200);
    PUT "/api/v1/admin/pools/{pool}/drains/{node}" OPERATOR => admin::drain,
        does("Has a node give its shards to the others").gives::<ClusterStatus>(200);
    DELETE "/api/v1/admin/pools/{pool}/drains/{node}" OPERATOR => admin::undrain,
        does("Lets a node take shards again").gives::<ClusterStatus>(200);
    POST "/api/v1/admin/pools/{pool}/nodes/{node}/replace" OPERATOR => admin::replace,
        does("Gives a node's volume up for lost").gives::<ClusterStatus>(200);
    GET "/api/v1/admin/keys" ADMIN => keys::list,
        does("Lists the key pairs of S3").gives::<keys::Listed<'_>>(200);
    POST "/api/v1/admin/keys" ADMIN => keys::create,
        does("Makes a key pair of S3").takes::<keys::Create>().once().gives::<keys::Shown<'_>>(201).with(SECRET);
    PUT "/api/v1/admin/keys/{id}" ADMIN => keys::change,
        does("Refuses a key pair, or takes it again").takes::<keys::Change>().gives_nothing(204);
    DELETE "/api/v1/admin/keys/{id}" ADMIN => keys::delete,
        does("Deletes a key pair").gives_nothing(204);
    POST "/api/v1/admin/key/export" ADMIN => admin::export_key,
        does("Shows the cluster's secret, to be kept where the cluster is not").gives::<admin::ExportedKey<'_>>(200).with(SECRET);
    GET "/api/v1/admin/users" ADMIN => users::list,
        does("Lists the users by name").asks::<users::Params>().gives::<users::Listed>(200).compressed();
    POST "/api/v1/admin/users" ADMIN => users::create,
        does("Makes a user").takes::<users::Create>().once().gives::<users::Code<'_>>(201).with(SECRET)
            .leads_by("name", "/user/name", USER);
    GET "/api/v1/admin/users/{name}" ADMIN => users::show,
        does("Shows a user").gives::<account::ShownUser>(200);
    PUT "/api/v1/admin/users/{name}" ADMIN => users::change,
        does("Changes a user's role, or refuses them").takes::<users::Changed>().gives::<account::ShownUser>(200);
    DELETE "/api/v1/admin/users/{name}" ADMIN => users::delete,
        does("Deletes a user; what they stored stays").gives_nothing(204);
    POST "/api/v1/admin/users/{name}/reset" ADMIN => users::reset,
        does("Takes a user's password and gives a code for another").once().gives::<users::Code<'_>>(200).with(SECRET);
    DELETE "/api/v1/admin/users/{name}/sessions" ADMIN => users::end_sessions,
        does("Ends all sessions of a user").gives::<users::Ended>(200);
    DELETE "/api/v1/admin/users/{name}/second-factor" ADMIN => second_factor::clear,
        does("Removes the second factor of a user who lost it").gives_nothing(204);
    GET "/api/v1/admin/users/{name}/shares" ADMIN => shares::list_of,
        does("Lists the links of a user").gives::<shares::Listed>(200);
    DELETE "/api/v1/admin/users/{name}/shares/{id}" ADMIN => shares::end_of,
        does("Ends a link of a user").gives_nothing(204);
    DELETE "/api/v1/admin/users/{name}/identities/{provider}" ADMIN => identities::take,
        does("Unbinds a user from who they are at a provider, and ends their sessions").gives_nothing(204);
    GET "/api/v1/admin/groups" ADMIN => groups::list,
        does("Lists the groups of users by name").gives::<groups::Listed>(200);
    POST "/api/v1/admin/groups" ADMIN => groups::create,
        does("Makes a group of users").takes::<groups::Create>().once().gives::<groups::Shown>(201)
            .leads_by("name", "/name", GROUP);
    GET "/api/v1/admin/groups/{name}" ADMIN => groups::show,
        does("Shows a group and its members").gives::<groups::Shown>(200);
    PUT "/api/v1/admin/groups/{name}" ADMIN => groups::change,
        does("Says what members of a group may do at least").takes::<groups::Changed>().gives::<groups::Shown>(200);
    DELETE "/api/v1/admin/groups/{name}" ADMIN => groups::delete,
        does("Deletes a group; its members stay users").gives_nothing(204);
    PUT "/api/v1/admin/groups/{name}/members/{user}" ADMIN => groups::add,
        does("Makes a user a member of a group").gives_nothing(204);
    DELETE "/api/v1/admin/groups/{name}/members/{user}" ADMIN => groups::remove,
        does("Takes a user out of a group").gives_nothing(204);
    POST "/api/v1/admin/invites" ADMIN => invites::create,
        does("Makes an invitation").takes::<invites::Invite>().once().gives::<invites::Shown<'_>>(201).with(SECRET)
            .leads_by("id", "/id", &["DELETE /api/v1/admin/invites/{id}"]);
    GET "/api/v1/admin/invites" ADMIN => invites::list,
        does("Lists the invitations that count").gives::<invites::Listed>(200);
    DELETE "/api/v1/admin/invites/{id}" ADMIN => invites::delete,
        does("Takes an invitation back").gives_nothing(204);
    GET "/api/v1/admin/registration" ADMIN => users::registration,
        does("Shows who may register").gives::<users::Registering>(200);
    PUT "/api/v1/admin/registration" ADMIN => users::set_registration,
        does("Says who may register").takes::<users::Registering>().gives::<users::Registering>(200);
}

fn reads_object(summary: &'static str) -> Operation {
    does(summary)
        .heeds(READING)
        .gives_bytes(200)
        .with(&["ETag"])
        .gives_bytes(206)
        .with(&["ETag"])
        .gives_nothing(304)
        .with(&["ETag"])
}

fn reads_file(summary: &'static str) -> Operation {
    reads_object(summary).asks::<files::ReadParams>()
}

fn lists_versions(summary: &'static str) -> Operation {
    does(summary).asks::<trash::Params>().gives::<versions::Listed>(200).compressed()
}

fn restores_version() -> Operation {
    let restores = does("Puts a copy of a version in front of what its key has").heeds(CONDITIONS);
    let restores = restores.takes::<versions::Restore>().once().gives::<files::Written>(200).with(&["ETag"]);
    restores.gives::<files::Written>(201).with(&["ETag"])
}

fn writes_object() -> Operation {
    let stores =
        does("Stores an object; replaces what was there in one step").heeds(CONDITIONS).takes_bytes();
    stores.gives::<files::Written>(200).with(&["ETag"]).gives::<files::Written>(201).with(&["ETag"])
}

fn reads_manifest() -> Operation {
    let reads =
        does("Reads the manifest of an object in a private bucket, page by page").asks::<sealed::Which>();
    reads.heeds(&["If-Match"]).gives::<sealed::Manifest>(200).with(&["Cache-Control"])
}

fn reads_metadata() -> Operation {
    does("Shows an object's type and metadata").gives::<metadata::Metadata>(200).with(&["ETag"])
}

fn writes_metadata() -> Operation {
    let summary = "Changes an object's type and metadata, without its bytes; needs If-Match with the tag that GET of it shows";
    let changes = does(summary).heeds(&["If-Match"]);
    changes.takes::<metadata::Change>().gives::<metadata::Metadata>(200).with(&["ETag"])
}

fn offers_tus() -> Operation {
    does("Tells what is spoken of tus").gives_nothing(204).with(TUS)
}

fn begins_tus() -> Operation {
    let begins = does("Begins an upload of tus, with its first bytes if they are sent along");
    let said = &[
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Metadata",
        "Upload-Checksum",
        "If-Match",
        "If-None-Match",
    ];
    begins.heeds(said).may_take_appended().gives_nothing(201).with(&["Tus-Resumable", "Location"])
}

fn stands_in_for_tus() -> Operation {
    let does_it = does("Does what the header says with an upload of tus");
    let said = &["X-HTTP-Method-Override", "Tus-Resumable", "Upload-Checksum"];
    does_it.heeds(said).may_take_appended().gives_nothing(200).with(TUS).gives_nothing(204).with(TUS)
}

fn deletes_object() -> Operation {
    let deletes = does("Deletes an object").heeds(CONDITIONS).asks::<files::DeleteParams>();
    let shreds = deletes.gives::<files::Deleted>(200).gives::<shreds::Shown>(202).with(&["Location"]);
    let shreds = shreds.leads_by("id", "/id", &["GET /api/v1/shreds/{id}", "DELETE /api/v1/shreds/{id}"]);
    shreds.gives_nothing(204)
}

/// Whether a client may give such requests a key, so that they are done once.
pub(super) fn is_done_once(method: &Method, path: &str) -> bool {
    let route = ROUTES.iter().find(|route| route.path == path && route.method == method.as_str());
    route.is_some_and(|route| (route.says)().is_done_once)
}

/// What a request asks for. What is no route, or no method of one, is answered to whoever may read: what is there is no stranger's
/// business. A `HEAD` without a line of its own is the `GET`'s.
pub(super) fn need_of(method: &Method, path: Option<&str>) -> Need {
    let of = |method: &str| ROUTES.iter().find(|route| Some(route.path) == path && route.method == method);
    let route = of(method.as_str()).or_else(|| of("GET").filter(|_| *method == Method::HEAD));
    route.map_or(Read, |route| route.need)
}
