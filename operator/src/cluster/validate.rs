//! Step 2: a spec and what it refers to, checked once; the later steps never read the spec again. Pure.

use std::time::Duration;

use datamesh_crds::{DataMeshCluster, Exposure, PostgresSpec, Resources, S3Spec, Size, SizeError, SpanError};
use datamesh_settings::request_limits::{RequestLimits, RequestRateError};
use datamesh_settings::{BulkEncryption, CatalogBackups, RestoreFrom};
use datamesh_shard::{NameError, NodeName};
use rustls::pki_types::UnixTime;

use super::catalog_move::{self, Place};
use super::copies::{self, CopiesPlace, CopiesProblem};
use super::database::{self, Database, DatabaseProblem};
use super::dereference::Found;
use super::given_files::GivenFiles;
use super::given_tls::{self, TlsProblem};
use super::leaving;
use super::memory::{self, MemoryProblem};
use super::notifications::{self, Webhook, WebhookProblem};
use super::request_limits;
use super::sign_in::{self, SignIn, SignInProblem};
use crate::meta::Family;
use crate::names;

/// A cluster that can be built.
pub(crate) struct ValidCluster {
    pub(crate) family: Family,
    /// The cluster's name in settings.
    pub(crate) settings_name: NodeName,
    /// The gateways' names: of their StatefulSets, and in settings. At least one.
    pub(crate) gateways: Vec<NodeName>,
    /// Those beyond, of which something exists still: they leave.
    pub(crate) leaving: Vec<NodeName>,
    /// Whether those that leave may have a part in the catalog, so that all have to be told of it.
    pub(crate) leaving_known: bool,
    /// The label of Kubernetes nodes that names their zone.
    pub(crate) zone_label: String,
    pub(crate) image: String,
    pub(crate) pull_policy: &'static str,
    pub(crate) log_level: String,
    pub(crate) bulk_encryption: BulkEncryption,
    pub(crate) resources: Resources,
    pub(crate) exposure: Exposure,
    /// How S3 is served, if it is.
    pub(crate) s3: Option<S3Spec>,
    pub(crate) volume_size: Size,
    pub(crate) storage_class_name: Option<String>,
    pub(crate) buffer_bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) request_limits: RequestLimits,
    pub(crate) deleted_retention: Duration,
    pub(crate) audit_retention: Duration,
    /// The backup to restore where there is no catalog.
    pub(crate) restore: Option<String>,
    pub(crate) catalog_backups: CatalogBackups,
    /// Where copies of the backups go.
    pub(crate) copies: Option<CopiesPlace>,
    pub(crate) restore_from: RestoreFrom,
    /// The Secret with the administrator's certificate; without, the own CA makes one.
    pub(crate) given_tls: Option<String>,
    /// The catalog's database, or the one that it moves to or from; without, the catalog is on the gateways' volumes.
    pub(crate) database: Option<Database>,
    /// What gateways are told of where it is.
    pub(crate) catalog: Place,
    /// Whom events of buckets may be told.
    pub(crate) webhooks: Vec<Webhook>,
    /// How users sign in besides, and are reached.
    pub(crate) sign_in: SignIn,
}

impl ValidCluster {
    /// Of whose leaving all gateways are told.
    pub(crate) fn told_of_leaving(&self) -> &[NodeName] {
        if self.leaving_known { &self.leaving } else { &[] }
    }

    /// Whether gateways are told of one another.
    pub(crate) fn has_several(&self) -> bool {
        self.gateways.len() + self.told_of_leaving().len() > 1
    }

    /// All that gateways are given out of Secrets, but for the database's and their certificate.
    pub(crate) fn given_files(&self) -> impl Iterator<Item = &GivenFiles> {
        let hooks = self.webhooks.iter().filter_map(|webhook| webhook.files.as_ref());
        hooks.chain(&self.sign_in.files)
    }
}

/// The definition's word in the settings' words.
pub(crate) fn bulk_encryption(spec: datamesh_crds::BulkEncryption) -> BulkEncryption {
    match spec {
        datamesh_crds::BulkEncryption::Requests => BulkEncryption::Requests,
        datamesh_crds::BulkEncryption::Everything => BulkEncryption::Everything,
    }
}

/// The same of where the catalog is backed up to.
fn catalog_backups(spec: datamesh_crds::CatalogBackups) -> CatalogBackups {
    match spec {
        datamesh_crds::CatalogBackups::Mesh => CatalogBackups::Mesh,
        datamesh_crds::CatalogBackups::Off => CatalogBackups::Off,
    }
}

