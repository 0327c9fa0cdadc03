//! Takes out of text what could be a secret. Where a value was, a mark stays that is the same for the same value within one bundle, so that
//! a reader can still see that two are equal, and nobody can find out which it was: the marks' key is thrown away.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// Takes secrets out, with a key of its own.
pub(super) struct Redactor {
    key: [u8; 32],
}

/// A private key in PEM, to its end or to where the text ends.
const PEM: &str = r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)";
/// What follows the name of a scheme of authorization, or is a token by its form: JSON Web Tokens, ours, key ids of S3.
const TOKENS: &str = r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9+/._~=-]{6,})|\b(eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)|\b(dm[a-z]_[A-Za-z0-9_-]{8,})";
/// A name that says that its value is secret, and that value: `password=x`, `"token": "x"`, `X-Amz-Signature=x`.
const NAMED: &str = r#"(?i)([A-Za-z0-9_.-]*(?:password|passwd|secret|token|credential|signature|private[_-]?key|access[_-]?key|api[_-]?key)[A-Za-z0-9_-]*(?:["']?:\s*|["']?\s*=\s*))("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'}\]]+)"#;
/// Name and password in a URL.
const USERINFO: &str = r"([a-z][a-z0-9+.-]*://)([^/\s@]+)@";
/// Keys are 32 bytes; so are hashes, which are as well replaced by a mark.
const HEX: &str = r"\b[0-9a-fA-F]{64}\b";

/// Names that speak of secrets and hold none.
const HARMLESS: &[&str] = &[
    "secretname",
    "secretref",
    "secretkeyref",
    "tokenexpirationseconds",
    "automountserviceaccounttoken",
    "imagepullsecrets",
    "serviceaccounttoken",
];

/// Whether a name says that its value is secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // However its words are joined.
    let plain = name.replace(['-', '_'], "");
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "signature",
        "privatekey",
        "accesskey",
        "apikey",
    ];
    words.iter().any(|word| plain.contains(word)) && !HARMLESS.contains(&name.as_str())
}

static RULES: LazyLock<[Option<Regex>; 5]> =
    LazyLock::new(|| [PEM, TOKENS, NAMED, USERINFO, HEX].map(|rule| Regex::new(rule).ok()));

