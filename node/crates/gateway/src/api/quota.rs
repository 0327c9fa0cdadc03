//! How many requests may be sent: more are refused (by REST with 429, by S3 with `SlowDown`) before anything is done or allocated for them. Whoever is known is counted
//! by name alone, and strangers by their address, so that these hold up nobody who is known. Answers say how much is left (`RateLimit`,
//! draft-ietf-httpapi-ratelimit-headers).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use datamesh_settings::request_limits::{PortLimits, RequestRate};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::auth::Address;
use crate::limits;
use crate::problem::{Kind, Problem};
use crate::rate::{Rate, Rates, Taken};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Of all who ask.
pub(crate) struct Quotas {
    /// Of addresses that show no credential.
    strangers: Rates<IpAddr>,
    /// Of addresses that show one, while it is looked up.
    addresses: Rates<IpAddr>,
    known: Rates<String>,
}

/// What was taken of a quota, for the answer's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    rate: Rate,
    taken: Taken,
}

impl Quotas {
    /// Those of one port; `known` is what those are called there who are known.
    pub(crate) fn new(limits: &PortLimits, known: &'static str) -> Self {
        let rate = |of, rate: RequestRate| Rate { of, burst: rate.burst(), per_second: rate.per_second() };
        Self {
            strangers: Rates::new(rate("stranger", limits.strangers), limits::RATES_MAX, region),
            addresses: Rates::new(rate("address", limits.addresses), limits::RATES_MAX, region),
            known: Rates::new(rate(known, limits.known), limits::RATES_MAX, String::clone),
        }
    }

    /// Takes a request of an address that shows no credential.
    pub(crate) fn of_stranger(&self, Address(from): Address, now_unix_ms: u64) -> Share {
        let taken = self.strangers.take(&network(from), now_unix_ms);
        Share { rate: self.strangers.rate(), taken }
    }

    /// Takes a request of an address whose credential is not looked up yet.
    pub(crate) fn of_address(&self, Address(from): Address, now_unix_ms: u64) -> Share {
        let taken = self.addresses.take(&network(from), now_unix_ms);
        Share { rate: self.addresses.rate(), taken }
    }

    /// The credential is known: its owner is counted, and the address is not.
    pub(crate) fn give_back(&self, Address(from): Address) {
        self.addresses.give_back(&network(from));
    }

    /// Takes a request of whoever is known by this name.
    pub(crate) fn of_known(&self, name: &str, now_unix_ms: u64) -> Share {
        let taken = self.known.take(&name.to_owned(), now_unix_ms);
        Share { rate: self.known.rate(), taken }
    }
}

impl Share {
    /// After how many seconds to come again, and why; none where the request may go on.
    pub(crate) fn refusal(self) -> Option<(u64, String)> {
        let Taken::Wait(seconds) = self.taken else { return None };
        let Rate { of, per_second, .. } = self.rate;
        Some((seconds, format!("this {of} sends more than {per_second} requests a second: slow down")))
    }

    /// Refuses a request that came too early.
    pub(crate) fn judge(self) -> Result<(), Problem> {
        let Some((seconds, detail)) = self.refusal() else { return Ok(()) };
        let problem = Problem::new(Kind::TooManyRequests, detail);
        Err(problem.header(header::RETRY_AFTER, HeaderValue::from(seconds)))
    }

    /// Says in an answer what is left, and after how many seconds all of it is back.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let Self { rate: Rate { of, burst, per_second }, taken } = self;
        let left = match taken {
            Taken::Left(left) => left,
            Taken::Wait(_) => 0,
        };
        let back = burst.saturating_sub(left).div_ceil(per_second);
        let policy = format!("\"{of}\";q={burst};w={}", burst / per_second);
        for (name, text) in [(POLICY, policy), (LEFT, format!("\"{of}\";r={left};t={back}"))] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(name, value);
            }
        }
    }
}

/// The address whose requests are counted together: whoever has one IPv6 address has a whole /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// Networks that one owner may have many of: a /48, or a /16 of IPv4.
pub(crate) fn region(network: &IpAddr) -> IpAddr {
    match network {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 16))),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    #[test]
    fn who_sends_too_much_is_told_when_to_come_again() {
        let rate = RequestRate::new(4, 2).unwrap();
        let quotas = Quotas::new(&PortLimits { strangers: rate, addresses: rate, known: rate }, "user");
        let from = |text: &str| Address(text.parse().unwrap());
        for left in (0..4).rev() {
            let mut headers = HeaderMap::new();
            let share = quotas.of_address(from("2001:db8::1"), NOW);
            share.judge().unwrap();
            share.tell(&mut headers);
            assert_eq!(headers["ratelimit-policy"], "\"address\";q=4;w=2");
            assert_eq!(headers["ratelimit"], format!("\"address\";r={left};t={}", (5 - left) / 2));
        }
        let refused = quotas.of_address(from("2001:db8::2"), NOW).judge().unwrap_err().into_response();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
        assert!(quotas.of_address(from("2001:db8:0:1::1"), NOW).judge().is_ok(), "another network");
        assert!(quotas.of_stranger(from("2001:db8::1"), NOW).judge().is_ok(), "strangers count apart");
        assert!(quotas.of_address(from("2001:db8::1"), NOW + 1000).judge().is_ok());
    }

    #[test]
    fn neighbours_are_those_of_one_owner() {
        let of = |text: &str| region(&network(text.parse().unwrap())).to_string();
        assert_eq!((of("2001:db8:7:8::1"), of("192.0.2.1")), ("2001:db8:7::".into(), "192.0.0.0".into()));
    }
}
