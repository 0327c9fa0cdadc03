//! Forms on their way to the library. It takes one whose first line comes in pieces for malformed, and reads all fields anew with each
//! piece; so it gets them in one.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// Bytes at most of a form's fields, up to where its file begins; of one field too.
pub(super) const FIELDS_BYTES_MAX: usize = 64 << 10;

/// The same body, whose first piece has [`FIELDS_BYTES_MAX`] bytes, or all there are.
pub(super) fn gathered(body: Body) -> Body {
    let gathering = async move {
        let (mut pieces, mut first) = (body.into_data_stream(), BytesMut::new());
        while first.len() < FIELDS_BYTES_MAX {
            let Some(piece) = pieces.next().await else { break };
            first.extend_from_slice(&piece?);
        }
        let behind = first.split_off(first.len().min(FIELDS_BYTES_MAX));
        let both = [first.freeze(), behind.freeze()].into_iter().filter(|piece| !piece.is_empty());
        Ok::<_, axum::Error>(stream::iter(both.map(Ok::<Bytes, axum::Error>)).chain(pieces))
    };
    Body::from_stream(stream::once(gathering).try_flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed(pieces: Vec<Result<Vec<u8>, std::io::Error>>) -> Vec<Result<Bytes, axum::Error>> {
        gathered(Body::from_stream(stream::iter(pieces))).into_data_stream().collect().await
    }

    #[tokio::test]
    async fn what_comes_first_comes_in_one_and_the_rest_as_it_is() {
        for (all, each) in [(0, 1), (5, 1), (FIELDS_BYTES_MAX, 100), (FIELDS_BYTES_MAX + 1000, 300)] {
            let sent: Vec<u8> = (0..=250).cycle().take(all).collect();
            let got = passed(sent.chunks(each).map(|piece| Ok(piece.to_vec())).collect()).await;
            let got: Vec<Bytes> = got.into_iter().map(Result::unwrap).collect();
            assert_eq!(got.concat(), sent);
            assert_eq!(got.first().map_or(0, Bytes::len), all.min(FIELDS_BYTES_MAX));
            assert!(got.iter().all(|piece| !piece.is_empty()));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_of() {
        let broken = || std::io::Error::other("gone");
        assert!(passed(vec![Ok(vec![1]), Err(broken())]).await[0].is_err());
        let got = passed(vec![Ok(vec![1; FIELDS_BYTES_MAX]), Err(broken())]).await;
        assert!(got[0].is_ok() && got[1].is_err());
    }
}
