//! What a body is held against, and what is kept of it: `Content-MD5` and the checksums of `x-amz-checksum-*`, in a header or
//! behind the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum_combine};
use http::{Extensions, HeaderMap};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::ChecksumType;
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::chunks::Trailers;
use crate::api::{Told, Witness};
use crate::objects::Fields;
use crate::problem::{Kind, Problem};

/// The field that says what a checksum is of.
pub(super) const TYPE: &str = "x-amz-checksum-type";
const TRAILER: &str = "x-amz-trailer";

/// The checksums of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The header that carries it, by which it is kept as well.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// As requests name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn named(name: &str) -> S3Result<Self> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| s3_error!(InvalidRequest, "there is no checksum algorithm {name}"))
    }

    /// How many bytes it has.
    fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The algorithm whose checksums of parts make that of the whole.
    fn combines(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    fn of(self, bytes: &[u8]) -> String {
        let mut hasher = hasher(&[self]);
        hasher.update(bytes);
        take(&mut hasher.finalize(), self).unwrap_or_default()
    }
}

/// Checksums out of a request's headers or an answer's shape, which have them under the same names.
macro_rules! of_shape {
    ($shape:expr) => {
        [
            ($crate::s3::checksums::Algorithm::Crc32, $shape.checksum_crc32.clone()),
            ($crate::s3::checksums::Algorithm::Crc32c, $shape.checksum_crc32c.clone()),
            ($crate::s3::checksums::Algorithm::Crc64Nvme, $shape.checksum_crc64nvme.clone()),
            ($crate::s3::checksums::Algorithm::Sha1, $shape.checksum_sha1.clone()),
            ($crate::s3::checksums::Algorithm::Sha256, $shape.checksum_sha256.clone()),
        ]
    };
}
pub(super) use of_shape;

/// Writes kept checksums into an answer's shape.
macro_rules! into_shape {
    ($shape:expr, $find:expr) => {
        $shape.checksum_crc32 = $find($crate::s3::checksums::Algorithm::Crc32);
        $shape.checksum_crc32c = $find($crate::s3::checksums::Algorithm::Crc32c);
        $shape.checksum_crc64nvme = $find($crate::s3::checksums::Algorithm::Crc64Nvme);
        $shape.checksum_sha1 = $find($crate::s3::checksums::Algorithm::Sha1);
        $shape.checksum_sha256 = $find($crate::s3::checksums::Algorithm::Sha256);
    };
}
pub(super) use into_shape;

type Given = (Algorithm, Option<String>);

/// A kept checksum.
pub(super) fn of_fields(fields: &Fields, algorithm: Algorithm) -> Option<String> {
    fields.system.get(algorithm.header()).cloned()
}

/// Of what the kept checksum is, if there is one: of the whole object, unless its upload chose another.
pub(super) fn kind_of(fields: &Fields) -> Option<ChecksumType> {
    let chosen = fields.system.get(TYPE).cloned().map(ChecksumType::from);
    let any = Algorithm::ALL.iter().any(|algorithm| fields.system.contains_key(algorithm.header()));
    chosen.or_else(|| any.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)))
}

/// A kept checksum of a part.
pub(super) fn of_part(fields: &[(String, String)], algorithm: Algorithm) -> Option<String> {
    fields.iter().find(|(name, _)| name == algorithm.header()).map(|(_, value)| value.clone())
}

fn hasher(algorithms: &[Algorithm]) -> ChecksumHasher {
    let wants = |algorithm| algorithms.contains(&algorithm);
    ChecksumHasher {
        crc32: wants(Algorithm::Crc32).then(Crc32::new),
        crc32c: wants(Algorithm::Crc32c).then(Crc32c::new),
        crc64nvme: wants(Algorithm::Crc64Nvme).then(Crc64Nvme::new),
        sha1: wants(Algorithm::Sha1).then(Sha1::new),
        sha256: wants(Algorithm::Sha256).then(Sha256::new),
    }
}

fn take(sums: &mut s3s::dto::Checksum, algorithm: Algorithm) -> Option<String> {
    match algorithm {
        Algorithm::Crc32 => sums.checksum_crc32.take(),
        Algorithm::Crc32c => sums.checksum_crc32c.take(),
        Algorithm::Crc64Nvme => sums.checksum_crc64nvme.take(),
        Algorithm::Sha1 => sums.checksum_sha1.take(),
        Algorithm::Sha256 => sums.checksum_sha256.take(),
    }
}

/// Where what follows a body will be, once it has come.
pub(super) enum Trailing {
    /// With the library, which undoes the chunks of signed requests.
    Signed(TrailingHeaders),
    Undone(Trailers),
}

impl Trailing {
    /// Of a request.
    pub(super) fn of(extensions: &Extensions, signed: Option<TrailingHeaders>) -> Option<Self> {
        signed.map(Self::Signed).or_else(|| extensions.get::<Trailers>().cloned().map(Self::Undone))
    }

