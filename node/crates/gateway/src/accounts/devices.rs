//! Signing in a program without a browser at a provider (RFC 8628). The gateway speaks to the provider: the client's secret stays here.

use super::federated::{Where, failed, no_such_provider, not_ours};
use super::{Accounts, SignedIn};
use crate::audit::Note;
use crate::auth::Address;
use crate::oidc::{DEVICE_MS_MAX, Device, Polled, Sealed as _};
use crate::problem::Problem;
use crate::surroundings::random;

/// Seconds between two questions of a device where the provider says nothing (RFC 8628).
const INTERVAL_SECONDS: u64 = 5;

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
        // The provider remembers each: an address gets few at once. Its name is its own, so the address alone is counted.
        self.attempt(&hex::encode(random::<16>(&*self.surroundings)), from)?;
        let begun = provider.begin_device(self.now()).await.map_err(|error| failed(&provider, &error))?;
        let for_ms = begun.expires_in.saturating_mul(1000).min(DEVICE_MS_MAX);
        let device = Device {
            provider: provider.name().into(),
            device_code: begun.device_code,
            until_unix_ms: self.now().saturating_add(for_ms),
        };
        Ok(DeviceBegun {
            handle: device.seal(&self.secret, &random(&*self.surroundings)).ok_or_else(not_ours)?,
            user_code: begun.user_code,
            page: begun.verification_uri,
            page_with_code: begun.verification_uri_complete,
            seconds: for_ms / 1000,
            interval_seconds: begun.interval.unwrap_or(INTERVAL_SECONDS).clamp(1, 60),
        })
    }

    /// Signs a device in, once somebody has said yes.
    ///
    /// # Errors
    /// `forbidden` where somebody said no, or nobody in time.
    pub(crate) async fn ask_for_device(
        &self,
        (provider, handle): (&str, &str),
        place: Where<'_>,
        note: &Note,
    ) -> Result<Asked, Problem> {
        let device = Device::open(handle, &self.secret, self.now()).ok_or_else(not_ours)?;
        if device.provider != provider {
            return Err(not_ours());
        }
        let provider = self.providers.named(provider).ok_or_else(no_such_provider)?;
        let polled = provider.poll(&device.device_code, self.now()).await;
        match polled.map_err(|error| failed(&provider, &error))? {
            Polled::Pending { slower } => Ok(Asked::Later { slower }),
            Polled::Done(claims) => {
                let signed_in = self.sign_in_as((&provider, &claims), place, note).await?;
                Ok(Asked::In(Box::new(signed_in)))
            }
        }
    }
}
