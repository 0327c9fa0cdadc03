//! Errors as clients see them: RFC 9457 problem details with a stable `type`.

mod kind;

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::json;

pub use kind::Kind;

/// Where the types are documented; the slug follows.
const TYPE_BASE: &str = "https://datamesh.io/problems/";

/// One problem, ready to be answered.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    field: Option<Field>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the request's path must not be told on.
    untold: bool,
}

/// What of a request is wrong.
#[derive(Debug)]
enum Field {
    /// Of the query or the path.
    Parameter(&'static str),
    Header(&'static str),
    /// Of the body, as in `members/3/zone`.
    Body(Cow<'static, str>),
}

/// Problem details (RFC 9457), of media type `application/problem+json`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Document<'a> {
    /// What kind of problem it is; programs go by this alone.
    #[schemars(transform = all_types)]
    r#type: String,
    /// The same in words.
    title: &'a str,
    /// The answer's status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What happened here, and what to do about it.
    detail: &'a str,
    /// What of the request is wrong, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The same with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong<'a>>,
}

/// One thing that is wrong with a request, by its place: one of the three.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProblemError")]
pub(crate) struct Wrong<'a> {
    /// In the body: a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// In the query or the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'a str>,
    /// What to do about it.
    detail: &'a str,
}

impl Field {
    fn name(&self) -> &str {
        match self {
            Self::Parameter(name) | Self::Header(name) => name,
            Self::Body(name) => name,
        }
    }

    fn wrong<'a>(&'a self, detail: &'a str) -> Wrong<'a> {
        let none = Wrong { pointer: None, parameter: None, header: None, detail };
        match self {
            Self::Parameter(name) => Wrong { parameter: Some(name), ..none },
            Self::Header(name) => Wrong { header: Some(name), ..none },
            Self::Body(path) => Wrong { pointer: Some(format!("#/{path}")), ..none },
        }
    }
}

fn all_types(schema: &mut Schema) {
    let types: Vec<_> = Kind::ALL.iter().map(|kind| format!("{TYPE_BASE}{}", kind.describe().1)).collect();
    schema.insert("enum".to_owned(), json!(types));
}

impl Problem {
    /// A problem; `detail` says what happened here and what to do about it.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, headers: Vec::new(), untold: false }
    }

    /// Names the parameter of path or query that is wrong.
    #[must_use]
    pub fn in_parameter(self, name: &'static str) -> Self {
        Self { field: Some(Field::Parameter(name)), ..self }
    }

    /// Names the request's header that is wrong.
    #[must_use]
    pub fn in_header(self, name: &'static str) -> Self {
        Self { field: Some(Field::Header(name)), ..self }
    }

    /// Names what is wrong in the body, as in `members/3/zone`.
    #[must_use]
    pub fn in_body(self, path: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(Field::Body(path.into())), ..self }
    }

    /// What the request names must not be told on: its client meant it for itself.
    #[must_use]
    pub(crate) fn untold(self) -> Self {
        Self { untold: true, ..self }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened here and what to do about it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A wrong parameter, in one step.
    pub fn parameter(field: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, detail).in_parameter(field)
    }

    /// A wrong header, in one step.
    pub fn request_header(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, detail).in_header(name)
    }

    /// A fault of the gateway itself: logged here, shown to the client without its inner workings.
    pub fn internal(what: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(what, error = %Chain(error), "request failed");
        Self::new(Kind::Internal, format!("{what}; the gateway's log says more under the request's id"))
    }
}

/// An error with its sources.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Goes with an answer whose request's path must not be told on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untold;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind.describe();
        let document = Document {
            r#type: format!("{TYPE_BASE}{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_ref().map(Field::name),
            errors: self.field.iter().map(|field| field.wrong(&self.detail)).collect(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            let scheme = match self.kind {
                Kind::SharePasswordRequired => "Basic realm=\"datamesh link\", charset=\"UTF-8\"",
                _ => "Bearer realm=\"datamesh\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        headers.extend(self.headers);
        if self.untold {
            response.extensions_mut().insert(Untold);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slugs_are_distinct_and_statuses_are_errors() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| kind.describe().1).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let (status, slug, title) = kind.describe();
            assert!(status.is_client_error() || status.is_server_error(), "{slug}");
            assert!(slug.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !title.is_empty());
        }
    }

    #[tokio::test]
    async fn a_problem_has_the_shape_of_rfc_9457() {
        let response = Problem::parameter("limit", "limit is 1 to 1000, not 0").into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "https://datamesh.io/problems/invalid-parameter",
                "title": "A parameter is wrong",
                "status": 400,
                "detail": "limit is 1 to 1000, not 0",
                "field": "limit",
                "errors": [{ "parameter": "limit", "detail": "limit is 1 to 1000, not 0" }],
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let told = |problem: Problem| {
            serde_json::to_value(problem.field.unwrap().wrong("x")).unwrap().as_object().unwrap().clone()
        };
        let new = || Problem::new(Kind::InvalidBody, "x");
        assert_eq!(told(new().in_body("members/3/zone"))["pointer"], "#/members/3/zone");
        assert_eq!(told(new().in_header("If-Match"))["header"], "If-Match");
        assert_eq!(told(new().in_parameter("id"))["parameter"], "id");
    }
}