/// The same of where a restore finds backups.
fn restore_from(spec: datamesh_crds::RestoreFrom) -> RestoreFrom {
    match spec {
        datamesh_crds::RestoreFrom::Mesh => RestoreFrom::Mesh,
        datamesh_crds::RestoreFrom::Copies => RestoreFrom::Copies,
    }
}

/// What is wrong with a spec, said so that it can be put right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidCluster {
    /// A rule of the definition (an old definition may have let it pass).
    #[error("{0}")]
    Rule(String),
    /// Names that become too long.
    #[error(
        "metadata: namespace and name together name the cluster in its members' settings: {0}; use shorter ones"
    )]
    Name(#[from] NameError),
    /// Fewer gateways while the catalog moves.
    #[error(
        "gateway.replicas: {last} is beyond {replicas}, and the catalog is to move: one after the other; wait until it has moved, or set \
         catalog.keptBy back until {last} has left"
    )]
    LeavingWhileMoving {
        /// The last of those that leave.
        last: NodeName,
        /// As written.
        replicas: i32,
    },
    /// A size.
    #[error("{0}")]
    Size(#[from] SizeError),
    /// A length of time.
    #[error("gateway.deletedRetention: {0}")]
    DeletedRetention(SpanError),
    /// Another.
    #[error("gateway.auditRetention: {0}")]
    AuditRetention(SpanError),
    /// A rate of requests.
    #[error("gateway.requestLimits: {0}")]
    RequestLimits(#[from] RequestRateError),
    /// Buffers and cache that would not fit.
    #[error(transparent)]
    Memory(#[from] MemoryProblem),
    /// The catalog's database.
    #[error(
        "catalog.postgres.secretRef: Secret {secret} {problem}. Make it with `kubectl -n {namespace} create secret generic {secret} --from-literal=uri=postgres://… --from-file=ca.crt`"
    )]
    Database {
        /// Its name.
        secret: String,
        /// Where it is looked for.
        namespace: String,
        /// What is wrong.
        problem: DatabaseProblem,
    },
    /// It is kept by a database that is not named any more.
    #[error(
        "catalog: PostgreSQL keeps the catalog, and the spec does not name it: set catalog.postgres again as it was, with keptBy: Gateways to have \
         the catalog back on the gateway's volume, and remove it when status.catalogKeptBy is Gateways"
    )]
    CatalogLeft,
    /// Backups in the mesh are not a database's.
    #[error(
        "gateway.restore: with catalog.postgres the catalog is restored by the database's own means; remove gateway.restore, the gateways that \
         run are left as they are meanwhile"
    )]
    RestoreElsewhere,
    /// A webhook.
    #[error("gateway.notifications: {name} {problem}; the gateways that run are left as they are meanwhile")]
    Notification {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: WebhookProblem,
    },
    /// Mail, or a provider.
    #[error("{0}; the gateways that run are left as they are meanwhile")]
    SignIn(#[from] SignInProblem),
    /// Copies of the catalog's backups.
    #[error(transparent)]
    Copies(#[from] CopiesProblem),
    /// The administrator's certificate.
    #[error(
        "tls.secretName: Secret {secret} {problem}. Make it with `kubectl -n {namespace} create secret generic {secret} --from-file=tls.crt --from-file=tls.key --from-file=ca.crt`, or leave secretName out for an own CA; the gateway that runs is left as it is meanwhile"
    )]
    Tls {
        /// Its name.
        secret: String,
        /// Where it is looked for.
        namespace: String,
        /// What is wrong.
        problem: TlsProblem,
    },
}

