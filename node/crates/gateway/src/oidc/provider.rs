//! One provider: what it says of itself, its keys, and exchanges with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::Role;
use datamesh_catalog::limits::ISSUER_BYTES_MAX;
use datamesh_settings::oidc::OidcSettings;
use datamesh_settings::read_secret;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::OidcError;
use super::token::{Claims, Expected, Jwks, TokenError, verify};
pub(crate) use super::wire::ProviderError;
use super::wire::{Wire, encoded, form, read};

/// Characters of a provider's name at most.
const NAME_CHARS_MAX: usize = 32;
/// What a provider says of itself is asked for anew after so long, and its keys when one is missing, but not more often than that.
const KNOWN_FOR_MS: u64 = 3_600_000;
const KEYS_AT_MOST_EVERY_MS: u64 = 60_000;
/// One that failed is not asked again for so long: all who come would wait for it one after the other.
const LEFT_ALONE_MS: u64 = 5_000;
/// Keys of a provider at most.
const KEYS_MAX: usize = 64;

/// What a provider says of itself (OpenID Connect Discovery).
#[derive(Clone, Debug, Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
}

/// What is known of it, and since when.
#[derive(Debug, Default)]
struct Known {
    said: Option<(Discovered, u64)>,
    keys: Jwks,
    keys_unix_ms: u64,
    failed_unix_ms: u64,
}

/// A provider of the settings.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: OidcSettings,
    redirect_uri: String,
    roles: Vec<(String, Role)>,
    wire: Wire,
    known: Mutex<Known>,
}

/// How a device's sign-in begins.
#[derive(Debug, Deserialize)]
pub(crate) struct Begun {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    #[serde(default)]
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) expires_in: u64,
    #[serde(default)]
    pub(crate) interval: Option<u64>,
}

