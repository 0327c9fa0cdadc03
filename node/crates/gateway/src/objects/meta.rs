//! Content type and metadata. All but the content type is sealed into one value of the object's row.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datamesh_catalog::limits::CONTENT_TYPE_BYTES_MAX;
use datamesh_catalog::{Lock, Target};
use datamesh_seal::CustomerKey;

use super::{customer, refusals};
use crate::limits;
use crate::pipeline::{Record, Secrets};
use crate::problem::{Kind, Problem};

/// The one field that the catalog keeps: version 1 of the sealed metadata.
const FIELD: &str = "sealed-v1";
/// Stands before the name of a field that is not the user's own; no header's name has it.
const SYSTEM: char = ':';

/// What is kept with an object besides its bytes and their type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Headers of the answer and checksums, by the names of their headers.
    pub(crate) system: BTreeMap<String, String>,
    /// The user's own.
    pub(crate) user: Vec<(String, String)>,
}

impl Fields {
    /// As they are sealed.
    fn pairs(&self) -> Vec<(String, &str)> {
        let system = self.system.iter().map(|(name, value)| (format!("{SYSTEM}{name}"), value.as_str()));
        let user = self.user.iter().map(|(name, value)| (name.clone(), value.as_str()));
        system.chain(user).collect()
    }

    fn of_pairs(pairs: Vec<(String, String)>) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            match name.strip_prefix(SYSTEM) {
                Some(name) => drop(fields.system.insert(name.to_owned(), value)),
                None => fields.user.push((name, value)),
            }
        }
        fields
    }

    fn is_empty(&self) -> bool {
        self.system.is_empty() && self.user.is_empty()
    }

    /// Whether they are small enough to be kept, with checksums that may come.
    pub(super) fn fit(&self) -> bool {
        let system = self.system.iter().filter(|(name, _)| !customer::is_own(name));
        let system = system.map(|(name, value)| (name.clone(), value.clone())).collect();
        let counted = Self { system, user: self.user.clone() };
        let written = serde_json::to_vec(&counted.pairs()).map_or(usize::MAX, |written| written.len());
        written <= limits::FIELDS_BYTES_MAX
    }

    /// As the catalog keeps them.
    pub(crate) fn seal(&self, secrets: &Secrets, target: &Target) -> Result<Vec<(String, String)>, Problem> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let plain =
            serde_json::to_vec(&self.pairs()).map_err(|e| Problem::internal("cannot write metadata", &e))?;
        let sealed = secrets.seal(target, Record::Meta, &plain);
        let sealed = sealed.map_err(|error| Problem::internal("cannot seal metadata", &error))?;
        Ok(vec![(FIELD.to_owned(), STANDARD_NO_PAD.encode(sealed))])
    }

    /// Opens what [`Fields::seal`] gave.
    pub(super) fn open(
        secrets: &Secrets,
        target: &Target,
        kept: &[(String, String)],
    ) -> Result<Self, Problem> {
        let Some((_, text)) = kept.iter().find(|(name, _)| name == FIELD) else { return Ok(Self::default()) };
        let sealed =
            STANDARD_NO_PAD.decode(text).map_err(|e| Problem::internal("metadata is malformed", &e))?;
        let plain = secrets.open(target, Record::Meta, &sealed).map_err(refusals::record)?;
        let pairs = serde_json::from_slice(&plain);
        pairs.map(Self::of_pairs).map_err(|error| Problem::internal("metadata is malformed", &error))
    }
}

/// What of it is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetaError {
    /// Of the content type.
    #[error("a content type has at most {CONTENT_TYPE_BYTES_MAX} printable characters")]
    ContentType,
    /// Of the user's own, or of all together.
    #[error("{0}")]
    Fields(String),
}

/// As they are told of in headers.
impl From<MetaError> for Problem {
    fn from(error: MetaError) -> Self {
        let header = match error {
            MetaError::ContentType => "Content-Type",
            MetaError::Fields(_) => "x-datamesh-meta-*",
        };
        Self::request_header(header, error.to_string())
    }
}

impl MetaError {
    /// As they are told of in the fields `contentType` and `meta` of a body.
    pub(crate) fn in_body(&self) -> Problem {
        let field = match self {
            Self::ContentType => "contentType",
            Self::Fields(_) => "meta",
        };
        Problem::new(Kind::InvalidBody, self.to_string()).in_body(field)
    }
}

