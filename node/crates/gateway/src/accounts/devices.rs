//! Signing in a program without a browser at a provider (RFC 8628). The gateway speaks to the provider: the client's secret stays here.

use super::federated::{Where, failed, hash_of, no_such_provider, not_ours};
use super::sign_in::address_of;
use super::{Accounts, SignedIn};
use crate::audit::Note;
use crate::auth::Address;
use crate::oidc::{DEVICE_MS_MAX, Device, Polled, Provider, Sealed as _};
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// Seconds between two questions of a device where the provider says nothing (RFC 8628).
const INTERVAL_SECONDS: u64 = 5;
const INTERVAL_SECONDS_MAX: u64 = 60;

/// A device that waits for somebody to say yes.
pub(crate) struct DeviceBegun {
    pub(crate) handle: String,
    pub(crate) user_code: String,
    pub(crate) page: String,
    /// The same with the code in it.
    pub(crate) page_with_code: Option<String>,
    pub(crate) seconds: u64,
    pub(crate) interval_seconds: u64,
}

/// What a device that asks is told.
pub(crate) enum Asked {
    /// To ask again; whether less often.
    Later { slower: bool },
    /// That it is signed in.
    In(Box<SignedIn>),
}

fn too_long() -> Problem {
    Problem::new(Kind::ProviderFailed, "the provider's code for the device is too long")
}

/// Whoever shows somebody else a page and a code is them once they say yes, so it is for those to allow who know their people.
fn takes_devices(provider: &Provider) -> Result<(), Problem> {
    let detail = "no program signs in at this provider by a page and a code: its `devices` is not set";
    let taken = provider.takes_devices().then_some(());
    taken.ok_or_else(|| Problem::new(Kind::Forbidden, detail).in_parameter("provider"))
}

impl Accounts {
    /// Begins the sign-in of a device that has no browser.
    ///
    /// # Errors
    /// `invalid-parameter` for a provider that is none, `provider-failed` when it cannot be asked or knows no devices.
    pub(crate) async fn begin_device(
        &self,
        provider: &str,
        from: Option<Address>,
    ) -> Result<DeviceBegun, Problem> {
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        takes_devices(&provider)?;
        // The provider remembers each: an address gets few at once. Its name is its own, so the address alone is counted.
        let attempt = self.attempt_elsewhere(&hex::encode(random::<16>(&*self.surroundings)), from)?;
        let begun = provider.begin_device(&*self.surroundings).await.map_err(|error| {
            self.elsewhere.went_halfway(address_of(from), attempt);
            failed(&provider, &error)
        })?;
        let for_ms = begun.expires_in.saturating_mul(1000).min(DEVICE_MS_MAX);
        let interval_seconds = begun.interval.unwrap_or(INTERVAL_SECONDS).clamp(1, INTERVAL_SECONDS_MAX);
        let device = Device {
            issuer: provider.issuer().into(),
            device_code: begun.device_code,
            interval_seconds,
            until_unix_ms: self.now().saturating_add(for_ms),
        };
        Ok(DeviceBegun {
            handle: device.seal(&self.secret, &random(&*self.surroundings)).ok_or_else(too_long)?,
            user_code: begun.user_code,
            page: begun.verification_uri,
            page_with_code: begun.verification_uri_complete,
            seconds: for_ms / 1000,
            interval_seconds,
        })
    }

    /// Signs a device in, once somebody has said yes.
    ///
    /// # Errors
    /// `forbidden` where somebody said no, or nobody in time. Who asks too early is told so, and the provider is not asked.
    pub(crate) async fn ask_for_device(
        &self,
        (provider, handle): (&str, &str),
        place: Where<'_>,
        note: &Note,
    ) -> Result<Asked, Problem> {
        let device = Device::open(handle, &self.secret, self.now()).ok_or_else(not_ours)?;
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        takes_devices(&provider)?;
        if device.issuer != provider.issuer() {
            return Err(not_ours());
        }
        let interval_ms = device.interval_seconds.saturating_mul(1000);
        if !self.polls.may(hash_of(&device.device_code), interval_ms, self.now()) {
            return Ok(Asked::Later { slower: true });
        }
        let polled = provider.poll(&device.device_code, &*self.surroundings).await;
        match polled.map_err(|error| failed(&provider, &error))? {
            Polled::Pending { slower } => Ok(Asked::Later { slower }),
            Polled::Done(claims) => {
                let signed_in = self.sign_in_as((&provider, &claims), place, note).await?;
                self.elsewhere.forgive(address_of(place.from));
                Ok(Asked::In(Box::new(signed_in)))
            }
        }
    }
}
