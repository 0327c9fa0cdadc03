//! Which web pages of others may use a bucket from a browser, and what they are told: no catalog, no protocol but the headers.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

/// Names of headers that a question has at most: with the limits of rules, they bound what a stranger's question costs.
const ASKED_HEADERS_MAX: usize = 100;

/// All rules of a bucket, as they are kept. The first that takes a request answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cors {
    pub(crate) rules: Vec<CorsRule>,
}

/// One rule. In origins and in names of headers one `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorsRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) exposed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_seconds: Option<u32>,
}

/// What a browser says of a page's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// It is made now.
    Made {
        /// The page's origin.
        origin: &'a str,
        method: &'a str,
    },
    /// May it be made?
    Question {
        /// The page's origin.
        origin: &'a str,
        method: &'a str,
        /// Names of headers it would have.
        headers: Vec<&'a str>,
    },
}

/// Why a question is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoQuestion {
    #[error("an OPTIONS request has the header Origin")]
    Origin,
    #[error("an OPTIONS request has the header Access-Control-Request-Method")]
    Method,
    #[error("Access-Control-Request-Headers has at most {ASKED_HEADERS_MAX} names")]
    TooMany,
}

impl<'a> Asked<'a> {
    /// `None`: no page makes it.
    pub(crate) fn of(method: &'a Method, headers: &'a HeaderMap) -> Result<Option<Self>, NoQuestion> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let origin = text(&header::ORIGIN);
        if method != Method::OPTIONS {
            return Ok(origin.map(|origin| Self::Made { origin, method: method.as_str() }));
        }
        let origin = origin.ok_or(NoQuestion::Origin)?;
        let method = text(&header::ACCESS_CONTROL_REQUEST_METHOD).ok_or(NoQuestion::Method)?;
        let names = text(&header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let headers = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let headers: Vec<_> = headers.take(ASKED_HEADERS_MAX + 1).collect();
        if headers.len() > ASKED_HEADERS_MAX {
            return Err(NoQuestion::TooMany);
        }
        Ok(Some(Self::Question { origin, method, headers }))
    }

    fn origin(&self) -> &'a str {
        match self {
            Self::Made { origin, .. } | Self::Question { origin, .. } => origin,
        }
    }

    fn method(&self) -> &'a str {
        match self {
            Self::Made { method, .. } | Self::Question { method, .. } => method,
        }
    }
}

/// Whether a pattern with at most one `*` takes a text; `cased`: case counts.
fn takes(pattern: &str, text: &str, cased: bool) -> bool {
    let same = |a: &str, b: &str| if cased { a == b } else { a.eq_ignore_ascii_case(b) };
    let Some((front, back)) = pattern.split_once('*') else { return same(pattern, text) };
    let Some(behind) = text.len().checked_sub(back.len()).filter(|behind| *behind >= front.len()) else {
        return false;
    };
    text.get(..front.len()).is_some_and(|start| same(front, start))
        && text.get(behind..).is_some_and(|end| same(back, end))
}

impl CorsRule {
    fn takes(&self, asked: &Asked<'_>) -> bool {
        let allowed = |name: &&str| self.headers.iter().any(|pattern| takes(pattern, name, false));
        let headers = match asked {
            // What it has is in nobody's way: the browser has asked before.
            Asked::Made { .. } => true,
            Asked::Question { headers, .. } => headers.iter().all(allowed),
        };
        self.origins.iter().any(|pattern| takes(pattern, asked.origin(), true))
            && self.methods.iter().any(|method| method == asked.method())
            && headers
    }
}

