//! `Upload-Metadata` of tus: pairs of a name and a value in base64, with commas between them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderName;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::limits;
use crate::objects::{Fields, Meta};
use crate::problem::Problem;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const TYPE_DEFAULT: &str = "application/octet-stream";
/// The header of objects that keeps a name for whoever saves them.
const DISPOSITION: &str = "content-disposition";

/// What of it is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("it has at most {} bytes", limits::UPLOAD_METADATA_BYTES_MAX)]
    TooLong,
    #[error("it is pairs of a name and a value in base64, with commas between them: {0:?} is none")]
    Pair(String),
    #[error("`{0}` is there twice")]
    Twice(String),
    #[error("the value of `{0}` is UTF-8 without control characters, in base64")]
    Value(String),
    #[error("`{0}` is no name of a header, so it is none of metadata")]
    Name(String),
    #[error("`filename`, or `key`, says under which key the object is stored")]
    Keyless,
    #[error("{0}")]
    Meta(String),
}

impl From<MetadataError> for Problem {
    fn from(error: MetadataError) -> Self {
        Self::request_header("Upload-Metadata", error.to_string())
    }
}

/// What a client says of the object that it uploads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UploadMetadata {
    text: String,
    /// The bucket, if it is another than the default one.
    pub(crate) bucket: Option<String>,
    /// The object's key.
    pub(crate) key: String,
    /// What it is saved as, where the key says something else.
    filename: Option<String>,
    content_type: Option<String>,
    /// All else.
    user: Vec<(String, String)>,
}

impl UploadMetadata {
    /// Reads it: `key`, or else `filename`, is the object's key, `bucket` its bucket, `filetype` its type; what else there is becomes its
    /// metadata.
    pub(crate) fn parse(text: &str) -> Result<Self, MetadataError> {
        let mut pairs = pairs(text)?;
        let filename = pairs.remove("filename").filter(|name| !name.is_empty());
        let (key, filename) = match pairs.remove("key") {
            Some(key) => (key, filename),
            None => (filename.ok_or(MetadataError::Keyless)?, None),
        };
        let (bucket, content_type) = (pairs.remove("bucket"), pairs.remove("filetype"));
        let content_type = content_type.filter(|kind| !kind.is_empty());
        let mut user = BTreeMap::new();
        for (name, value) in pairs {
            let header = HeaderName::try_from(&name).map_err(|_| MetadataError::Name(name.clone()))?;
            if user.insert(header.as_str().to_owned(), value).is_some() {
                return Err(MetadataError::Twice(name));
            }
        }
        let user = user.into_iter().collect();
        Ok(Self { text: text.to_owned(), bucket, key, filename, content_type, user })
    }

    /// As it came.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What is kept with the object.
    pub(crate) fn meta(&self) -> Result<Meta, MetadataError> {
        let system = self.filename.iter().map(|name| {
            // RFC 6266, section 4.1: whatever is no letter and no digit may be encoded.
            let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
            (DISPOSITION.to_owned(), format!("attachment; filename*=UTF-8''{encoded}"))
        });
        let fields = Fields { system: system.collect(), user: self.user.clone() };
        let content_type = self.content_type.clone().unwrap_or_else(|| TYPE_DEFAULT.to_owned());
        Meta::new(content_type, fields).map_err(|error| MetadataError::Meta(error.to_string()))
    }
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, MetadataError> {
    if text.len() > limits::UPLOAD_METADATA_BYTES_MAX {
        return Err(MetadataError::TooLong);
    }
    let mut all = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MetadataError::Pair(pair.chars().take(64).collect()));
        }
        let wrong = || MetadataError::Value(name.to_owned());
        let value = BASE64.decode(value.trim()).map_err(|_| wrong())?;
        let value = String::from_utf8(value).map_err(|_| wrong())?;
        if value.chars().any(char::is_control) {
            return Err(wrong());
        }
        if all.insert(name.to_owned(), value).is_some() {
            return Err(MetadataError::Twice(name.to_owned()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> String {
        format!("{name} {}", BASE64.encode(value))
    }

    #[test]
    fn what_clients_send_is_read() {
        let text =
            [pair("filename", "ä b.txt"), pair("filetype", "text/plain"), "is_secret".to_owned()].join(",");
        let read = UploadMetadata::parse(&text).unwrap();
        assert_eq!(
            (read.key.as_str(), read.bucket.as_deref(), read.text()),
            ("ä b.txt", None, text.as_str())
        );
        let meta = read.meta().unwrap();
        assert_eq!(meta.content_type, "text/plain");
        assert_eq!(meta.fields.user, [("is_secret".to_owned(), String::new())]);
        assert!(meta.fields.system.is_empty(), "the key says what it is saved as");
        let text = [pair("key", "a/b"), pair("bucket", "photos"), pair("filename", "ä\"b.txt")].join(" , ");
        let read = UploadMetadata::parse(&text).unwrap();
        assert_eq!((read.key.as_str(), read.bucket.as_deref()), ("a/b", Some("photos")));
        let meta = read.meta().unwrap();
        assert_eq!(meta.content_type, TYPE_DEFAULT);
        assert_eq!(meta.fields.system[DISPOSITION], "attachment; filename*=UTF-8''%C3%A4%22b%2Etxt");
        // Without padding, and a name that is written in another way.
        let read = UploadMetadata::parse("filename YQ,relativePath bnVsbA==").unwrap();
        assert_eq!(read.user, [("relativepath".to_owned(), "null".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let of = |text: &str| UploadMetadata::parse(text).and_then(|read| read.meta().map(drop)).unwrap_err();
        assert_eq!(of(""), MetadataError::Keyless);
        assert_eq!(of("filename"), MetadataError::Keyless);
        assert_eq!(of(&pair("filetype", "text/plain")), MetadataError::Keyless);
        assert_eq!(of("filename YQ==,filename YQ=="), MetadataError::Twice("filename".into()));
        assert_eq!(of("filename YQ==,A YQ==,a YQ=="), MetadataError::Twice("a".into()));
        assert_eq!(of("filename ?"), MetadataError::Value("filename".into()));
        assert_eq!(
            of(&format!("filename {}", BASE64.encode([0xff]))),
            MetadataError::Value("filename".into())
        );
        assert_eq!(of(&pair("filename", "a\nb")), MetadataError::Value("filename".into()));
        assert_eq!(of("filename YQ==,a(b YQ=="), MetadataError::Name("a(b".into()));
        assert_eq!(of("filename YQ==,ä YQ=="), MetadataError::Pair("ä YQ==".into()));
        assert_eq!(of(&"x".repeat(limits::UPLOAD_METADATA_BYTES_MAX + 1)), MetadataError::TooLong);
        let long = pair("a", &"x".repeat(limits::META_BYTES_MAX));
        assert!(matches!(of(&format!("filename YQ==,{long}")), MetadataError::Meta(_)));
        assert!(matches!(
            of(&format!("filename YQ==,{}", pair("filetype", &"x".repeat(300)))),
            MetadataError::Meta(_)
        ));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([a-z,= A-Z0-9/+]{0,60}|\\\\PC{0,60})") {
            if let Ok(read) = UploadMetadata::parse(&text) {
                proptest::prop_assert_eq!(UploadMetadata::parse(read.text()).unwrap(), read);
            }
        }
    }
}
