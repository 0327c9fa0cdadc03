//! Takes out of text what could be a secret. Where a value was, a mark stays that is the same for the same value within one bundle, so that
//! a reader can still see that two are equal, and nobody can find out which it was: the marks' key is thrown away.

mod value;

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use value::Joined;

/// Takes secrets out, with a key of its own.
pub(super) struct Redactor {
    key: [u8; 32],
}

/// A private key in PEM, to its end or to where the text ends.
const PEM: &str = r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)";
/// What follows the name of a scheme of authorization, or is a token by its form: JSON Web Tokens, ours, key ids of S3.
const TOKENS: &str = r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9+/._~=-]{6,})|\b(eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)|\b(dm[a-z]_[A-Za-z0-9_-]{8,})";
/// A name that says that its value is secret, and what joins them: `password=`, `"token" : `, `X-Amz-Signature=`; escaped quotes, too.
const NAMED: &str = r#"(?i)([A-Za-z0-9_.-]*(?:password|passwd|passphrase|passcode|pwd|secret|token|credential|signature|cookie|authorization|(?:private|access|api)[_-]?key)[A-Za-z0-9_-]*|[A-Za-z0-9_.-]*[A-Za-z0-9][_-]?key)(\\*["'])?([ \t]*)([:=])([ \t]*)"#;
/// Name and password in a URL; a password may have a `/` or an `@` in it.
const USERINFO: &str = r#"(?i)([a-z][a-z0-9+.-]*://)([^\s"'<>]+)@"#;
/// Name and password without a scheme, as databases take them: `name:password@tcp(host)`.
const ACCOUNT: &str = r#"([A-Za-z0-9_.-]+:[^\s"']+)@([A-Za-z0-9\[(]+)"#;
/// Keys are 32 bytes; so are hashes, which are as well replaced by a mark.
const HEX: &str = r"\b[0-9a-fA-F]{64}\b";
/// The same in base 64, if it is no longer.
const BASE64: &str = r"[A-Za-z0-9+/_-]{43,}=*";

/// Names that speak of secrets and hold none.
const HARMLESS: &[&str] = &[
    "secretname",
    "secretref",
    "secretkeyref",
    "tokenexpirationseconds",
    "automountserviceaccounttoken",
    "imagepullsecrets",
    "serviceaccounttoken",
    "topologykey",
    "publickey",
];

/// Parts of names whose values are secret, without what joins words.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "credential",
    "signature",
    "cookie",
    "authorization",
    "privatekey",
    "accesskey",
    "apikey",
];

/// Whether a name says that its value is secret.
fn is_secret(name: &str) -> bool {
    // However its words are joined.
    let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
    let is_key = plain.len() > 3 && plain.ends_with("key");
    (is_key || WORDS.iter().any(|word| plain.contains(word))) && !is_harmless(name)
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(&name.to_ascii_lowercase().replace(['-', '_'], "").as_str())
}

static RULES: LazyLock<[Option<Regex>; 7]> =
    LazyLock::new(|| [PEM, TOKENS, NAMED, USERINFO, ACCOUNT, HEX, BASE64].map(|rule| Regex::new(rule).ok()));

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
        let [Some(pem), Some(tokens), Some(named), Some(userinfo), Some(account), Some(hex), Some(base64)] =
            &*RULES
        else {
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
        let text = self.named(named, &text);
        let text = account.replace_all(&text, |found: &Captures<'_>| match &found[2] {
            // An image's tag and digest.
            "sha256" | "sha512" => found[0].to_owned(),
            host => format!("{}@{host}", self.mark(&found[1])),
        });
        let text = hex.replace_all(&text, whole);
        base64.replace_all(&text, |found: &Captures<'_>| self.base64(&found[0])).into_owned()
    }

    /// Marks what follows secret names.
    fn named(&self, rule: &Regex, text: &str) -> String {
        let (mut told, mut at) = (String::with_capacity(text.len()), 0);
        while let Some(found) = rule.captures_at(text, at) {
            let part = |number: usize| found.get(number).map_or("", |part| part.as_str());
            let start = found.get_match().end();
            told.push_str(&text[at..start]);
            at = start;
            let (name, rest) = (part(1).to_ascii_lowercase(), &text[start..]);
            // `volume "tokens" : what is wrong with it`
            let is_told_of = !part(2).is_empty() && !part(3).is_empty() && part(4) == ":";
            if is_harmless(&name) || rest.starts_with("<redacted") || is_told_of && !value::is_enclosed(rest)
            {
                continue;
            }
            let joined = if name.ends_with("cookie") || name.ends_with("authorization") {
                Joined::Line
            } else if part(4) == "=" && part(5).is_empty() {
                Joined::Tight
            } else {
                Joined::Loose
            };
            let length = value::length(rest, joined);
            if length > 0 {
                told.push_str(&self.mark(&rest[..length]));
                at += length;
            }
        }
        told.push_str(&text[at..]);
        told
    }

    /// A path or a name is as long, but not of both cases.
    fn base64(&self, text: &str) -> String {
        let digits = text.trim_end_matches('=');
        let has = |is: fn(&char) -> bool| digits.chars().any(|c| is(&c));
        if digits.len() == 43 && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) {
            self.mark(text)
        } else {
            text.to_owned()
        }
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

    /// All below a secret name; what is harmless by its own name stays.
    fn mark_leaves(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    if is_harmless(name) { self.walk(field) } else { self.mark_leaves(field) }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mark_leaves(item)),
            Value::Null => {}
            Value::String(text) => *text = self.mark(text),
            leaf => *leaf = self.mark(&leaf.to_string()).into(),
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
                let is_named = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
                for (name, field) in fields.iter_mut() {
                    if is_secret(name) || is_named && name == "value" {
                        self.mark_leaves(field);
                    } else {
                        self.walk(field);
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
mod tests;