    fn take(&self) -> Option<HeaderMap> {
        match self {
            Self::Signed(trailing) => trailing.take(),
            Self::Undone(trailers) => trailers.take(),
        }
    }
}

/// Holds a body against what came with it.
pub(super) struct Proof {
    md5: Option<(Md5, Vec<u8>)>,
    hasher: ChecksumHasher,
    algorithms: Vec<Algorithm>,
    /// Said to follow the body.
    announced: Vec<Algorithm>,
    expected: Vec<(Algorithm, String)>,
    trailing: Option<Trailing>,
}

impl Proof {
    /// Out of a request: its MD5, its checksums, the algorithm it names, and the headers that say what follows the body.
    pub(super) fn new(
        md5: Option<&str>,
        given: [Given; 5],
        named: Option<&str>,
        (headers, trailing): (&HeaderMap, Option<Trailing>),
    ) -> S3Result<Self> {
        let md5 = md5.map(|text| Ok::<_, s3s::S3Error>((Md5::new(), decoded_md5(text)?))).transpose()?;
        let mut expected = Vec::new();
        for (algorithm, value) in given {
            if let Some(value) = value {
                decoded(algorithm, &value)?;
                expected.push((algorithm, value));
            }
        }
        let mut algorithms: Vec<_> = expected.iter().map(|(algorithm, _)| *algorithm).collect();
        let announced = announced(headers);
        algorithms.extend(&announced);
        if algorithms.is_empty()
            && let Some(name) = named
        {
            algorithms.push(Algorithm::named(name)?);
        }
        algorithms.sort_unstable();
        algorithms.dedup();
        Ok(Self { md5, hasher: hasher(&algorithms), algorithms, announced, expected, trailing })
    }

    /// Whether something came with the body, or follows it, that it is held against.
    pub(super) fn was_given(&self) -> bool {
        self.md5.is_some() || !self.expected.is_empty() || !self.announced.is_empty()
    }

    /// What came behind the body.
    fn expect_trailing(&mut self) {
        let Some(headers) = self.trailing.take().and_then(|trailing| trailing.take()) else { return };
        for algorithm in Algorithm::ALL {
            if let Some(value) = headers.get(algorithm.header()).and_then(|value| value.to_str().ok()) {
                self.expected.push((algorithm, value.to_owned()));
            }
        }
    }
}

impl Witness for Proof {
    fn see(&mut self, bytes: &[u8]) {
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
        self.hasher.update(bytes);
    }

    fn judge(&mut self) -> Result<Told, Problem> {
        let wrong = |what: &str| {
            Problem::new(Kind::BadDigest, format!("the body does not have the {what} it came with"))
        };
        let etag = match self.md5.take() {
            None => None,
            Some((md5, expected)) => {
                let md5 = md5.finalize();
                if md5[..] != expected[..] {
                    return Err(wrong("Content-MD5"));
                }
                // Verified, so it is worth being the tag: clients compare it with their own.
                Some(hex::encode(md5))
            }
        };
        self.expect_trailing();
        let came = |algorithm: &&Algorithm| self.expected.iter().any(|(known, _)| known == *algorithm);
        if let Some(missing) = self.announced.iter().find(|algorithm| !came(algorithm)) {
            let detail = format!("x-amz-trailer names {}, and it did not follow the body", missing.header());
            return Err(Problem::new(Kind::InvalidBody, detail));
        }
        let mut sums = std::mem::take(&mut self.hasher).finalize();
        let computed =
            self.algorithms.iter().filter_map(|&algorithm| Some((algorithm, take(&mut sums, algorithm)?)));
        let computed: Vec<_> = computed.collect();
        for (algorithm, expected) in &self.expected {
            if !computed.iter().any(|(known, value)| known == algorithm && value == expected) {
                return Err(wrong(algorithm.header()));
            }
        }
        let fields =
            computed.into_iter().map(|(algorithm, value)| (algorithm.header().to_owned(), value)).collect();
        Ok(Told { etag, fields })
    }
}

/// The checksums that a request says will follow its body.
fn announced(headers: &HeaderMap) -> Vec<Algorithm> {
    let values = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let algorithm =
        |name: &str| Algorithm::ALL.into_iter().find(|known| known.header().eq_ignore_ascii_case(name));
    names.filter_map(algorithm).collect()
}

fn decoded_md5(text: &str) -> S3Result<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == 16);
    bytes.ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 is the base64 of 16 bytes"))
}

fn decoded(algorithm: Algorithm, text: &str) -> S3Result<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == algorithm.bytes());
    bytes.ok_or_else(|| {
        s3_error!(InvalidRequest, "{} is the base64 of {} bytes", algorithm.header(), algorithm.bytes())
    })
}

