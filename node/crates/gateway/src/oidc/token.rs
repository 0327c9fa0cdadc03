//! ID tokens: what one must be for its claims to be believed. Pure: keys and the time are passed in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::limits::SUBJECT_BYTES_MAX;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

/// Characters of a token at most.
const TOKEN_CHARS_MAX: usize = 32 << 10;
/// Seconds by which clocks may differ.
const LEEWAY_SECONDS: u64 = 60;

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Not three parts of Base64, or not the JSON that they should be.
    #[error("it is no signed token")]
    Form,
    /// `none`, a shared secret, or one that is not known here.
    #[error("it is signed in a way that is not taken: RS256, ES256 and EdDSA are")]
    Algorithm,
    /// No key of the provider made the signature.
    #[error("no key of the provider signed it")]
    Signature,
    /// Another provider's.
    #[error("it is another issuer's")]
    Issuer,
    /// Made for another.
    #[error("it was made for another client")]
    Audience,
    /// Over, or not begun.
    #[error("it has run out, or the clocks differ by more than a minute")]
    Time,
    /// Of another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// No subject, or none that may be one.
    #[error("it names nobody")]
    Subject,
}

/// A key of the provider's.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

/// Its keys. One that cannot be read is none; the others count (RFC 7517, 5).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Read")]
pub(crate) struct Jwks {
    pub(crate) keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Read {
    keys: Vec<Value>,
}

impl From<Read> for Jwks {
    fn from(read: Read) -> Self {
        Self { keys: read.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect() }
    }
}

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// Of the browser's sign-in; a device has none.
    pub(crate) nonce: Option<&'a str>,
    pub(crate) now_unix_s: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(default)]
    crit: Option<Value>,
}

/// What a token says that is believed.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    pub(crate) sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: u64,
    #[serde(default)]
    iat: Option<u64>,
    #[serde(default)]
    nonce: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    fn read(text: &str) -> Result<Self, TokenError> {
        match text {
            "RS256" => Ok(Self::Rs256),
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(TokenError::Algorithm),
        }
    }
}

/// Believes a token or says why not.
pub(crate) fn verify(token: &str, keys: &Jwks, expected: Expected<'_>) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_CHARS_MAX {
        return Err(TokenError::Form);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Form)?;
    let header: Header = read(header)?;
    let algorithm = Algorithm::read(&header.alg)?;
    if header.crit.is_some() {
        return Err(TokenError::Algorithm);
    }
    let signature = decode(signature)?;
    let fits = |key: &&Jwk| {
        key.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && key.alg.as_deref().is_none_or(|alg| alg == header.alg)
            && (header.kid.is_none() || key.kid == header.kid)
    };
    let mut keys = keys.keys.iter().filter(fits);
    if !keys.any(|key| key.made(algorithm, signed.as_bytes(), &signature)) {
        return Err(TokenError::Signature);
    }
    believed(read(payload)?, expected)
}

fn believed(claims: Claims, expected: Expected<'_>) -> Result<Claims, TokenError> {
    if claims.iss != expected.issuer {
        return Err(TokenError::Issuer);
    }
    let (meant, alone) = match &claims.aud {
        Audience::One(one) => (one == expected.client_id, true),
        Audience::Several(all) => (all.iter().any(|one| one == expected.client_id), all.len() == 1),
    };
    let ours = claims.azp.as_deref().map_or(alone, |party| party == expected.client_id);
    if !meant || !ours {
        return Err(TokenError::Audience);
    }
    let now = expected.now_unix_s;
    let begun = claims.iat.is_none_or(|iat| iat <= now.saturating_add(LEEWAY_SECONDS));
    if claims.exp.saturating_add(LEEWAY_SECONDS) <= now || !begun {
        return Err(TokenError::Time);
    }
    if let Some(nonce) = expected.nonce {
        let same =
            claims.nonce.as_deref().is_some_and(|said| bool::from(said.as_bytes().ct_eq(nonce.as_bytes())));
        if !same {
            return Err(TokenError::Nonce);
        }
    }
    let printable = claims.sub.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_BYTES_MAX || !printable {
        return Err(TokenError::Subject);
    }
    Ok(claims)
}

impl Jwk {
    fn made(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.check(algorithm, signed, signature).is_some()
    }

