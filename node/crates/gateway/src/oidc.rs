//! Providers of OpenID Connect that users may sign in at ([ADR 42](../../../../docs/adr/0042-openid-connect-without-a-library.md)).
//!
//! * `token`: what an ID token must be to be believed; pure.
//! * `pending`: what a sign-in needs to know when it comes back, sealed in the browser's cookie or the device's handle.
//! * `given`: which role and which groups claims give; pure.
//! * `known`: what a provider says of itself, and its keys.
//! * `wire`: bounded requests to a provider.
//! * `provider`: one provider: exchanges with it.

mod given;
mod known;
mod pending;
mod provider;
mod token;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use datamesh_settings::SettingsError;
use datamesh_settings::oidc::OidcSettings;

use crate::outward::NoAuthorities;

pub(crate) use pending::{Binds, DEVICE_MS_MAX, Device, PENDING_MS, Pending, Sealed};
pub(crate) use provider::{Polled, Provider, ProviderError};
pub(crate) use token::Claims;

/// Providers at most.
const PROVIDERS_MAX: usize = 16;

/// Why the providers of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// A field.
    #[error("oidc.{field} of `{provider}`: {remedy}")]
    Field {
        /// Which provider.
        provider: String,
        /// Which field.
        field: &'static str,
        /// What it should be.
        remedy: &'static str,
    },
    /// Nobody could come back.
    #[error(
        "publicUrl: write where browsers reach the API, like `https://files.example.org`, without a path"
    )]
    PublicUrl,
    /// Too many, or two of one name.
    #[error("oidc: at most {PROVIDERS_MAX} providers, each with a name and an issuer of its own")]
    Names,
    /// Nobody vouches for one.
    #[error("oidc.{source} (of `{provider}`)")]
    Authorities {
        /// Which provider.
        provider: String,
        /// The file's fault.
        source: NoAuthorities,
    },
    /// TLS cannot be prepared.
    #[error("oidc `{provider}`: the connection cannot be prepared")]
    Client {
        /// Which provider.
        provider: String,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] SettingsError),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// Checks the settings and the files they name; reaches for nobody. Blocking.
    ///
    /// # Errors
    /// Names the field and the remedy.
    pub fn open(public_url: Option<&str>, all: &[OidcSettings]) -> Result<Self, OidcError> {
        if all.is_empty() {
            return Ok(Self::default());
        }
        let names: BTreeSet<_> = all.iter().map(|one| &one.name).collect();
        let issuers: BTreeSet<_> = all.iter().map(|one| &one.issuer).collect();
        if all.len() > PROVIDERS_MAX || names.len() != all.len() || issuers.len() != all.len() {
            return Err(OidcError::Names);
        }
        let host = public_url.and_then(|url| url.trim_end_matches('/').strip_prefix("https://"));
        let host = host.filter(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']));
        let host = host.ok_or(OidcError::PublicUrl)?;
        let open = |settings: &OidcSettings| Provider::open(settings.clone(), host).map(Arc::new);
        Ok(Self(all.iter().map(open).collect::<Result<_, _>>()?))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Provider>> {
        self.0.iter().find(|provider| provider.name() == name).cloned()
    }

    /// All names, as the settings have them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|provider| provider.name())
    }

    /// All issuers.
    pub(crate) fn issuers(&self) -> Vec<&str> {
        self.0.iter().map(|provider| provider.issuer()).collect()
    }

    /// What the provider of an issuer is called here.
    pub(crate) fn name_of(&self, issuer: &str) -> Option<&str> {
        self.0.iter().find(|provider| provider.issuer() == issuer).map(|provider| provider.name())
    }
}