/// The checksum of an object out of those of its parts and their sizes: of the parts' checksums, with their number.
pub(super) fn composite(algorithm: Algorithm, parts: &[(String, u64)]) -> S3Result<String> {
    let mut all = Vec::new();
    for (sum, _) in parts {
        all.extend(decoded(algorithm, sum)?);
    }
    Ok(format!("{}-{}", algorithm.of(&all), parts.len()))
}

/// The checksum of the whole object out of those of its parts; `None` where the algorithm does not allow that.
pub(super) fn whole(algorithm: Algorithm, parts: &[(String, u64)]) -> S3Result<Option<String>> {
    let Some(crc) = algorithm.combines() else { return Ok(None) };
    let number = |sum: &str| -> S3Result<u64> {
        Ok(decoded(algorithm, sum)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let mut whole: Option<u64> = None;
    for (sum, bytes) in parts {
        let sum = number(sum)?;
        whole = Some(whole.map_or(sum, |before| checksum_combine(crc, before, sum, *bytes)));
    }
    let bytes = whole.unwrap_or_default().to_be_bytes();
    Ok(bytes.get(8 - algorithm.bytes()..).map(|bytes| STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(md5: Option<&str>, given: Option<Given>, named: Option<&str>) -> Proof {
        let mut all = Algorithm::ALL.map(|algorithm| (algorithm, None));
        if let Some((algorithm, value)) = given {
            all.iter_mut()
                .filter(|(known, _)| *known == algorithm)
                .for_each(|slot| slot.1.clone_from(&value));
        }
        Proof::new(md5, all, named, (&HeaderMap::new(), None)).unwrap()
    }

    /// The values that the standards and other implementations give for this text.
    const KNOWN: [(Algorithm, &str); 5] = [
        (Algorithm::Crc32, "y/Q5Jg=="),
        (Algorithm::Crc32c, "4waSgw=="),
        (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
        (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
    ];
    const TEXT: &[u8] = b"123456789";

    #[test]
    fn a_body_is_held_against_what_came_with_it() {
        for (algorithm, value) in KNOWN {
            let value = value.to_owned();
            let mut good = proof(None, Some((algorithm, Some(value.clone()))), None);
            good.see(&TEXT[..4]);
            good.see(&TEXT[4..]);
            assert_eq!(good.judge().unwrap().fields, [(algorithm.header().to_owned(), value.clone())]);
            let mut bad = proof(None, Some((algorithm, Some(value))), None);
            bad.see(&TEXT[1..]);
            assert_eq!(bad.judge().unwrap_err().kind(), Kind::BadDigest, "{algorithm:?}");
        }
    }

    #[test]
    fn only_a_verified_md5_becomes_the_tag() {
        let mut good = proof(Some("JfnnlDI7RTiF9RgfG2JNCw=="), None, Some("crc32"));
        good.see(TEXT);
        let told = good.judge().unwrap();
        assert_eq!(told.etag.as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
        assert_eq!(told.fields, [("x-amz-checksum-crc32".to_owned(), "y/Q5Jg==".to_owned())]);
        let mut bad = proof(Some("JfnnlDI7RTiF9RgfG2JNCw=="), None, None);
        bad.see(b"12345678");
        assert_eq!(bad.judge().unwrap_err().kind(), Kind::BadDigest);
        let mut without = proof(None, None, None);
        without.see(TEXT);
        let told = without.judge().unwrap();
        assert!(told.etag.is_none() && told.fields.is_empty());
    }

    #[test]
    fn malformed_digests_are_refused_before_the_body() {
        let none = || Algorithm::ALL.map(|algorithm| (algorithm, None));
        let refuse = |md5, given, named| Proof::new(md5, given, named, (&HeaderMap::new(), None)).is_err();
        assert!(refuse(Some("abc"), none(), None) && refuse(Some("YWJj"), none(), None));
        assert!(refuse(None, none(), Some("CRC99")));
        for (at, algorithm) in Algorithm::ALL.into_iter().enumerate() {
            for wrong in ["", "?", "YWI="] {
                let mut given = none();
                given[at].1 = Some(wrong.to_owned());
                assert!(refuse(None, given, None), "{algorithm:?} {wrong}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn parts_add_up_to_the_whole(parts in proptest::collection::vec(proptest::collection::vec(0_u8.., 1..200), 1..6)) {
            for algorithm in Algorithm::ALL {
                let sums: Vec<_> =
                    parts.iter().map(|part| (algorithm.of(part), u64::try_from(part.len()).unwrap())).collect();
                match whole(algorithm, &sums).unwrap() {
                    Some(whole) => proptest::prop_assert_eq!(whole, algorithm.of(&parts.concat())),
                    None => proptest::prop_assert!(algorithm.combines().is_none()),
                }
                let composite = composite(algorithm, &sums).unwrap();
                let number = format!("-{}", parts.len());
                proptest::prop_assert!(composite.ends_with(&number));
            }
        }
    }
}
