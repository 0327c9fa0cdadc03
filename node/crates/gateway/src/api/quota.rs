//! How many requests an address and a user may send: more are refused with 429 before anything is done or allocated for them. Answers
//! say how much is left (`RateLimit`, draft-ietf-httpapi-ratelimit-headers).

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::auth::{Address, Principal};
use crate::limits;
use crate::problem::{Kind, Problem};
use crate::rate::{Rate, Rates, Taken};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Of all who ask.
pub(crate) struct Quotas {
    addresses: Rates<IpAddr>,
    users: Rates<String>,
}

impl Default for Quotas {
    fn default() -> Self {
        let address = Rate {
            of: "address",
            burst: limits::ADDRESS_REQUESTS,
            per_second: limits::ADDRESS_REQUESTS_PER_SECOND,
        };
        let user =
            Rate { of: "user", burst: limits::USER_REQUESTS, per_second: limits::USER_REQUESTS_PER_SECOND };
        Self::of(address, user)
    }
}

/// What was taken of a quota, for the answer's headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    rate: Rate,
    left: u32,
}

impl Quotas {
    fn of(address: Rate, user: Rate) -> Self {
        Self { addresses: Rates::new(address, limits::RATES_MAX), users: Rates::new(user, limits::RATES_MAX) }
    }

    /// Takes a request of an address.
    pub(super) fn of_address(&self, Address(from): Address, now_unix_ms: u64) -> Result<Share, Problem> {
        share(self.addresses.rate(), self.addresses.take(&network(from), now_unix_ms))
    }

    /// Takes a request of whoever asks.
    pub(super) fn of_user(&self, principal: &Principal, now_unix_ms: u64) -> Result<Share, Problem> {
        share(self.users.rate(), self.users.take(&principal.actor().name, now_unix_ms))
    }
}

fn share(rate: Rate, taken: Taken) -> Result<Share, Problem> {
    match taken {
        Taken::Left(left) => Ok(Share { rate, left }),
        Taken::Wait(seconds) => {
            let detail =
                format!("this {} sends more than {} requests a second: slow down", rate.of, rate.per_second);
            let none = Share { rate, left: 0 };
            Err(none.on_problem(Problem::new(Kind::TooManyRequests, detail), seconds))
        }
    }
}

impl Share {
    fn on_problem(self, problem: Problem, seconds: u64) -> Problem {
        let problem = problem.header(header::RETRY_AFTER, HeaderValue::from(seconds));
        self.headers().into_iter().fold(problem, |problem, (name, value)| problem.header(name, value))
    }

    fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let Self { rate: Rate { of, burst, per_second }, left } = self;
        let window = burst / per_second;
        let policy = format!("\"{of}\";q={burst};w={window}");
        let left = format!("\"{of}\";r={left};t={window}");
        let value = |text| HeaderValue::try_from(text).ok();
        [(POLICY, value(policy)), (LEFT, value(left))]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// Says in an answer what is left.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.append(name, value);
        }
    }
}

/// The address whose requests are counted together: whoever has one IPv6 address has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    #[test]
    fn who_sends_too_much_is_told_when_to_come_again() {
        let rate = Rate { of: "address", burst: 4, per_second: 2 };
        let quotas = Quotas::of(rate, rate);
        let from = |text: &str| Address(text.parse().unwrap());
        for left in (0..4).rev() {
            let mut headers = HeaderMap::new();
            quotas.of_address(from("2001:db8::1"), NOW).unwrap().tell(&mut headers);
            assert_eq!(headers["ratelimit-policy"], "\"address\";q=4;w=2");
            assert_eq!(headers["ratelimit"], format!("\"address\";r={left};t=2"));
        }
        let refused = quotas.of_address(from("2001:db8::2"), NOW).unwrap_err().into_response();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
        assert!(quotas.of_address(from("2001:db8:0:1::1"), NOW).is_ok(), "another network");
        assert!(quotas.of_address(from("2001:db8::1"), NOW + 1000).is_ok());
    }
}