/// Checks what the API server cannot, as of `now`.
pub(crate) fn validate(
    cluster: &DataMeshCluster,
    found: &Found,
    now: UnixTime,
) -> Result<ValidCluster, InvalidCluster> {
    cluster.validate_cel().map_err(|errors| InvalidCluster::Rule(errors.to_string()))?;
    let (spec, family) = (&cluster.spec, Family::of(cluster));
    let (buffer_bytes, cache_bytes) = (spec.gateway.buffer_bytes.bytes()?, spec.gateway.cache_bytes.bytes()?);
    spec.gateway.volume_size.bytes()?;
    memory::check(&spec.gateway, buffer_bytes.saturating_add(cache_bytes))?;
    if let Some(secret) = &spec.tls.secret_name {
        check_given_tls(secret, &family, found, now)?;
    }
    let catalog = check_place(cluster, found)?;
    let leaving = check_leaving(spec.gateway.replicas, &family, (found, catalog))?;
    let gateways = gateways(spec.gateway.replicas, &family)?;
    let named = spec.database().filter(|_| catalog.database);
    let database = named.map(|(named, _)| check_database(named, &family, found)).transpose()?;
    let webhooks = notifications::check(&spec.gateway.notifications, &found.given)
        .map_err(|(name, problem)| InvalidCluster::Notification { name, problem })?;
    Ok(ValidCluster {
        database,
        catalog,
        webhooks,
        sign_in: sign_in::check(&spec.gateway, &found.given)?,
        settings_name: settings_name(&family)?,
        leaving_known: catalog.is_on_volumes() && leaving::were_known(&gateways, found),
        leaving,
        gateways,
        zone_label: spec.zone_label.clone(),
        family,
        image: spec.image.reference(),
        pull_policy: spec.image.pull_policy.as_str(),
        log_level: spec.log_level.clone(),
        bulk_encryption: bulk_encryption(spec.bulk_encryption),
        resources: spec.gateway.resources.clone(),
        exposure: spec.gateway.exposure.clone(),
        s3: spec.gateway.s3.clone(),
        volume_size: spec.gateway.volume_size.clone(),
        storage_class_name: spec.gateway.storage_class_name.clone(),
        buffer_bytes,
        cache_bytes,
        request_limits: request_limits::of(spec.gateway.request_limits.as_ref())?,
        deleted_retention: spec
            .gateway
            .deleted_retention
            .duration()
            .map_err(InvalidCluster::DeletedRetention)?,
        audit_retention: spec.gateway.audit_retention.duration().map_err(InvalidCluster::AuditRetention)?,
        restore: spec.gateway.restore.clone(),
        catalog_backups: catalog_backups(spec.gateway.catalog_backups),
        copies: copies::check(
            spec.gateway.backup_copies.as_ref(),
            found.copies.as_ref(),
            spec.database().is_some(),
        )?,
        restore_from: restore_from(spec.gateway.restore_from),
        given_tls: spec.tls.secret_name.clone(),
    })
}

/// The cluster's name among its members: unique in the whole Kubernetes cluster.
pub(crate) fn settings_name(family: &Family) -> Result<NodeName, NameError> {
    NodeName::new(&format!("{}.{}", family.namespace, family.cluster))
}

fn gateways(replicas: i32, family: &Family) -> Result<Vec<NodeName>, NameError> {
    let ordinals = 1..=u16::try_from(replicas).unwrap_or(1);
    ordinals.map(|ordinal| NodeName::new(&names::nth_gateway(&family.cluster, ordinal))).collect()
}

/// A catalog that moves does so by way of gateways that all stay meanwhile.
fn check_leaving(
    replicas: i32,
    family: &Family,
    (found, place): (&Found, Place),
) -> Result<Vec<NodeName>, InvalidCluster> {
    let leaving = leaving::beyond(replicas, family, found)?;
    match leaving.last() {
        Some(last) if place.moves.is_some() => {
            Err(InvalidCluster::LeavingWhileMoving { last: last.clone(), replicas })
        }
        _ => Ok(leaving),
    }
}

/// Where gateways have the catalog. One that a database keeps is not left there.
fn check_place(cluster: &DataMeshCluster, found: &Found) -> Result<Place, InvalidCluster> {
    let kept = catalog_move::kept(cluster, &found.gateways);
    let place = catalog_move::place(catalog_move::wanted(cluster), kept);
    if place.database && cluster.spec.database().is_none() {
        return Err(InvalidCluster::CatalogLeft);
    }
    // A gateway that is told of both does not start.
    if place.database && cluster.spec.gateway.restore.is_some() {
        return Err(InvalidCluster::RestoreElsewhere);
    }
    Ok(place)
}

fn check_database(
    postgres: &PostgresSpec,
    family: &Family,
    found: &Found,
) -> Result<Database, InvalidCluster> {
    database::check(postgres, found.database.as_ref()).map_err(|problem| InvalidCluster::Database {
        secret: postgres.secret_ref.name.clone(),
        namespace: family.namespace.clone(),
        problem,
    })
}

