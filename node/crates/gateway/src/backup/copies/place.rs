//! Where copies go, as the settings say it.

use std::time::Duration;

use datamesh_settings::BackupCopies;
use reqwest::Url;
use rusty_s3::{Bucket, UrlStyle};

use super::endpoint::{Endpoint, EndpointError, Files};
use super::names::Folder;
use super::objects::Copies;
use crate::outward::is_this_machine;

/// A point can be come back to for so long at least: less than a few snapshots is no history.
const KEEP_MIN: Duration = Duration::from_secs(3600);
/// And at most.
const KEEP_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// Bytes of the prefix and of the region at most.
const PREFIX_BYTES_MAX: usize = 256;
const REGION_BYTES_MAX: usize = 64;

/// Why the settings' place for copies is refused.
#[derive(Debug, thiserror::Error)]
pub enum CopiesError {
    /// The address is none.
    #[error("backupCopies: endpoint is no address like `https://s3.example.org`, without a query")]
    Endpoint,
    /// It holds a password.
    #[error(
        "backupCopies: endpoint holds a name or a password: leave them out, and give accessKeyIdFile and secretAccessKeyFile"
    )]
    Password,
    /// Not encrypted, and not on this machine.
    #[error("backupCopies: endpoint is not `https`, which only an address on this machine may do without")]
    InTheClear,
    /// The region is none.
    #[error(
        "backupCopies: region is none: small letters, digits and `-`, like `us-east-1`, which servers without regions take"
    )]
    Region,
    /// The bucket's name is none.
    #[error("backupCopies: bucket is no bucket's name: 3 to 63 of small letters, digits, `.` and `-`")]
    Bucket,
    /// The bucket cannot stand before the host.
    #[error("backupCopies: the bucket cannot stand before this endpoint's host: set pathStyle to true")]
    PathStyle,
    /// The prefix is none.
    #[error(
        "backupCopies: prefix is none: at most {PREFIX_BYTES_MAX} letters, digits, `.`, `_` and `-` in folders with `/` between them, like `demo/`"
    )]
    Prefix,
    /// The time is none.
    #[error("backupCopies: keepSeconds is {0}: from 3600 to 316224000, ten years")]
    Keep(u64),
    /// There is nothing to copy.
    #[error(
        "backupCopies: catalogBackups is Off or the catalog in a database, so there is nothing to copy: leave backupCopies out, or set catalogBackups to Mesh"
    )]
    Nothing,
}

/// A bucket of another S3, and how long copies stay there.
#[derive(Clone, Debug)]
pub struct Place {
    bucket: Bucket,
    prefix: String,
    files: Files,
    pub(crate) keep: Duration,
    told: String,
}

impl Place {
    /// Checks what the settings say; reaches for nobody and reads no file, since a key may come later.
    ///
    /// # Errors
    /// Names the field and the remedy.
    pub(crate) fn of(settings: &BackupCopies) -> Result<Self, CopiesError> {
        let endpoint = endpoint(&settings.endpoint)?;
        let is_of = |text: &str, more: &str| {
            text.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.as_bytes().contains(&byte)
            })
        };
        let region = settings.region.clone();
        if region.is_empty() || region.len() > REGION_BYTES_MAX || !is_of(&region, "-") {
            return Err(CopiesError::Region);
        }
        let bucket = settings.bucket.clone();
        let is_name = is_of(&bucket, ".-") && !bucket.contains("..") && !bucket.starts_with(['.', '-']);
        if !(3..=63).contains(&bucket.len()) || !is_name || bucket.ends_with(['.', '-']) {
            return Err(CopiesError::Bucket);
        }
        let keep = Duration::from_secs(settings.keep_seconds);
        if keep < KEEP_MIN || keep > KEEP_MAX {
            return Err(CopiesError::Keep(settings.keep_seconds));
        }
        let prefix = prefix(&settings.prefix)?;
        let style = if settings.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let told = format!("{}/{bucket}/{prefix}", endpoint.host_str().unwrap_or_default());
        let files = Files {
            access_key_id: settings.access_key_id_file.clone(),
            secret_access_key: settings.secret_access_key_file.clone(),
            authorities: settings.ca_file.clone(),
        };
        let bucket = Bucket::new(endpoint, style, bucket, region).map_err(|_| CopiesError::PathStyle)?;
        Ok(Self { bucket, prefix, files, keep, told })
    }

    /// For people: host, bucket and prefix.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }

    /// The copies of the cluster with this fingerprint of its secret. The key is read anew.
    ///
    /// # Errors
    /// The key's files, or the certificates.
    pub(crate) async fn open(&self, fingerprint: &str) -> Result<Copies, EndpointError> {
        let endpoint = Endpoint::open(self.bucket.clone(), self.files.clone()).await?;
        Ok(Copies::new(endpoint, Folder::of(&self.prefix, fingerprint)))
    }
}

