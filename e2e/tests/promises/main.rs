//! The promises, one file each, in the order that saves time: those that change nothing first.
//! `cargo test -p datamesh-e2e --test promises -- zone` checks those whose names contain "zone".

mod blindness;
mod catalog_in_postgres;
mod catalog_lost;
mod cluster_secret_deleted;
mod delete_and_reapply;
mod force_deleted_pod;
mod gateways_added;
mod gateways_keep_one_catalog;
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
mod volume_lost;
mod zone_down;
mod zones_drained;
mod zones_parted;

use std::process::ExitCode;

use datamesh_e2e::promise::{self, Promise};

const PROMISES: &[Promise] = &[
    Promise { name: "real_files", check: |cluster| Box::pin(real_files::check(cluster)) },
    Promise { name: "s3_client", check: |cluster| Box::pin(s3_client::check(cluster)) },
    Promise { name: "blindness", check: |cluster| Box::pin(blindness::check(cluster)) },
    Promise { name: "kubectl_plugin", check: |cluster| Box::pin(kubectl_plugin::check(cluster)) },
    Promise { name: "invalid_specs", check: |cluster| Box::pin(invalid_specs::check(cluster)) },
    Promise { name: "operator_restarted", check: |cluster| Box::pin(operator_restarted::check(cluster)) },
    Promise { name: "operator_killed", check: |cluster| Box::pin(operator_killed::check(cluster)) },
    Promise { name: "pool_full", check: |cluster| Box::pin(pool_full::check(cluster)) },
    Promise { name: "two_pods_killed", check: |cluster| Box::pin(two_pods_killed::check(cluster)) },
    Promise { name: "log_corrupted", check: |cluster| Box::pin(log_corrupted::check(cluster)) },
    Promise { name: "zone_down", check: |cluster| Box::pin(zone_down::check(cluster)) },
    Promise { name: "zones_drained", check: |cluster| Box::pin(zones_drained::check(cluster)) },
    Promise { name: "zones_parted", check: |cluster| Box::pin(zones_parted::check(cluster)) },
    Promise { name: "pool_scaled", check: |cluster| Box::pin(pool_scaled::check(cluster)) },
    Promise { name: "profile_changed", check: |cluster| Box::pin(profile_changed::check(cluster)) },
    Promise { name: "volume_lost", check: |cluster| Box::pin(volume_lost::check(cluster)) },
    Promise { name: "force_deleted_pod", check: |cluster| Box::pin(force_deleted_pod::check(cluster)) },
    Promise { name: "catalog_lost", check: |cluster| Box::pin(catalog_lost::check(cluster)) },
    Promise { name: "gateways_added", check: |cluster| Box::pin(gateways_added::check(cluster)) },
    Promise {
        name: "gateways_keep_one_catalog",
        check: |cluster| Box::pin(gateways_keep_one_catalog::check(cluster)),
    },
    Promise { name: "catalog_in_postgres", check: |cluster| Box::pin(catalog_in_postgres::check(cluster)) },
    Promise {
        name: "cluster_secret_deleted",
        check: |cluster| Box::pin(cluster_secret_deleted::check(cluster)),
    },
    Promise { name: "delete_and_reapply", check: |cluster| Box::pin(delete_and_reapply::check(cluster)) },
];

fn main() -> ExitCode {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    promise::run(PROMISES, &filters)
}