fn check_given_tls(
    secret: &str,
    family: &Family,
    found: &Found,
    now: UnixTime,
) -> Result<(), InvalidCluster> {
    let host = names::service_host(&names::gateway(&family.cluster), &family.namespace);
    given_tls::check(found.given_tls.as_ref(), &host, now).map_err(|problem| InvalidCluster::Tls {
        secret: secret.to_owned(),
        namespace: family.namespace.clone(),
        problem,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cluster as the API server gives it.
    pub(crate) fn cluster() -> DataMeshCluster {
        serde_yaml::from_str(include_str!("../../tests/fixtures/cluster.yaml")).unwrap()
    }

    fn refused(cluster: &DataMeshCluster, found: &Found, part: &str) {
        let message = validate(cluster, found, UnixTime::now()).err().expect(part).to_string();
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn the_fixture_is_valid() {
        let valid = validate(&cluster(), &Found::default(), UnixTime::now()).unwrap();
        assert_eq!(valid.settings_name.as_str(), "datamesh.demo");
        assert_eq!((valid.image.as_str(), valid.buffer_bytes), ("datamesh:dev", 96 << 20));
    }

    #[test]
    fn a_namespace_that_is_too_long_is_told() {
        let mut cluster = cluster();
        cluster.metadata.namespace = Some("n".repeat(60));
        refused(&cluster, &Found::default(), "use shorter ones");
    }

    #[test]
    fn a_given_certificate_must_be_there_and_whole() {
        let mut cluster = cluster();
        cluster.spec.tls.secret_name = Some("mine".into());
        refused(&cluster, &Found::default(), "Secret mine does not exist");
        let (mut secret, now) = given_tls::tests::good();
        let found = |secret| Found { given_tls: Some(secret), ..Found::default() };
        let valid = validate(&cluster, &found(secret.clone()), now).unwrap();
        assert_eq!(valid.given_tls.as_deref(), Some("mine"));
        // What `kubectl create secret tls` makes.
        secret.data.as_mut().unwrap().remove("ca.crt");
        refused(&cluster, &found(secret.clone()), "Secret mine has no field ca.crt");
        refused(
            &cluster,
            &found(secret),
            "`kubectl -n datamesh create secret generic mine --from-file=tls.crt --from-file=tls.key --from-file=ca.crt`",
        );
    }

    #[test]
    fn a_catalog_in_postgres_needs_its_secret() {
        let mut cluster = cluster();
        let spec = serde_json::json!({"postgres": {"secretRef": {"name": "pg"}}});
        cluster.spec.catalog = Some(serde_json::from_value(spec).unwrap());
        refused(&cluster, &Found::default(), "Secret pg does not exist");
        let fields = [("uri", "postgres://u:p@db/dm?sslmode=disable")];
        let secret =
            k8s_openapi::api::core::v1::Secret { data: crate::secrets::data(&fields), ..Default::default() };
        let found = Found { database: Some(secret), ..Found::default() };
        let valid = validate(&cluster, &found, UnixTime::now()).unwrap();
        assert_eq!(
            valid.database.map(|database| (database.secret, database.port)),
            Some(("pg".into(), 5432))
        );
    }

    #[test]
    fn a_catalog_is_not_left_in_a_database_nor_restored_beside_one() {
        let mut cluster = cluster();
        cluster.status = Some(datamesh_crds::DataMeshClusterStatus {
            catalog_kept_by: Some(datamesh_crds::CatalogKeeper::Postgres),
            ..Default::default()
        });
        let named = "catalog: PostgreSQL keeps the catalog, and the spec does not name it";
        refused(&cluster, &Found::default(), named);
        let spec = serde_json::json!({"postgres": {"secretRef": {"name": "pg"}}, "keptBy": "Gateways"});
        cluster.spec.catalog = Some(serde_json::from_value(spec).unwrap());
        // Called off before it had moved.
        cluster.status.as_mut().unwrap().catalog_kept_by = Some(datamesh_crds::CatalogKeeper::Gateways);
        for catalog in [cluster.spec.catalog.clone(), None] {
            let called_off = DataMeshCluster {
                spec: datamesh_crds::DataMeshClusterSpec { catalog, ..cluster.spec.clone() },
                ..cluster.clone()
            };
            let valid = validate(&called_off, &Found::default(), UnixTime::now()).unwrap();
            assert!(valid.database.is_none() && valid.catalog.moves.is_none());
        }
        cluster.status.as_mut().unwrap().catalog_kept_by = Some(datamesh_crds::CatalogKeeper::Postgres);
        cluster.spec.gateway.restore = Some("newest".into());
        refused(&cluster, &Found::default(), "remove gateway.restore");
    }

    #[test]
    fn rules_of_the_definition_hold_here_too() {
        let mut cluster = cluster();
        cluster.spec.gateway.replicas = 2;
        refused(&cluster, &Found::default(), "gateway.replicas: 1, 3 or 5");
    }
}
