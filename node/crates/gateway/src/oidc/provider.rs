//! One provider: what it says of itself, its keys, and exchanges with it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::catalog::Given;
use datamesh_catalog::limits::ISSUER_BYTES_MAX;
use datamesh_settings::oidc::OidcSettings;
use datamesh_settings::read_secret;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::OidcError;
use super::given::Gives;
use super::known::{Discovered, Known, Source};
use super::token::{Claims, Expected};
pub(crate) use super::wire::ProviderError;
use super::wire::{Wire, encoded, form, read};
use crate::surroundings::Surroundings;

/// Characters of a provider's name at most.
const NAME_CHARS_MAX: usize = 32;
/// Questions about devices at once at most: whoever waits for a yes must not hold up who signs in.
const POLLS_AT_ONCE: usize = 8;
/// What somebody calls themselves there.
const USER_NAME: &str = "preferred_username";

/// A provider of the settings.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: OidcSettings,
    redirect_uri: String,
    gives: Gives,
    wire: Wire,
    polls: Semaphore,
    known: Known,
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

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Tokens {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// What the provider says of who signed in, besides the token (OpenID Connect Core 5.3).
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    more: Map<String, Value>,
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
        let gives = Gives::open(&settings).map_err(|(field, remedy)| wrong(field, remedy))?;
        let wire = Wire::open(&settings.name, settings.ca_file.as_deref())?;
        let redirect_uri = format!("https://{host}/api/v1/auth/oidc/{}/callback", settings.name);
        let polls = Semaphore::new(POLLS_AT_ONCE);
        Ok(Self { settings, redirect_uri, gives, wire, polls, known: Known::default() })
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

    /// Whether programs without a browser may sign in.
    pub(crate) fn takes_devices(&self) -> bool {
        self.settings.devices
    }

    /// Whether roles are its affair.
    pub(crate) fn gives_roles(&self) -> bool {
        self.gives.roles()
    }

    /// Whether places in groups are its affair.
    pub(crate) fn gives_groups(&self) -> bool {
        self.gives.groups()
    }

    /// What who signed in calls themselves there.
    pub(crate) fn name_in(claims: &Claims) -> Option<&str> {
        claims.more.get(USER_NAME)?.as_str()
    }

    /// The role and the places in groups that claims give.
    pub(crate) fn given(&self, claims: &Claims) -> Given {
        self.gives.read(claims)
    }

    fn source<'a>(&'a self, clock: &'a dyn Surroundings) -> Source<'a> {
        Source { wire: &self.wire, issuer: &self.settings.issuer, clock }
    }

    async fn discovered(&self, clock: &dyn Surroundings) -> Result<Arc<Discovered>, ProviderError> {
        self.known.discovered(self.source(clock)).await
    }

    /// Where a browser goes to sign in; `anew`: also who is signed in there already, who may be somebody else.
    pub(crate) async fn authorization_url(
        &self,
        (state, nonce, challenge): (&str, &str, &str),
        anew: bool,
        clock: &dyn Surroundings,
    ) -> Result<String, ProviderError> {
        let said = self.discovered(clock).await?;
        let endpoint = &said.authorization_endpoint;
        if !endpoint.starts_with("https://") {
            return Err(ProviderError::Answer("its page to sign in is none"));
        }
        let scope = self.scope();
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", self.settings.client_id.as_str()),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &scope),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ];
        fields.extend(anew.then_some(("prompt", "login")));
        let query = form(&fields);
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
        clock: &dyn Surroundings,
    ) -> Result<Claims, ProviderError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ];
        let tokens = self.tokens(&fields, clock).await?;
        match &tokens.error {
            Some(error) => Err(ProviderError::Refused(known_error(error))),
            None => self.vouched(&tokens, Some(nonce), clock).await,
        }
    }

    /// Begins a device's sign-in.
    pub(crate) async fn begin_device(&self, clock: &dyn Surroundings) -> Result<Begun, ProviderError> {
        let none = ProviderError::Answer("it has no sign-in for devices");
        let said = self.discovered(clock).await?;
        let endpoint = said.device_authorization_endpoint.as_ref().ok_or(none)?;
        let (taken, begun) = self.post(endpoint, &[("scope", &self.scope())]).await?;
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
    pub(crate) async fn poll(
        &self,
        device_code: &str,
        clock: &dyn Surroundings,
    ) -> Result<Polled, ProviderError> {
        let _place = self.polls.try_acquire().map_err(|_| ProviderError::Busy)?;
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let tokens = self.tokens(&[("grant_type", grant), ("device_code", device_code)], clock).await?;
        match tokens.error.as_deref() {
            Some("authorization_pending") => Ok(Polled::Pending { slower: false }),
            Some("slow_down") => Ok(Polled::Pending { slower: true }),
            Some(error) => Err(ProviderError::Refused(known_error(error))),
            None => Ok(Polled::Done(Box::new(self.vouched(&tokens, None, clock).await?))),
        }
    }

    /// Whom tokens stand for. What is needed and not in the ID token is asked for: most providers have it there alone.
    async fn vouched(
        &self,
        tokens: &Tokens,
        nonce: Option<&str>,
        clock: &dyn Surroundings,
    ) -> Result<Claims, ProviderError> {
        let token = tokens.id_token.as_ref().ok_or(ProviderError::Answer("there is no ID token"))?;
        let (issuer, client_id) = (self.settings.issuer.as_str(), self.settings.client_id.as_str());
        let expected = Expected { issuer, client_id, nonce, now_unix_s: clock.now_unix_ms() / 1000 };
        let mut claims = self.known.believe(token, expected, self.source(clock)).await?;
        let missing = self.gives.claims().chain([USER_NAME]).any(|claim| !claims.more.contains_key(claim));
        let said = self.discovered(clock).await?;
        let (Some(url), Some(access)) = (&said.userinfo_endpoint, &tokens.access_token) else {
            return Ok(claims);
        };
        if missing {
            let info: UserInfo = self.wire.get(url, Some(access)).await?;
            if info.sub != claims.sub {
                return Err(ProviderError::Answer("it says who somebody else is"));
            }
            for (name, value) in info.more {
                claims.more.entry(name).or_insert(value);
            }
        }
        Ok(claims)
    }

    async fn tokens(
        &self,
        fields: &[(&str, &str)],
        clock: &dyn Surroundings,
    ) -> Result<Tokens, ProviderError> {
        let said = self.discovered(clock).await?;
        let endpoint = &said.token_endpoint;
        let (taken, body) = self.post(endpoint, fields).await?;
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
