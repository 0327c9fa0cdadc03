//! Who asks, and whether they may: a token of the files, or a session or token whose row is read for each request
//! ([ADR 31](../../../../docs/adr/0031-credentials-are-rows.md)).

mod files;
mod principal;

use std::net::IpAddr;

use http::{HeaderMap, Method, header};

use crate::accounts::Accounts;
use crate::problem::{Kind, Problem};

pub use files::{TokenError, Tokens};
pub(crate) use principal::{Need, Principal, Via, Who};

/// The cookie that carries a session: only ever sent to the host that set it, and only by TLS.
pub(crate) const COOKIE: &str = "__Host-datamesh";
/// What a page must send with a change that its cookie stands for: another site's page cannot, without being asked for leave first.
pub(crate) const CHANGE_HEADER: &str = "datamesh-request";

/// Where a request came from, as its connection says. Nothing a client writes into a header is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) IpAddr);

/// What a request shows of who sends it.
pub(crate) enum Shown<'a> {
    /// A token of the files.
    Holder(Principal),
    /// What is to be looked up: see [`owner`].
    Credential(&'a str),
}

/// Reads what a request shows. Looks nothing up.
///
/// # Errors
/// `unauthorized` without anything, `forbidden` for a change by cookie that a page of another site could have sent.
pub(crate) fn shown<'a>(
    tokens: &Tokens,
    (method, headers): (&Method, &'a HeaderMap),
) -> Result<Shown<'a>, Problem> {
    let given = match (bearer(headers), cookie(headers)) {
        (Some(token), _) => token,
        (None, Some(session)) => {
            may_be_sent_by_cookie(method, headers)?;
            session
        }
        (None, None) => {
            return Err(Problem::new(Kind::Unauthorized, "send the header `Authorization: Bearer <token>`"));
        }
    };
    let holder = tokens.role_of(given).map(Principal::holder);
    Ok(holder.map_or(Shown::Credential(given), Shown::Holder))
}

/// Whose a session or token is, by its row.
///
/// # Errors
/// `unauthorized` when it is not known.
pub(crate) async fn owner(
    accounts: &Accounts,
    credential: &str,
    from: Option<Address>,
) -> Result<Principal, Problem> {
    let known = accounts.authenticate(credential, from).await?;
    known.ok_or_else(|| Problem::new(Kind::Unauthorized, "the token is not known to this cluster"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// A browser sends cookies by itself; whether the page that had it do so is ours, these two say.
fn may_be_sent_by_cookie(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let ours = site.is_none_or(|site| site == b"same-origin");
    if method.is_safe() || (ours && headers.contains_key(CHANGE_HEADER)) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Forbidden,
        "send the header `DataMesh-Request: 1` with changes that a cookie stands for",
    )
    .in_header("DataMesh-Request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn tokens_are_read_from_their_places_alone() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer  abc ")])), Some("abc"));
        for wrong in ["Bearer", "Basic abc", "abc"] {
            assert_eq!(bearer(&headers(&[("authorization", wrong)])), None, "{wrong}");
        }
        assert_eq!(cookie(&headers(&[("cookie", "a=b; __Host-datamesh=abc; c=d")])), Some("abc"));
        assert_eq!(cookie(&headers(&[("cookie", "datamesh=abc")])), None);
    }

    #[test]
    fn a_cookie_changes_nothing_for_another_site_s_page() {
        let may = |method: Method, pairs| may_be_sent_by_cookie(&method, &headers(pairs)).is_ok();
        assert!(may(Method::GET, &[]));
        assert!(!may(Method::POST, &[]));
        assert!(may(Method::POST, &[("datamesh-request", "1")]));
        assert!(may(Method::POST, &[("datamesh-request", "1"), ("sec-fetch-site", "same-origin")]));
        assert!(!may(Method::POST, &[("datamesh-request", "1"), ("sec-fetch-site", "cross-site")]));
        assert!(!may(Method::DELETE, &[("datamesh-request", "1"), ("sec-fetch-site", "same-site")]));
    }
}
