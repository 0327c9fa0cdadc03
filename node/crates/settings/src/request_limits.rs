//! How many requests a gateway takes of whom, by each of its two ports. More are refused before anything is done for them.

use serde::{Deserialize, Serialize};

/// Requests at once, or a second, at most: what is beyond it is no limit any more.
pub const REQUESTS_MAX: u32 = 10_000_000;

/// Limits of both ports. Each gateway counts by itself, and each port apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RequestLimits {
    /// Of REST.
    pub rest: PortLimits,
    /// Of S3.
    pub s3: PortLimits,
}

/// Limits of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortLimits {
    /// Of one address (of IPv6: a /64) that shows no credential.
    pub strangers: RequestRate,
    /// Of one address whose credential or signature is not known, or not looked at yet. Whoever is known has theirs back.
    pub addresses: RequestRate,
    /// Of one user, by S3 with all keys together, of one holder of a token file, or of one key of S3 that is no user's, from wherever they ask.
    pub known: RequestRate,
}

/// So many requests at once, and so many a second at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Said")]
pub struct RequestRate {
    burst: u32,
    per_second: u32,
}

/// A rate as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    burst: u32,
    per_second: u32,
}

/// A rate that would let nobody through, or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "burst is {burst} and perSecond {per_second}: perSecond is at least 1, burst at least perSecond and at most {REQUESTS_MAX}"
)]
pub struct RequestRateError {
    burst: u32,
    per_second: u32,
}

impl RequestRate {
    /// A rate.
    ///
    /// # Errors
    /// When it would let nobody through, or is beyond [`REQUESTS_MAX`].
    pub fn new(burst: u32, per_second: u32) -> Result<Self, RequestRateError> {
        if per_second >= 1 && burst >= per_second && burst <= REQUESTS_MAX {
            return Ok(Self { burst, per_second });
        }
        Err(RequestRateError { burst, per_second })
    }

    /// Requests at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Requests a second, at length.
    #[must_use]
    pub const fn per_second(&self) -> u32 {
        self.per_second
    }
}

impl TryFrom<Said> for RequestRate {
    type Error = RequestRateError;

    fn try_from(Said { burst, per_second }: Said) -> Result<Self, RequestRateError> {
        Self::new(burst, per_second)
    }
}

impl RequestLimits {
    /// Whether they are the usual ones, which the file leaves out: builds that know no such setting can read it.
    pub(crate) fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for RequestLimits {
    /// Generous: many people may have one address. Strangers to REST sign in and read its description; of S3 they may read whole sites.
    fn default() -> Self {
        let rate = |burst, per_second| RequestRate { burst, per_second };
        Self {
            rest: PortLimits {
                strangers: rate(2000, 500),
                addresses: rate(20_000, 5000),
                known: rate(200_000, 50_000),
            },
            s3: PortLimits {
                strangers: rate(20_000, 5000),
                addresses: rate(200_000, 50_000),
                known: rate(200_000, 50_000),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_somebody_through() {
        assert!(RequestRate::new(1, 1).is_ok() && RequestRate::new(REQUESTS_MAX, 1).is_ok());
        for (burst, per_second) in [(0, 0), (1, 0), (0, 1), (4, 5), (REQUESTS_MAX + 1, 1)] {
            assert!(RequestRate::new(burst, per_second).is_err(), "{burst} {per_second}");
        }
        let usual = RequestLimits::default();
        for port in [usual.rest, usual.s3] {
            for rate in [port.strangers, port.addresses, port.known] {
                assert_eq!(RequestRate::new(rate.burst, rate.per_second), Ok(rate));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_remedy() {
        let read = |text: &str| serde_yaml::from_str::<RequestRate>(text);
        assert_eq!(read("{burst: 5, perSecond: 5}").unwrap(), RequestRate { burst: 5, per_second: 5 });
        let error = read("{burst: 4, perSecond: 5}").unwrap_err().to_string();
        assert!(error.contains("burst at least perSecond"), "{error}");
        assert!(read("{burst: 4}").is_err() && read("{burst: 4, perSecond: 1, x: 1}").is_err());
    }
}