    fn check(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Option<()> {
        let part = |part: &Option<String>| part.as_deref().and_then(|text| decode(text).ok());
        let curve = self.crv.as_deref();
        match (algorithm, self.kty.as_str()) {
            (Algorithm::Rs256, "RSA") => {
                let (n, e) = (part(&self.n)?, part(&self.e)?);
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).ok()
            }
            (Algorithm::Es256, "EC") if curve == Some("P-256") => {
                let point = [&[4][..], &part(&self.x)?, &part(&self.y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).ok()
            }
            (Algorithm::EdDsa, "OKP") if curve == Some("Ed25519") => {
                UnparsedPublicKey::new(&ED25519, part(&self.x)?).verify(signed, signature).ok()
            }
            _ => None,
        }
    }
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Form)
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(text)?).map_err(|_| TokenError::Form)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_790_000_000;
    const EXPECTED: Expected<'static> = Expected {
        issuer: "https://id.example.org",
        client_id: "datamesh",
        nonce: Some("n-0S6_WzA2Mj"),
        now_unix_s: NOW,
    };

    fn claims() -> Value {
        json!({
            "iss": "https://id.example.org", "sub": "alice", "aud": "datamesh", "exp": NOW + 60, "iat": NOW,
            "nonce": "n-0S6_WzA2Mj", "groups": ["a", "b"],
        })
    }

    fn encoded(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    struct Key {
        pair: Ed25519KeyPair,
        kid: &'static str,
    }

    impl Key {
        fn new(kid: &'static str) -> Self {
            let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Self { pair: Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap(), kid }
        }

        fn jwk(&self) -> Value {
            let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "x": x })
        }

        fn signed(&self, header: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", encoded(header), encoded(claims));
            let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
            format!("{signed}.{signature}")
        }

        fn token(&self, claims: &Value) -> String {
            self.signed(&json!({ "alg": "EdDSA", "kid": self.kid }), claims)
        }
    }

    fn keys(all: &[Value]) -> Jwks {
        serde_json::from_value(json!({ "keys": all })).unwrap()
    }

    #[test]
    fn one_changed_claim_is_enough_to_be_refused() {
        let key = Key::new("1");
        let known = keys(&[Key::new("0").jwk(), key.jwk()]);
        let verdict = |claims: &Value| verify(&key.token(claims), &known, EXPECTED).map(|claims| claims.sub);
        assert_eq!(verdict(&claims()), Ok("alice".into()));
        let with = |name: &str, value: Value| {
            let mut changed = claims();
            changed[name] = value;
            verdict(&changed)
        };
        assert!(with("aud", json!(["datamesh"])).is_ok());
        assert!(with("exp", json!(NOW - 30)).is_ok(), "clocks differ a little");
        for (name, value, error) in [
            ("iss", json!("https://id.example.org/"), TokenError::Issuer),
            ("iss", json!("https://evil.example.org"), TokenError::Issuer),
            ("aud", json!("another"), TokenError::Audience),
            ("aud", json!(["another"]), TokenError::Audience),
            ("aud", json!(["another", "datamesh"]), TokenError::Audience),
            ("azp", json!("another"), TokenError::Audience),
            ("exp", json!(NOW - 60), TokenError::Time),
            ("iat", json!(NOW + 61), TokenError::Time),
            ("nonce", json!("another"), TokenError::Nonce),
            ("nonce", Value::Null, TokenError::Nonce),
            ("sub", json!(""), TokenError::Subject),
            ("sub", json!("a\u{0}b"), TokenError::Subject),
            ("sub", json!("a".repeat(256)), TokenError::Subject),
            ("exp", json!("soon"), TokenError::Form),
        ] {
            assert_eq!(with(name, value.clone()), Err(error), "{name}: {value}");
        }
    }

    #[test]
    fn a_signature_is_the_provider_s_or_none() {
        let (key, stranger) = (Key::new("1"), Key::new("1"));
        let known = keys(&[key.jwk()]);
        let verdict = |token: &str| verify(token, &known, EXPECTED).map(|claims| claims.sub);
        assert_eq!(verdict(&stranger.token(&claims())), Err(TokenError::Signature));
        let other_id = key.signed(&json!({ "alg": "EdDSA", "kid": "2" }), &claims());
        assert_eq!(verdict(&other_id), Err(TokenError::Signature));
        for alg in ["none", "None", "HS256", "RS512", ""] {
            let token = key.signed(&json!({ "alg": alg, "kid": "1" }), &claims());
            assert_eq!(verdict(&token), Err(TokenError::Algorithm), "{alg}");
        }
        let unsigned = format!("{}.{}.", encoded(&json!({ "alg": "none" })), encoded(&claims()));
        assert_eq!(verdict(&unsigned), Err(TokenError::Algorithm));
        let critical = key.signed(&json!({ "alg": "EdDSA", "kid": "1", "crit": ["x"] }), &claims());
        assert_eq!(verdict(&critical), Err(TokenError::Algorithm));
        let strange = [json!({ "kid": "1" }), json!({ "kty": 5 }), json!("x"), key.jwk()];
        assert!(verify(&key.token(&claims()), &keys(&strange), EXPECTED).is_ok(), "the others count");
        // The key of one algorithm is none of another's, whatever the header says.
        let confused = key.signed(&json!({ "alg": "ES256", "kid": "1" }), &claims());
        assert_eq!(verdict(&confused), Err(TokenError::Signature));
        for (field, value) in [("use", "enc"), ("alg", "ES256"), ("kty", "oct"), ("crv", "X25519")] {
            let mut other = key.jwk();
            other[field] = json!(value);
            let refused = verify(&key.token(&claims()), &keys(&[other]), EXPECTED);
            assert_eq!(refused.unwrap_err(), TokenError::Signature, "{field}: {value}");
        }
        let token = key.token(&claims());
        for at in (0..token.len()).step_by(7) {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            // The last character of a signature may carry bits that count for nothing; a decoder refuses those.
            assert!(other == token || verdict(&other).is_err(), "at {at}");
        }
        for text in ["", ".", "..", "a.b", &"a".repeat(1 << 20)] {
            assert_eq!(verdict(text), Err(TokenError::Form));
        }
    }

    #[test]
    fn curves_of_nist_are_taken_too() {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let known = keys(&[json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })]);
        let signed = format!("{}.{}", encoded(&json!({ "alg": "ES256" })), encoded(&claims()));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(&random, signed.as_bytes()).unwrap());
        assert!(verify(&format!("{signed}.{signature}"), &known, EXPECTED).is_ok());
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(&random, b"something else").unwrap());
        let refused = verify(&format!("{signed}.{signature}"), &known, EXPECTED);
        assert_eq!(refused.unwrap_err(), TokenError::Signature);
    }
}
