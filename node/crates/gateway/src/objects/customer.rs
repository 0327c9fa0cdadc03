//! Objects that are sealed with a key of their customer besides those of the cluster (SSE-C of S3): what they contain, and checksums of
//! it, open with that key alone. Type, metadata, tags, size and dates are the cluster's to read, as of every object.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datamesh_catalog::Target;
use datamesh_seal::{CustomerKey, KeyMark};

use super::{Fields, refusals};
use crate::pipeline::{Record, Secrets};
use crate::problem::{Kind, Problem};

/// Where the mark of the key stands among the sealed fields of an object, or of the upload that becomes one.
const MARK: &str = "x-datamesh-customer-key";
/// Where the checksums stand, sealed with the key.
const SUMS: &str = "x-datamesh-customer-sums";

/// Whether a field is of the key. The gateway's own, they take no room of the user's.
pub(super) fn is_own(name: &str) -> bool {
    name == MARK || name == SUMS
}

/// Why an object, or an upload, and the key that came or did not come do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "it is sealed with a key of its customer (SSE-C): it opens by S3 alone, with the headers \
         x-amz-server-side-encryption-customer-algorithm, -key and -key-MD5"
    )]
    Missing,
    #[error("it is sealed without a key of a customer: leave x-amz-server-side-encryption-customer-* out")]
    NotApplicable,
    #[error("it is sealed with another key of its customer")]
    Wrong,
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let kind = match error {
            KeyError::Missing | KeyError::NotApplicable => Kind::CustomerKey,
            KeyError::Wrong => Kind::Forbidden,
        };
        Self::new(kind, error.to_string())
    }
}

impl Fields {
    /// The mark of the customer's key that the object is sealed with.
    pub(super) fn key_mark(&self) -> Result<Option<KeyMark>, Problem> {
        let Some(text) = self.system.get(MARK) else { return Ok(None) };
        let bytes = hex::decode(text).map_err(|e| Problem::internal("the mark of a key is malformed", &e))?;
        let mark = KeyMark::decode(&bytes);
        mark.map(Some).map_err(|error| Problem::internal("the mark of a key is malformed", &error))
    }

    /// Whether a customer's key is needed to open the object.
    pub(crate) fn needs_key(&self) -> bool {
        self.system.contains_key(MARK)
    }

    /// Of a copy: it is sealed with another key, or with none.
    pub(crate) fn forget_key(&mut self) {
        self.system.remove(MARK);
        self.system.remove(SUMS);
    }
}

/// What seals an object that is new, with the customer's key if one came, which is marked among its fields.
pub(super) fn begun(
    secrets: &Arc<Secrets>,
    key: Option<&CustomerKey>,
    salt: impl FnOnce() -> [u8; 16],
    fields: &mut Fields,
) -> Arc<Secrets> {
    let Some(key) = key else { return Arc::clone(secrets) };
    let (mark, secret) = key.mark(salt());
    fields.system.insert(MARK.to_owned(), hex::encode(mark.encode()));
    Arc::new(secrets.with_customer(secret))
}

/// What opens an object of this mark, and seals further parts of it.
pub(super) fn unlocked(
    secrets: &Arc<Secrets>,
    mark: Option<&KeyMark>,
    key: Option<&CustomerKey>,
) -> Result<Arc<Secrets>, KeyError> {
    match (mark, key) {
        (None, None) => Ok(Arc::clone(secrets)),
        (None, Some(_)) => Err(KeyError::NotApplicable),
        (Some(_), None) => Err(KeyError::Missing),
        (Some(mark), Some(key)) => {
            let secret = key.secret_of(mark).ok_or(KeyError::Wrong)?;
            Ok(Arc::new(secrets.with_customer(secret)))
        }
    }
}

/// Puts checksums among the fields of an object: they tell of its contents, so a customer's key seals them too.
pub(super) fn keep_sums(
    secrets: &Secrets,
    target: &Target,
    fields: &mut Fields,
    sums: Vec<(String, String)>,
) -> Result<(), Problem> {
    if !fields.needs_key() {
        fields.system.extend(sums);
    } else if !sums.is_empty() {
        let sealed = sealed_sums(secrets, target, Record::Sums, &sums)?;
        fields.system.insert(SUMS.to_owned(), STANDARD_NO_PAD.encode(sealed));
    }
    Ok(())
}

/// Puts them where those of other objects are, to be shown.
pub(super) fn show_sums(secrets: &Secrets, target: &Target, fields: &mut Fields) -> Result<(), Problem> {
    let Some(text) = fields.system.remove(SUMS) else { return Ok(()) };
    let sealed =
        STANDARD_NO_PAD.decode(text).map_err(|e| Problem::internal("checksums are malformed", &e))?;
    fields.system.extend(opened_sums(secrets, target, Record::Sums, &sealed)?);
    Ok(())
}

/// Checksums as one record.
pub(super) fn sealed_sums(
    secrets: &Secrets,
    target: &Target,
    record: Record,
    sums: &[(String, String)],
) -> Result<Vec<u8>, Problem> {
    let plain = serde_json::to_vec(sums).map_err(|e| Problem::internal("cannot write checksums", &e))?;
    let sealed = secrets.seal(target, record, &plain);
    sealed.map_err(|error| Problem::internal("cannot seal checksums", &error))
}

/// And back.
pub(super) fn opened_sums(
    secrets: &Secrets,
    target: &Target,
    record: Record,
    sealed: &[u8],
) -> Result<Vec<(String, String)>, Problem> {
    let plain = secrets.open(target, record, sealed).map_err(refusals::record)?;
    let sums = serde_json::from_slice(&plain);
    sums.map_err(|error| Problem::internal("checksums are malformed", &error))
}
