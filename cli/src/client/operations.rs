//! What the cluster does by itself: jobs, and backups of its catalog.

use datamesh_settings::admin::{AskedBackup, BackupOverview, BackupPoints, Jobs};
use reqwest::Method;

use super::Client;
use crate::failure::Failure;

impl Client {
    /// What is waiting or running.
    pub(crate) async fn jobs(&self) -> Result<Jobs, Failure> {
        self.administer(Method::GET, "/jobs").await
    }

    /// How backups stand.
    pub(crate) async fn backup(&self) -> Result<BackupOverview, Failure> {
        self.administer(Method::GET, "/backup").await
    }

    /// What there is to come back to.
    pub(crate) async fn backup_points(&self) -> Result<BackupPoints, Failure> {
        self.administer(Method::GET, "/backup/points").await
    }

    /// Asks for a backup; asked again, for one that is as new as that.
    pub(crate) async fn ask_for_backup(&self) -> Result<AskedBackup, Failure> {
        self.administer(Method::POST, "/backup").await
    }
}