impl Redactor {
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(Self { key })
    }

    fn mark(&self, secret: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, secret.as_bytes()).to_hex();
        format!("<redacted {}>", &hash[..8])
    }

    /// The text without what could be a secret.
    pub(super) fn text(&self, text: &str) -> String {
        let [Some(pem), Some(tokens), Some(named), Some(userinfo), Some(hex)] = &*RULES else {
            // A rule that does not hold must not let anything through; a test sees to it that all hold.
            return self.mark(text);
        };
        let whole = |found: &Captures<'_>| self.mark(&found[0]);
        let text = pem.replace_all(text, whole);
        let text = tokens.replace_all(&text, |found: &Captures<'_>| {
            let secret = found.iter().skip(1).flatten().next().map_or("", |secret| secret.as_str());
            found[0].replace(secret, &self.mark(secret))
        });
        let text = userinfo
            .replace_all(&text, |found: &Captures<'_>| format!("{}{}@", &found[1], self.mark(&found[2])));
        let text = named.replace_all(&text, |found: &Captures<'_>| self.named(found));
        hex.replace_all(&text, whole).into_owned()
    }

    fn named(&self, found: &Captures<'_>) -> String {
        let (name, value) = (&found[1], &found[2]);
        let bare = name.trim_end_matches([':', '=', ' ', '\t', '"', '\'']).to_ascii_lowercase();
        if HARMLESS.contains(&bare.as_str()) || value.starts_with("<redacted") {
            return found[0].to_owned();
        }
        format!("{name}{}", self.mark(value))
    }

    /// An object of Kubernetes: values of environment variables go whatever their names say, and what only repeats the rest.
    pub(super) fn object(&self, mut object: Value) -> Value {
        self.walk(&mut object);
        object
    }

    /// What follows an argument `--password` is one.
    fn walk_list(&self, items: &mut [Value]) {
        let mut announced = false;
        for item in items {
            let text = item.as_str().unwrap_or_default();
            let announces = text.starts_with('-') && !text.contains('=') && is_secret(text);
            if announced && item.is_string() {
                *item = self.mark(text).into();
            } else {
                self.walk(item);
            }
            announced = announces;
        }
    }

    fn walk(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("managedFields");
                fields.remove("kubectl.kubernetes.io/last-applied-configuration");
                if let Some(Value::Array(variables)) = fields.get_mut("env") {
                    for variable in variables.iter_mut().filter_map(|variable| variable.get_mut("value")) {
                        *variable = self.mark(variable.as_str().unwrap_or_default()).into();
                    }
                }
                for (name, field) in fields.iter_mut() {
                    match field {
                        Value::String(text) if is_secret(name) => *text = self.mark(text),
                        field => self.walk(field),
                    }
                }
            }
            Value::Array(items) => self.walk_list(items),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each with the secret that must not be found afterwards.
    const PLANTED: &[(&str, &str)] = &[
        ("Authorization: Bearer 0123456789abcdef", "0123456789abcdef"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        ("login with dmt_AQEBAQEBAQEBAQEBAQEBAQ failed", "AQEBAQEB"),
        ("session dms_ZZZZZZZZZZ-_ZZ ended", "ZZZZZZZZZZ"),
        (r#"{"password":"hunter two \" three","user":"x"}"#, "hunter"),
        (r#"{"password":"hunter two \" three","user":"x"}"#, "three"),
        ("PGPASSWORD='correct horse'", "horse"),
        ("adminToken: s3cr3t-admin", "s3cr3t-admin"),
        ("GET /b/k?X-Amz-Signature=fe5f80&x=1", "fe5f80"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
        ("postgres://mesh:pa55word@db.example/catalog", "pa55word"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
        ("key 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "8899aabbccddeeff"),
        ("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\nafter", "MIGHAgEA"),
        ("cut -----BEGIN EC PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49", "MIGHAgEA"),
    ];

    #[test]
    fn every_rule_holds() {
        assert!(RULES.iter().all(Option::is_some));
    }

    #[test]
    fn planted_secrets_are_not_found_again() {
        let redactor = Redactor::new().unwrap();
        for (text, secret) in PLANTED {
            assert!(text.contains(secret), "the test looks for what was never there: {text}");
            let told = redactor.text(text);
            assert!(!told.contains(secret) && told.contains("<redacted "), "{told}");
        }
        assert!(redactor.text(PLANTED[13].0).ends_with("after"));
    }

    #[test]
    fn what_explains_a_failure_stays() {
        let redactor = Redactor::new().unwrap();
        for text in [
            "2026-11-30T00:00:00Z WARN demo-main-2 is away; 3 segments short",
            "secretName: demo-tokens",
            r#"MountVolume.SetUp failed for volume "tokens" : secret "demo-tokens" not found"#,
            "https://demo-gateway.datamesh.svc:8443/api/v1/status",
        ] {
            assert_eq!(redactor.text(text), text);
        }
        let twice = redactor.text("token=abc token=abc token=abd");
        let marks: Vec<&str> = twice.split(' ').filter(|part| part.ends_with('>')).collect();
        assert!(marks[0] == marks[1] && marks[1] != marks[2], "{twice}");
        assert_ne!(Redactor::new().unwrap().mark("abc"), redactor.mark("abc"));
    }

    #[test]
    fn objects_lose_values_of_variables_and_copies_of_themselves() {
        let redactor = Redactor::new().unwrap();
        let object = json!({
            "metadata": {
                "name": "demo",
                "managedFields": [{ "manager": "x" }],
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{…}", "token": "planted-1 planted-4" },
            },
            "spec": { "containers": [{
                "env": [{ "name": "HARMLESS", "value": "planted-2" }],
                "args": ["--password=planted-3", "--keep", "--admin-token", "planted-5", "--also"],
            }], "volumes": [{ "secret": { "secretName": "demo-tokens" } }] },
        });
        let told = redactor.object(object);
        let text = told.to_string();
        assert!(
            !text.contains("planted") && !text.contains("managedFields") && !text.contains("last-applied"),
            "{text}"
        );
        let args = &told["spec"]["containers"][0]["args"];
        assert_eq!((&args[1], &args[4]), (&json!("--keep"), &json!("--also")));
        assert_eq!(told["spec"]["volumes"][0]["secret"]["secretName"], "demo-tokens");
    }
}
