//! Requests to a provider: all it answers is bounded, none of it is logged.

use std::path::Path;
use std::time::Duration;

use http::{HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::OidcError;
use super::token::TokenError;
use crate::outward::Authorities;

/// How long one request to a provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests to one provider at once at most: one that does not answer must not hold everything else.
const REQUESTS_AT_ONCE: usize = 32;
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// What stays as it is in a query and a form.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a provider was of no use, or did not vouch for anybody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It is asked too much.
    #[error("as many questions to the provider as may be are under way")]
    Busy,
    /// It did not answer a moment ago, or has not yet.
    #[error("the provider is asked who it is at this moment, or did not answer a moment ago: try again soon")]
    Lately,
    #[error("the provider cannot be reached, or does not prove who it is")]
    Unreachable(#[source] reqwest::Error),
    #[error("the provider's answer is not what it must be: {0}")]
    Answer(&'static str),
    #[error("the provider refuses: {0}")]
    Refused(&'static str),
    #[error("the provider's token is not believed: {0}")]
    Token(#[from] TokenError),
    #[error("the client's secret cannot be read")]
    Secret(#[from] datamesh_settings::SettingsError),
}

impl ProviderError {
    /// Whether it is about who signs in, and not a fault of the provider or the way there.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Token(_))
    }
}

/// A way to one provider.
#[derive(Debug)]
pub(super) struct Wire {
    http: reqwest::Client,
    places: Semaphore,
}

impl Wire {
    /// `ca_file`: who alone vouches for it; none: the public authorities.
    pub(super) fn open(provider: &str, ca_file: Option<&Path>) -> Result<Self, OidcError> {
        let of = || provider.to_owned();
        let authorities =
            Authorities::of(ca_file).map_err(|source| OidcError::Authorities { provider: of(), source })?;
        let http = authorities.client(|client| client.https_only(true).timeout(PATIENCE));
        let http = http.map_err(|_| OidcError::Client { provider: of() })?;
        Ok(Self { http, places: Semaphore::new(REQUESTS_AT_ONCE) })
    }

    /// Asks for a document; `bearer`: with this token.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        bearer: Option<&str>,
    ) -> Result<T, ProviderError> {
        let request = self.http.get(url);
        let request = bearer.into_iter().fold(request, RequestBuilder::bearer_auth);
        let (taken, body) = self.ask(request).await?;
        if taken { read(&body) } else { Err(ProviderError::Answer("it does not say what it is")) }
    }

    /// Posts a form; whether it was taken, and the answer.
    pub(super) async fn post(
        &self,
        url: &str,
        authorization: Option<HeaderValue>,
        fields: &[(&str, &str)],
    ) -> Result<(bool, Zeroizing<Vec<u8>>), ProviderError> {
        let mut request = self.http.post(url);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(form(fields).as_bytes().to_vec())).await
    }

    async fn ask(&self, request: RequestBuilder) -> Result<(bool, Zeroizing<Vec<u8>>), ProviderError> {
        let _place = self.places.try_acquire().map_err(|_| ProviderError::Busy)?;
        let lost = |error: reqwest::Error| ProviderError::Unreachable(error.without_url());
        let mut response = request.header(header::ACCEPT, "application/json").send().await.map_err(lost)?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(ProviderError::Answer("it is too long"));
            }
            body.extend_from_slice(&piece);
        }
        Ok((response.status().is_success(), body))
    }
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(body).map_err(|_| ProviderError::Answer("a field is missing, or it is no JSON"))
}

/// A value as a form or a query has it.
pub(super) fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(utf8_percent_encode(text, FORM).to_string())
}

/// A form, or a query.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(&encoded(value));
    }
    text
}
