//! The promises, one file each: those that change nothing first, then the sooner the more rests on them.
//! `cargo test -p datamesh-e2e --test promises -- zone` checks those whose names contain "zone".

mod backup_copied;
mod blindness;
mod catalog_in_postgres;
mod catalog_lost;
mod catalog_moved;
mod catalogs_all_lost;
mod cluster_secret_deleted;
mod delete_and_reapply;
mod force_deleted_pod;
mod gateways_added;
mod gateways_keep_one_catalog;
mod gateways_removed;
mod invalid_specs;
mod kubectl_plugin;
mod log_corrupted;
mod operator_killed;
mod operator_restarted;
mod pool_full;
mod pool_scaled;
mod profile_changed;
mod real_files;
mod s3_client;
mod two_pods_killed;
mod users_sign_in;
mod volume_lost;
mod zone_down;
mod zones_drained;
mod zones_parted;

use std::process::ExitCode;

use datamesh_e2e::promise::{self, Promise};

/// A promise by the name of its file.
macro_rules! promise {
    ($name:ident) => {
        Promise { name: stringify!($name), long: false, check: |cluster| Box::pin($name::check(cluster)) }
    };
}

/// One that `make test` leaves to `make test-long`: it takes about a minute or more.
macro_rules! long {
    ($name:ident) => {
        Promise { long: true, ..promise!($name) }
    };
}

const PROMISES: &[Promise] = &[
    promise!(real_files),
    promise!(s3_client),
    promise!(blindness),
    promise!(kubectl_plugin),
    promise!(invalid_specs),
    promise!(users_sign_in),
    promise!(operator_killed),
    promise!(two_pods_killed),
    promise!(gateways_keep_one_catalog),
    promise!(catalog_lost),
    promise!(zone_down),
    promise!(zones_drained),
    promise!(zones_parted),
    promise!(operator_restarted),
    promise!(pool_full),
    promise!(cluster_secret_deleted),
    promise!(gateways_removed),
    long!(log_corrupted),
    long!(pool_scaled),
    long!(profile_changed),
    long!(volume_lost),
    long!(force_deleted_pod),
    long!(gateways_added),
    long!(catalogs_all_lost),
    long!(backup_copied),
    long!(catalog_in_postgres),
    long!(catalog_moved),
    promise!(delete_and_reapply),
];

fn main() -> ExitCode {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    promise::run(PROMISES, &filters)
}