/// What a client says of its object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) content_type: String,
    pub(crate) fields: Fields,
    /// What shall keep it.
    pub(crate) lock: Lock,
    /// What it is sealed with besides the cluster's keys.
    pub(crate) key: Option<CustomerKey>,
}

impl Meta {
    /// Checks sizes and names.
    pub(crate) fn new(content_type: String, fields: Fields) -> Result<Self, MetaError> {
        if content_type.len() > CONTENT_TYPE_BYTES_MAX || content_type.chars().any(char::is_control) {
            return Err(MetaError::ContentType);
        }
        let wrong = MetaError::Fields;
        let bytes: usize = fields.user.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits::META_BYTES_MAX {
            return Err(wrong(format!("user metadata has at most {} bytes in all", limits::META_BYTES_MAX)));
        }
        if fields.user.iter().any(|(name, _)| name.starts_with(SYSTEM)) {
            return Err(wrong(format!("the name of a field does not begin with {SYSTEM:?}")));
        }
        if !fields.fit() {
            let max = limits::FIELDS_BYTES_MAX;
            return Err(wrong(format!("all metadata, tags and headers have at most {max} bytes, as JSON")));
        }
        Ok(Self { content_type, fields, lock: Lock::default(), key: None })
    }
}

#[cfg(test)]
mod tests {
    use datamesh_seal::KeyMark;

    use super::*;

    #[test]
    fn the_gateway_s_own_fields_are_told_from_the_user_s() {
        let user = vec![("cache-control".to_owned(), "blue".to_owned())];
        let system = BTreeMap::from([("cache-control".to_owned(), "no-cache".to_owned())]);
        let fields = Fields { system, user };
        let pairs = fields.pairs().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        assert_eq!(Fields::of_pairs(pairs), fields);
        let forged = Fields { user: vec![(":cache-control".into(), "x".into())], ..Fields::default() };
        assert!(Meta::new("text/plain".into(), forged).is_err());
    }

    #[test]
    fn a_customer_s_key_takes_no_room_of_the_user_s() {
        let user = vec![("k".to_owned(), "v".repeat(limits::META_BYTES_MAX - 1))];
        let room = limits::FIELDS_BYTES_MAX
            - serde_json::to_vec(&Fields { user: user.clone(), ..Fields::default() }.pairs()).unwrap().len();
        let tags = "t".repeat(room - "[\":x-amz-tagging\",\"\"],".len());
        let mut fields = Fields { system: BTreeMap::from([("x-amz-tagging".to_owned(), tags)]), user };
        assert!(fields.fit(), "as large as they may be");
        fields.system.insert("x-datamesh-customer-key".into(), "0".repeat(2 * KeyMark::BYTES));
        fields.system.insert("x-datamesh-customer-sums".into(), "0".repeat(600));
        assert!(fields.fit());
        fields.system.insert("x".into(), String::new());
        assert!(!fields.fit());
    }

    #[test]
    fn what_is_taken_fits_into_the_catalog() {
        let user = vec![("k".to_owned(), "\"".repeat(limits::META_BYTES_MAX - 1))];
        let largest = Fields { user, ..Fields::default() };
        assert!(Meta::new("text/plain".into(), largest.clone()).is_ok());
        // Checksums and their like come later: four times the longest.
        let written = limits::FIELDS_BYTES_MAX + 4 * 128;
        let sealed = datamesh_seal::record_bytes_of(written).div_ceil(3) * 4 + FIELD.len();
        assert!(sealed <= datamesh_catalog::limits::META_BYTES_MAX, "{sealed}");
        // With a customer's key its mark comes, and the checksums are sealed.
        let sums = datamesh_seal::record_bytes_of(datamesh_seal::record_bytes_of(4 * 96)).div_ceil(3) * 4;
        let names = 2 * "[\":x-datamesh-customer-sums\",\"\"],".len();
        let written = limits::FIELDS_BYTES_MAX + 2 * KeyMark::BYTES + sums + names;
        let sealed = datamesh_seal::record_bytes_of(written).div_ceil(3) * 4 + FIELD.len();
        assert!(sealed <= datamesh_catalog::limits::META_BYTES_MAX, "{sealed}");
        let many = Fields { user: vec![("k".into(), String::new()); 1000], ..Fields::default() };
        assert!(Meta::new("text/plain".into(), many).is_err());
    }
}
