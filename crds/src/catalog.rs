//! Where a cluster's catalog is.

// KubeSchema copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DataMeshClusterSpec, SecretRef};

/// Where a catalog is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.embedded) != has(self.postgres)").message("catalog: name one of embedded and postgres, not both"))]
pub struct CatalogSpec {
    /// On the gateways' volumes, as where `catalog` is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedSpec>,
    /// In a PostgreSQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresSpec>,
    /// Who shall keep it. Adding `postgres` to a cluster moves its catalog into the database, `Gateways` moves it back, while it is served;
    /// Progressing says what is waited for. Set back before it can be open there, nothing has happened. It comes back to the first gateway,
    /// which shares it with the others. `catalog` may be removed while `status.catalogKeptBy` is `Gateways`.
    #[serde(default, skip_serializing_if = "CatalogKeeper::is_default")]
    pub kept_by: CatalogKeeper,
}

/// A catalog that gateways keep on their volumes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedSpec {
    /// Copies of it. Each gateway keeps one, so this is the number of `gateway.replicas`, or is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

/// Who keeps a catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum CatalogKeeper {
    /// The database.
    #[default]
    Postgres,
    /// The gateways, on their volumes.
    Gateways,
}

impl DataMeshClusterSpec {
    /// The database that is named for the catalog, and who shall keep the catalog.
    #[must_use]
    pub fn database(&self) -> Option<(&PostgresSpec, CatalogKeeper)> {
        let catalog = self.catalog.as_ref()?;
        catalog.postgres.as_ref().map(|postgres| (postgres, catalog.kept_by))
    }

    /// Who shall keep the catalog.
    #[must_use]
    pub fn catalog_keeper(&self) -> CatalogKeeper {
        self.database().map_or(CatalogKeeper::Gateways, |(_, keeper)| keeper)
    }
}

impl CatalogKeeper {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A PostgreSQL database of yours. DataMesh makes its tables in it (`datamesh_…`); copies and backups are the database's.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostgresSpec {
    /// Names a Secret with `uri`, the connection string (`postgres://user:password@host:5432/database`), and, for an encrypted
    /// connection, `ca.crt`, the certificate of the server's CA. Without `ca.crt` the string must say `sslmode=disable`.
    pub secret_ref: SecretRef,
    /// The server's port, which the gateway's NetworkPolicy opens outward.
    #[serde(default = "default_postgres_port")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("catalog.postgres.port: a port is 1 to 65535, and usually 5432"))]
    pub port: i32,
}

fn default_postgres_port() -> i32 {
    5432
}
