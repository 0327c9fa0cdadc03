//! What a gateway reads from its files before anything else. Blocking.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datamesh_catalog::engine::PostgresOptions;
use datamesh_mesh::Identity;
use datamesh_seal::ClusterSecret;
use datamesh_settings::{CatalogBackups, DatabaseFiles, GatewaySettings, read_secret};
use zeroize::Zeroizing;

use super::GatewayError;
use crate::auth::Tokens;
use crate::backup::copies::{CopiesError, Place};
use crate::book::AddressBook;
use crate::https::Certificates;
use crate::mail::Mailer;
use crate::notifications::Target;
use crate::oidc::Providers;

/// The gateway's own key in the data folder.
const IDENTITY_FILE: &str = "identity";

/// Secrets and files, read.
pub(crate) struct Prepared {
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) identity: Identity,
    pub(crate) book: Arc<AddressBook>,
    /// Of the catalog, where it is not in the data folder.
    pub(crate) database: Option<PostgresOptions>,
    pub(crate) mailer: Option<Mailer>,
    pub(crate) targets: Vec<Target>,
    pub(crate) providers: Providers,
    pub(crate) copies: Option<Arc<Place>>,
}

impl Prepared {
    pub(crate) fn read(settings: &GatewaySettings) -> Result<Self, GatewayError> {
        let dir = &settings.data_dir;
        std::fs::create_dir_all(dir).map_err(|source| in_dir(dir, source))?;
        let path = settings.cluster_secret_file.clone();
        let text = Zeroizing::new(read_secret(&path)?);
        let secret =
            ClusterSecret::from_hex(&text).map_err(|source| GatewayError::Secret { path, source })?;
        let certificates =
            Certificates::open(&settings.tls).map_err(|e| GatewayError::Certificate(e.to_string()))?;
        Ok(Self {
            secret: Arc::new(secret),
            tokens: Arc::new(Tokens::open(&settings.token_file, &settings.admin_token_file)?),
            certificates: Arc::new(certificates),
            identity: identity(dir)?,
            book: Arc::new(AddressBook::open(dir)),
            database: settings.catalog_database.as_ref().map(database).transpose()?,
            mailer: settings.mail.clone().map(Mailer::open).transpose()?,
            targets: Target::open_all(&settings.notifications)?,
            providers: Providers::open(settings.public_url.as_deref(), &settings.oidc)?,
            copies: copies(settings)?,
        })
    }
}

/// Where copies of backups go. There must be backups.
fn copies(settings: &GatewaySettings) -> Result<Option<Arc<Place>>, CopiesError> {
    let Some(copies) = &settings.backup_copies else { return Ok(None) };
    let has_backups = settings.catalog_backups == CatalogBackups::Mesh && settings.catalog_database.is_none();
    if !has_backups {
        return Err(CopiesError::Nothing);
    }
    Ok(Some(Arc::new(Place::of(copies)?)))
}

fn database(files: &DatabaseFiles) -> Result<PostgresOptions, GatewayError> {
    let uri = Zeroizing::new(read_secret(&files.uri_file)?);
    let unread = |path: &Path, source| GatewayError::DatabaseCa { path: path.into(), source };
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| unread(path, source));
    Ok(PostgresOptions::new(uri, files.ca_file.as_ref().map(read).transpose()?))
}

fn in_dir(dir: &Path, source: io::Error) -> GatewayError {
    GatewayError::DataDir { path: dir.into(), source }
}

/// The key on the volume; made at the first start.
fn identity(dir: &Path) -> Result<Identity, GatewayError> {
    let path = dir.join(IDENTITY_FILE);
    match std::fs::read(&path).map(Zeroizing::new) {
        Ok(bytes) => Ok(Identity::from_bytes(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (identity, bytes) = Identity::generate();
            write_synced(&path, &bytes).map_err(|source| in_dir(dir, source))?;
            Ok(identity)
        }
        Err(source) => Err(in_dir(dir, source)),
    }
}

/// For the owner's eyes only, and either whole or not there.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let fresh = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // The name is part of what must not be lost.
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_stays_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let first = identity(dir.path()).unwrap().peer();
        assert_eq!(identity(dir.path()).unwrap().peer(), first);
        let mode = std::fs::metadata(dir.path().join(IDENTITY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(IDENTITY_FILE), b"?").unwrap();
        assert!(matches!(identity(dir.path()), Err(GatewayError::Identity(_))));
    }
}
