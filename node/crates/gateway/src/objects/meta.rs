//! Content type and user metadata. The metadata is sealed into one value of the object's row.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datamesh_catalog::Target;
use datamesh_catalog::limits::CONTENT_TYPE_BYTES_MAX;

use super::refusals;
use crate::limits;
use crate::pipeline::{Record, Secrets};
use crate::problem::Problem;

/// The one field that the catalog keeps: version 1 of the sealed metadata.
const FIELD: &str = "sealed-v1";

/// What a client says of its object.
pub(crate) struct Meta {
    pub(crate) content_type: String,
    user: Vec<(String, String)>,
}

impl Meta {
    /// Checks sizes.
    pub(crate) fn new(content_type: String, user: Vec<(String, String)>) -> Result<Self, Problem> {
        if content_type.len() > CONTENT_TYPE_BYTES_MAX || content_type.chars().any(char::is_control) {
            let detail = format!("a content type has at most {CONTENT_TYPE_BYTES_MAX} printable characters");
            return Err(Problem::parameter("Content-Type", detail));
        }
        let bytes: usize = user.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        if bytes > limits::META_BYTES_MAX {
            let detail = format!("user metadata has at most {} bytes in all", limits::META_BYTES_MAX);
            return Err(Problem::parameter("x-datamesh-meta-*", detail));
        }
        Ok(Self { content_type, user })
    }

    /// As the catalog keeps it.
    pub(crate) fn seal(&self, secrets: &Secrets, target: &Target) -> Result<Vec<(String, String)>, Problem> {
        if self.user.is_empty() {
            return Ok(Vec::new());
        }
        let plain =
            serde_json::to_vec(&self.user).map_err(|e| Problem::internal("cannot write metadata", &e))?;
        let sealed = secrets.seal(target, Record::Meta, &plain);
        let sealed = sealed.map_err(|error| Problem::internal("cannot seal metadata", &error))?;
        Ok(vec![(FIELD.to_owned(), STANDARD_NO_PAD.encode(sealed))])
    }
}

/// Opens what [`Meta::seal`] gave.
pub(super) fn open(
    secrets: &Secrets,
    target: &Target,
    kept: &[(String, String)],
) -> Result<Vec<(String, String)>, Problem> {
    let Some((_, text)) = kept.iter().find(|(name, _)| name == FIELD) else { return Ok(Vec::new()) };
    let sealed = STANDARD_NO_PAD.decode(text).map_err(|e| Problem::internal("metadata is malformed", &e))?;
    let plain = secrets.open(target, Record::Meta, &sealed).map_err(refusals::record)?;
    serde_json::from_slice(&plain).map_err(|error| Problem::internal("metadata is malformed", &error))
}
