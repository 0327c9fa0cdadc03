//! Tags of objects and buckets: names and values for whoever sorts and bills, and for rules of expiry.

use std::collections::BTreeMap;

/// Where an object's tags stand among its sealed fields.
const FIELD: &str = "x-amz-tagging";
/// Tags of an object at most, as in S3.
pub(crate) const OF_OBJECT_MAX: usize = 10;
/// Tags of a bucket at most, as in S3.
pub(crate) const OF_BUCKET_MAX: usize = 50;
/// Characters of a tag's name at most.
const NAME_CHARS_MAX: usize = 128;
/// Characters of a tag's value at most.
const VALUE_CHARS_MAX: usize = 256;
/// Names that begin so are not the user's to give.
const RESERVED: &str = "aws:";

/// Why tags are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TagsError {
    #[error("names and values of tags have no control characters")]
    Control,
    #[error("there are at most {0} tags")]
    TooMany(usize),
    #[error("a tag's name has 1 to {NAME_CHARS_MAX} characters")]
    Name,
    #[error("the value of the tag {0} has more than {VALUE_CHARS_MAX} characters")]
    Value(String),
    #[error("the tag {0} is there twice")]
    Twice(String),
    #[error("names that begin with {RESERVED} are reserved")]
    Reserved,
    #[error("tags in a header are written as in a query: name=value&name=value")]
    Malformed,
}

/// Checked tags, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Holds tags against the limits.
    pub(crate) fn new(
        pairs: impl IntoIterator<Item = (String, String)>,
        most: usize,
    ) -> Result<Self, TagsError> {
        let mut tags = BTreeMap::new();
        for (name, value) in pairs {
            if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
                return Err(TagsError::Name);
            }
            // XML has no way to write them.
            if name.chars().chain(value.chars()).any(char::is_control) {
                return Err(TagsError::Control);
            }
            if name.starts_with(RESERVED) {
                return Err(TagsError::Reserved);
            }
            if value.chars().count() > VALUE_CHARS_MAX {
                return Err(TagsError::Value(name));
            }
            if tags.len() == most {
                return Err(TagsError::TooMany(most));
            }
            if tags.contains_key(&name) {
                return Err(TagsError::Twice(name));
            }
            tags.insert(name, value);
        }
        Ok(Self(tags))
    }

    /// Reads those of an object's header.
    pub(crate) fn of_query(text: &str) -> Result<Self, TagsError> {
        let plain = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
            decoded.map(|text| text.into_owned()).map_err(|_| TagsError::Malformed)
        };
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((plain(name)?, plain(value)?));
        }
        Self::new(pairs, OF_OBJECT_MAX)
    }

    /// Those among an object's fields.
    pub(crate) fn of_fields(system: &BTreeMap<String, String>) -> Self {
        system.get(FIELD).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Puts them there, in place of others.
    pub(crate) fn put_into(&self, system: &mut BTreeMap<String, String>) {
        system.remove(FIELD);
        if !self.0.is_empty() {
            system.insert(FIELD.to_owned(), self.written());
        }
    }

    /// As they are kept.
    pub(crate) fn written(&self) -> String {
        // Maps of texts always can be written.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// By name.
    pub(crate) fn pairs(&self) -> impl ExactSizeIterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Whether all of the others are among them, with the same values.
    pub(crate) fn include(&self, others: &Self) -> bool {
        others.0.iter().all(|(name, value)| self.0.get(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_header_is_read_as_a_query() {
        let read = Tags::of_query("colour=deep%20blue&a+b=&flag").unwrap();
        let expected = Tags::new(pairs(&[("colour", "deep blue"), ("a b", ""), ("flag", "")]), 10);
        assert_eq!(read, expected.unwrap());
        assert_eq!(Tags::of_query("").unwrap(), Tags::default());
        assert_eq!(Tags::of_query("a=%ff"), Err(TagsError::Malformed));
        assert_eq!(Tags::of_query("a=1&a=2"), Err(TagsError::Twice("a".into())));
    }

    #[test]
    fn limits_are_those_of_s3() {
        let many: Vec<_> = (0..11).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(Tags::new(many.clone(), 10), Err(TagsError::TooMany(10)));
        assert!(Tags::new(many[..10].to_vec(), 10).is_ok());
        assert!(Tags::new([("ö".repeat(128), "ö".repeat(256))], 10).is_ok());
        assert_eq!(Tags::new([("ö".repeat(129), String::new())], 10), Err(TagsError::Name));
        assert_eq!(Tags::new([(String::new(), String::new())], 10), Err(TagsError::Name));
        assert_eq!(Tags::new([("a".into(), "v".repeat(257))], 10), Err(TagsError::Value("a".into())));
        assert_eq!(Tags::new(pairs(&[("aws:x", "")]), 10), Err(TagsError::Reserved));
        for control in [("a\0", ""), ("a", "\n"), ("a", "\u{85}")] {
            assert_eq!(Tags::new(pairs(&[control]), 10), Err(TagsError::Control));
        }
    }

    #[test]
    fn fields_keep_them() {
        let tags = Tags::new(pairs(&[("a", "1"), ("b", "\"")]), 10).unwrap();
        let mut fields = BTreeMap::from([("cache-control".to_owned(), "no-cache".to_owned())]);
        tags.put_into(&mut fields);
        assert_eq!((fields.len(), Tags::of_fields(&fields)), (2, tags.clone()));
        assert_eq!(fields[FIELD], r#"{"a":"1","b":"\""}"#, "as the first version wrote them");
        assert!(tags.include(&Tags::new(pairs(&[("a", "1")]), 10).unwrap()));
        assert!(!tags.include(&Tags::new(pairs(&[("a", "2")]), 10).unwrap()));
        Tags::default().put_into(&mut fields);
        assert_eq!((fields.len(), Tags::of_fields(&fields)), (1, Tags::default()));
    }
}