/// What asking for a device's token gives.
pub(crate) enum Polled {
    /// Nobody has said yes yet. Whether to ask less often.
    Pending { slower: bool },
    /// Somebody has.
    Done(Box<Claims>),
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl Provider {
    /// `host`: where browsers come back to.
    pub(super) fn open(settings: OidcSettings, host: &str) -> Result<Self, OidcError> {
        let wrong = |field, remedy| OidcError::Field { provider: settings.name.clone(), field, remedy };
        let letters =
            settings.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if settings.name.is_empty() || settings.name.len() > NAME_CHARS_MAX || !letters {
            return Err(wrong("name", "1 to 32 of a-z, 0-9 and `-`"));
        }
        let is_url = settings.issuer.starts_with("https://") && !settings.issuer.contains([' ', '#', '?']);
        if !is_url || settings.issuer.len() > ISSUER_BYTES_MAX {
            return Err(wrong("issuer", "a URL that begins with https://, exactly as its tokens have it"));
        }
        if settings.client_id.is_empty() {
            return Err(wrong("clientId", "write what the provider knows this cluster as"));
        }
        if let Some(path) = &settings.client_secret_file {
            drop(Zeroizing::new(read_secret(path)?));
        }
        let role = |(said, role): (&String, &String)| {
            let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
            role.map(|role| (said.clone(), role))
        };
        let roles = settings.roles.iter().flat_map(|roles| &roles.map).map(role).collect::<Option<Vec<_>>>();
        let roles =
            roles.ok_or_else(|| wrong("roles.map", "roles are member, auditor, operator and admin"))?;
        let wire = Wire::open(&settings.name, settings.ca_file.as_deref())?;
        let redirect_uri = format!("https://{host}/api/v1/auth/oidc/{}/callback", settings.name);
        Ok(Self { settings, redirect_uri, roles, wire, known: Mutex::default() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether it makes users whatever registration says.
    pub(crate) fn registers(&self) -> bool {
        self.settings.register
    }

    /// The role that claims give, where the settings say that they do.
    pub(crate) fn role_of(&self, claims: &Claims) -> Option<Role> {
        let roles = self.settings.roles.as_ref()?;
        let said = match claims.more.get(&roles.claim) {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let fits = self.roles.iter().filter(|(value, _)| said.contains(&value.as_str()));
        Some(fits.map(|(_, role)| *role).max().unwrap_or(Role::Member))
    }

    /// Where a browser goes to sign in.
    pub(crate) async fn authorization_url(
        &self,
        (state, nonce, challenge): (&str, &str, &str),
        now_unix_ms: u64,
    ) -> Result<String, ProviderError> {
        let endpoint = self.discovered(now_unix_ms).await?.authorization_endpoint;
        if !endpoint.starts_with("https://") {
            return Err(ProviderError::Answer("its page to sign in is none"));
        }
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scope()),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ]);
        let joined = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joined}{}", *query))
    }

    fn scope(&self) -> String {
        let more = self.settings.scopes.iter().filter(|scope| *scope != "openid");
        more.fold("openid".to_owned(), |all, scope| format!("{all} {scope}"))
    }

    /// Who a browser's code stands for.
    pub(crate) async fn exchange(
        &self,
        (code, verifier, nonce): (&str, &str, &str),
        now_unix_ms: u64,
    ) -> Result<Claims, ProviderError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ];
        let tokens = self.tokens(&fields, now_unix_ms).await?;
        if let Some(error) = tokens.error {
            return Err(ProviderError::Refused(known_error(&error)));
        }
        let token =
            tokens.id_token.map(Zeroizing::new).ok_or(ProviderError::Answer("there is no ID token"))?;
        self.believe(&token, Some(nonce), now_unix_ms).await
    }

    /// Begins a device's sign-in.
    pub(crate) async fn begin_device(&self, now_unix_ms: u64) -> Result<Begun, ProviderError> {
        let none = ProviderError::Answer("it has no sign-in for devices");
        let endpoint = self.discovered(now_unix_ms).await?.device_authorization_endpoint.ok_or(none)?;
        let (taken, begun) = self.post(&endpoint, &[("scope", &self.scope())]).await?;
        if !taken {
            return Err(ProviderError::Refused("it begins no sign-in of a device"));
        }
        let begun: Begun = read(&begun)?;
        // A terminal shows them.
        let page = |url: &str| url.starts_with("https://") && !url.contains(char::is_control);
        let pages =
            page(&begun.verification_uri) && begun.verification_uri_complete.as_deref().is_none_or(page);
        if begun.user_code.contains(char::is_control) || !pages {
            return Err(ProviderError::Answer("its page for devices is none"));
        }
        Ok(begun)
    }

    /// Asks whether somebody has said yes to a device.
    pub(crate) async fn poll(&self, device_code: &str, now_unix_ms: u64) -> Result<Polled, ProviderError> {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let tokens = self.tokens(&[("grant_type", grant), ("device_code", device_code)], now_unix_ms).await?;
        match (tokens.error.as_deref(), tokens.id_token.map(Zeroizing::new)) {
            (Some("authorization_pending"), _) => Ok(Polled::Pending { slower: false }),
            (Some("slow_down"), _) => Ok(Polled::Pending { slower: true }),
            (Some(error), _) => Err(ProviderError::Refused(known_error(error))),
            (None, None) => Err(ProviderError::Answer("there is no ID token")),
            (None, Some(token)) => {
                self.believe(&token, None, now_unix_ms).await.map(|claims| Polled::Done(Box::new(claims)))
            }
        }
    }

    async fn tokens(&self, fields: &[(&str, &str)], now_unix_ms: u64) -> Result<Tokens, ProviderError> {
        let endpoint = self.discovered(now_unix_ms).await?.token_endpoint;
        let (taken, body) = self.post(&endpoint, fields).await?;
        let tokens: Tokens = read(&body)?;
        if !taken && tokens.error.is_none() {
            return Err(ProviderError::Answer("it fails without saying why"));
        }
        Ok(tokens)
    }

    /// Posts a form as this client.
    async fn post(
        &self,
        endpoint: &str,
        fields: &[(&str, &str)],
    ) -> Result<(bool, Zeroizing<Vec<u8>>), ProviderError> {
        let client = self.settings.client_id.as_str();
        let Some(path) = &self.settings.client_secret_file else {
            return self.wire.post(endpoint, None, &[&[("client_id", client)], fields].concat()).await;
        };
        let secret = Zeroizing::new(read_secret(path)?);
        let pair = Zeroizing::new(format!("{}:{}", *encoded(client), *encoded(&secret)));
        let basic = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
        let mut value =
            HeaderValue::from_str(&basic).map_err(|_| ProviderError::Answer("its client cannot be named"))?;
        value.set_sensitive(true);
        self.wire.post(endpoint, Some(value), fields).await
    }

    /// Believes a token by the provider's keys; asks for them anew where the one that signed is not among them.
    async fn believe(
        &self,
        token: &str,
        nonce: Option<&str>,
        now_unix_ms: u64,
    ) -> Result<Claims, ProviderError> {
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce,
            now_unix_s: now_unix_ms / 1000,
        };
        let said = self.discovered(now_unix_ms).await?;
        let mut known = self.known.lock().await;
        match verify(token, &known.keys, expected) {
            Err(TokenError::Signature)
                if now_unix_ms.saturating_sub(known.keys_unix_ms) >= KEYS_AT_MOST_EVERY_MS =>
            {
                known.keys_unix_ms = now_unix_ms;
                known.keys = self.keys(&said.jwks_uri).await?;
                Ok(verify(token, &known.keys, expected)?)
            }
            verdict => Ok(verdict?),
        }
    }

    /// What the provider says of itself, from memory where it was asked lately.
    async fn discovered(&self, now_unix_ms: u64) -> Result<Discovered, ProviderError> {
        let mut known = self.known.lock().await;
        let since = |unix_ms: u64| now_unix_ms.saturating_sub(unix_ms);
        if let Some((said, unix_ms)) = &known.said
            && since(*unix_ms) < KNOWN_FOR_MS
        {
            return Ok(said.clone());
        }
        if since(known.failed_unix_ms) < LEFT_ALONE_MS {
            return Err(ProviderError::Lately);
        }
        match self.asked().await {
            Ok((said, keys)) => {
                let said_then = Some((said.clone(), now_unix_ms));
                *known = Known { said: said_then, keys, keys_unix_ms: now_unix_ms, failed_unix_ms: 0 };
                Ok(said)
            }
            Err(error) => {
                known.failed_unix_ms = now_unix_ms;
                Err(error)
            }
        }
    }

    async fn asked(&self) -> Result<(Discovered, Jwks), ProviderError> {
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let said: Discovered = self.wire.get(&url).await?;
        if said.issuer != *issuer {
            return Err(ProviderError::Answer("it says that it is another issuer"));
        }
        let keys = self.keys(&said.jwks_uri).await?;
        Ok((said, keys))
    }

    async fn keys(&self, url: &str) -> Result<Jwks, ProviderError> {
        let keys: Jwks = self.wire.get(url).await?;
        if keys.keys.len() > KEYS_MAX { Err(ProviderError::Answer("it has too many keys")) } else { Ok(keys) }
    }
}

/// Of the errors that the standards name, the one; the provider's own words may say anything.
fn known_error(error: &str) -> &'static str {
    match error {
        "invalid_grant" => "the code was used, has run out or is another's",
        "invalid_client" | "unauthorized_client" => "it does not take this cluster's client id or secret",
        "access_denied" => "access was denied",
        "expired_token" => "the time to sign in is over",
        _ => "it says no more",
    }
}