fn endpoint(text: &str) -> Result<Url, CopiesError> {
    let url = Url::parse(text).map_err(|_| CopiesError::Endpoint)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CopiesError::Password);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(CopiesError::Endpoint);
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_this_machine(host) => Ok(url),
        ("http", Some(_)) => Err(CopiesError::InTheClear),
        _ => Err(CopiesError::Endpoint),
    }
}

/// With a `/` behind it, if there is one.
fn prefix(text: &str) -> Result<String, CopiesError> {
    let folders = text.strip_suffix('/').unwrap_or(text);
    if folders.is_empty() {
        return if text.is_empty() { Ok(String::new()) } else { Err(CopiesError::Prefix) };
    }
    let is_folder = |folder: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !folder.is_empty() && folder.bytes().any(|byte| byte != b'.') && folder.bytes().all(is_plain)
    };
    if folders.len() > PREFIX_BYTES_MAX || !folders.split('/').all(is_folder) {
        return Err(CopiesError::Prefix);
    }
    Ok(format!("{folders}/"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A bucket at this address; the key's files stand in `dir`.
    pub(crate) fn settings(endpoint: &str, dir: &std::path::Path) -> BackupCopies {
        BackupCopies {
            endpoint: endpoint.into(),
            region: "us-east-1".into(),
            bucket: "copies".into(),
            prefix: String::new(),
            path_style: true,
            access_key_id_file: dir.join("id"),
            secret_access_key_file: dir.join("key"),
            ca_file: None,
            keep_seconds: 24 * 3600,
        }
    }

    type Change = fn(&mut BackupCopies);

    #[test]
    fn a_place_that_is_none_is_refused_by_its_field() {
        let good = settings("https://s3.example.org:9000", std::path::Path::new("/keys"));
        let place = Place::of(&BackupCopies { prefix: "a/b".into(), ..good.clone() }).unwrap();
        assert_eq!(place.told(), "s3.example.org/copies/a/b/");
        assert!(Place::of(&BackupCopies { endpoint: "http://[::1]:9000".into(), ..good.clone() }).is_ok());
        let bad: [(Change, &str); 15] = [
            (|s| s.endpoint = "s3.example.org".into(), "endpoint"),
            (|s| s.endpoint = "https://s3.example.org/?x=1".into(), "endpoint"),
            (|s| s.endpoint = "https://me:hunter2@s3.example.org".into(), "endpoint holds"),
            (|s| s.endpoint = "http://s3.example.org".into(), "endpoint is not `https`"),
            (|s| s.endpoint = "ftp://s3.example.org".into(), "endpoint"),
            (|s| s.region = String::new(), "region"),
            (|s| s.region = "EU".into(), "region"),
            (|s| s.bucket = "Copies".into(), "bucket"),
            (|s| s.bucket = "a..b".into(), "bucket"),
            (|s| s.bucket = "ab".into(), "bucket"),
            (|s| s.prefix = "/a".into(), "prefix"),
            (|s| s.prefix = "a/../b".into(), "prefix"),
            (|s| s.prefix = "a b".into(), "prefix"),
            (|s| s.keep_seconds = 3599, "keepSeconds is 3599"),
            (|s| (s.endpoint, s.path_style) = ("https://127.0.0.1".into(), false), "pathStyle"),
        ];
        for (change, field) in bad {
            let mut settings = good.clone();
            change(&mut settings);
            let error = Place::of(&settings).err().unwrap().to_string();
            assert!(error.contains(field) && !error.contains("hunter2"), "{field}: {error}");
        }
    }
}
