//! An answer as it is kept, to be given again.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use datamesh_catalog::limits::KEYED_ANSWER_BYTES_MAX;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::problem::Problem;

/// The first byte of what is sealed: another layout gets another.
const VERSION: u8 = 1;
/// Bytes of a body at most: with headers and seal it fits into the catalog.
const BODY_BYTES_MAX: usize = KEYED_ANSWER_BYTES_MAX - (1 << 10);
/// Headers that are the answer's own; all others are made anew for each request.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::CACHE_CONTROL, header::LOCATION];

/// Status, headers and body. The body may show a secret.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    status: u16,
    /// Which of [`KEPT`], and what it says.
    headers: Vec<(u8, String)>,
    body: Vec<u8>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

/// Why bytes are no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("it is of another version")]
    Version,
    #[error("it is no answer")]
    Malformed(#[from] postcard::Error),
}

impl Answer {
    /// What is kept of a response, and that response.
    ///
    /// # Errors
    /// When its body is longer than is kept: no route that takes keys gives such a one.
    pub(super) async fn of(response: Response) -> Result<(Self, Response), Problem> {
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
        let body = body.map_err(|error| {
            Problem::internal(
                "it is done, but its answer is too long to be kept by an Idempotency-Key",
                &error,
            )
        })?;
        let kept = KEPT.iter().zip(0_u8..).filter_map(|(name, number)| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some((number, value.to_owned()))
        });
        let (status, headers) = (parts.status.as_u16(), kept.collect());
        let answer = Self { status, headers, body: body.to_vec() };
        Ok((answer, Response::from_parts(parts, Body::from(body))))
    }

    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, AnswerError> {
        // Room for all of it: what grows is copied, and copies are not wiped.
        let mut bytes = Vec::with_capacity(KEYED_ANSWER_BYTES_MAX);
        bytes.push(VERSION);
        Ok(Zeroizing::new(postcard::to_extend(self, bytes)?))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, AnswerError> {
        let body = bytes.strip_prefix(&[VERSION]).ok_or(AnswerError::Version)?;
        Ok(postcard::from_bytes(body)?)
    }

    pub(super) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(Bytes::copy_from_slice(&self.body)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        for (number, value) in &self.headers {
            if let Some(name) = KEPT.get(usize::from(*number))
                && let Ok(value) = HeaderValue::try_from(value)
            {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_given_again_as_it_was() {
        let mut response = Response::new(Body::from("{}"));
        *response.status_mut() = StatusCode::CREATED;
        for (name, value) in
            [("content-type", "application/json"), ("cache-control", "no-store"), ("x-other", "x")]
        {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let (answer, first) = Answer::of(response).await.unwrap();
        let again = Answer::decode(&answer.encode().unwrap()).unwrap().response();
        assert_eq!((first.status(), again.status()), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!(
            (again.headers().len(), &again.headers()["cache-control"]),
            (2, &"no-store".parse().unwrap())
        );
        let bodies = [first, again].map(|response| axum::body::to_bytes(response.into_body(), 100));
        for body in bodies {
            assert_eq!(&body.await.unwrap()[..], b"{}");
        }
    }

    /// Fixed: a gateway of a later version opens what this one kept.
    #[test]
    fn the_form_stays() {
        let headers = vec![(0, "application/json".to_owned())];
        let answer = Answer { status: 201, headers, body: b"{}".to_vec() };
        assert_eq!(
            hex::encode(&answer.encode().unwrap()[..]),
            "01c9010100106170706c69636174696f6e2f6a736f6e027b7d"
        );
        assert!(
            Answer::decode(&[]).is_err() && Answer::decode(&[2, 1]).is_err() && Answer::decode(&[1]).is_err()
        );
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_kept() {
        let long = Response::new(Body::from(vec![b'x'; BODY_BYTES_MAX + 1]));
        assert!(Answer::of(long).await.is_err());
    }
}