impl Cors {
    /// Headers of the answer; `None`: no rule takes the request, and the browser keeps the answer from the page.
    pub(crate) fn answer(&self, asked: &Asked<'_>) -> Option<HeaderMap> {
        let rule = self.rules.iter().find(|rule| rule.takes(asked))?;
        let everyone = rule.origins.iter().any(|origin| origin == "*");
        let mut said = vec![(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            if everyone { "*" } else { asked.origin() }.to_owned(),
        )];
        if !everyone {
            said.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned()));
        }
        if let Asked::Question { headers, .. } = asked {
            said.push((header::ACCESS_CONTROL_ALLOW_METHODS, rule.methods.join(", ")));
            said.push((header::ACCESS_CONTROL_ALLOW_HEADERS, headers.join(", ")));
            said.extend(rule.max_age_seconds.map(|age| (header::ACCESS_CONTROL_MAX_AGE, age.to_string())));
        }
        said.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, rule.exposed.join(", ")));
        let said = said.into_iter().filter(|(_, value)| !value.is_empty());
        Some(said.filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> CorsRule {
        CorsRule {
            id: None,
            origins: vec!["https://*.example.com".into()],
            methods: vec!["PUT".into(), "GET".into()],
            headers: vec!["x-amz-*".into(), "Content-Type".into()],
            exposed: vec!["ETag".into()],
            max_age_seconds: Some(60),
        }
    }

    fn question<'a>(origin: &'a str, method: &'a str, headers: &[&'a str]) -> Asked<'a> {
        Asked::Question { origin, method, headers: headers.to_vec() }
    }

    #[test]
    fn the_first_rule_that_takes_a_request_answers() {
        let everyone = CorsRule { origins: vec!["*".into()], methods: vec!["GET".into()], ..rule() };
        let cors = Cors { rules: vec![rule(), everyone] };
        let said = cors.answer(&question("https://a.example.com", "PUT", &["content-type", "X-Amz-Date"]));
        let said = said.unwrap();
        assert_eq!(said[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example.com");
        assert_eq!(said[header::ACCESS_CONTROL_ALLOW_METHODS], "PUT, GET");
        assert_eq!(said[header::ACCESS_CONTROL_ALLOW_HEADERS], "content-type, X-Amz-Date");
        assert_eq!(said[header::ACCESS_CONTROL_MAX_AGE], "60");
        assert_eq!(said[header::ACCESS_CONTROL_EXPOSE_HEADERS], "ETag");
        let made = Asked::Made { origin: "https://other.org", method: "GET" };
        let said = cors.answer(&made).unwrap();
        assert_eq!(said[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!said.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(!said.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS), "it is no question");
        for (origin, method, headers) in [
            ("https://other.org", "PUT", &[][..]),
            ("https://a.example.com", "DELETE", &[]),
            ("https://a.example.com", "PUT", &["authorization"]),
            ("https://A.EXAMPLE.COM", "PUT", &[]),
            ("https://.example.co", "PUT", &[]),
            ("https://example.com", "PUT", &[]),
        ] {
            assert_eq!(
                cors.answer(&question(origin, method, headers)),
                None,
                "{origin} {method} {headers:?}"
            );
        }
    }

    #[test]
    fn a_star_stands_for_anything_once() {
        for (pattern, text) in [("a*b", "ab"), ("a*b", "axxb"), ("*", ""), ("a", "a"), ("*ö", "aö")] {
            assert!(takes(pattern, text, true), "{pattern} {text}");
        }
        for (pattern, text) in
            [("ab*ba", "aba"), ("a*", "b"), ("a", "ab"), ("ä*", "a"), ("*b", "ö"), ("A*", "a")]
        {
            assert!(!takes(pattern, text, true), "{pattern} {text}");
        }
        assert!(takes("X-Amz-*", "x-amz-date", false));
    }

    #[test]
    fn a_question_says_what_it_asks() {
        let of = |method: Method, pairs: &[(&'static str, &str)]| {
            let pairs =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            let headers: HeaderMap<HeaderValue> = pairs.collect();
            Asked::of(&method, &headers).map(|asked| asked.map(|asked| format!("{asked:?}")))
        };
        let (origin, wanted) = (("origin", "https://a"), ("access-control-request-method", "PUT"));
        assert_eq!(of(Method::GET, &[]), Ok(None));
        assert!(of(Method::GET, &[origin]).unwrap().unwrap().starts_with("Made"));
        assert_eq!(of(Method::OPTIONS, &[wanted]), Err(NoQuestion::Origin));
        assert_eq!(of(Method::OPTIONS, &[origin]), Err(NoQuestion::Method));
        let names = |count: usize| vec!["x"; count].join(",");
        let with =
            |names: &str| of(Method::OPTIONS, &[origin, wanted, ("access-control-request-headers", names)]);
        assert!(with(&names(ASKED_HEADERS_MAX)).is_ok());
        assert_eq!(with(&names(ASKED_HEADERS_MAX + 1)), Err(NoQuestion::TooMany));
        assert!(with("a, ,b").unwrap().unwrap().contains(r#"["a", "b"]"#));
    }

    /// As the first version wrote them: later ones read it.
    const KEPT: &str =
        r#"{"rules":[{"origins":["*"],"methods":["GET"],"headers":[],"exposed":[],"max_age_seconds":5}]}"#;

    #[test]
    fn kept_rules_read_as_they_were_written() {
        let read: Cors = serde_json::from_str(KEPT).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), KEPT);
    }
}
