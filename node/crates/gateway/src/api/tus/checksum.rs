//! `Upload-Checksum`: what the bytes of one request are held against.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::api::{Told, Witness};
use crate::problem::{Kind, Problem};

/// As `OPTIONS` tells them. The protocol wants the first; it finds out accidents, and nobody who means harm.
pub(super) const ALGORITHMS: &str = "sha1,sha256";

struct Checksum {
    seen: Option<Context>,
    wanted: Vec<u8>,
}

/// Who checks a request's bytes, if it has a checksum.
///
/// # Errors
/// Names the header when it is none that is known.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Box<dyn Witness>>, Problem> {
    let Some(given) = headers.get("upload-checksum") else { return Ok(None) };
    let wrong = || {
        let detail = format!("it is one of {ALGORITHMS}, a blank, and the checksum in base64");
        Problem::request_header("Upload-Checksum", detail)
    };
    let text = given.to_str().map_err(|_| wrong())?;
    let (algorithm, sum) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let algorithm = match algorithm {
        "sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &SHA256,
        _ => return Err(wrong()),
    };
    let wanted = STANDARD.decode(sum.trim()).map_err(|_| wrong())?;
    if wanted.len() != algorithm.output_len() {
        return Err(wrong());
    }
    Ok(Some(Box::new(Checksum { seen: Some(Context::new(algorithm)), wanted })))
}

impl Witness for Checksum {
    fn see(&mut self, bytes: &[u8]) {
        if let Some(seen) = &mut self.seen {
            seen.update(bytes);
        }
    }

    fn judge(&mut self) -> Result<Told, Problem> {
        match self.seen.take().map(Context::finish) {
            Some(sum) if sum.as_ref() == self.wanted => Ok(Told::default()),
            _ => Err(Problem::new(Kind::ChecksumMismatch, "nothing of this request was kept: send it again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(header: &str, bytes: &[u8]) -> Result<(), Kind> {
        let headers = HeaderMap::from_iter([("upload-checksum".parse().unwrap(), header.parse().unwrap())]);
        let mut witness = of(&headers).map_err(|problem| problem.kind())?.unwrap();
        bytes.chunks(3).for_each(|some| witness.see(some));
        witness.judge().map(drop).map_err(|problem| problem.kind())
    }

    #[test]
    fn bytes_are_held_against_their_checksum() {
        assert!(of(&HeaderMap::new()).unwrap().is_none());
        // Of `hello world`, as the protocol has it.
        assert_eq!(judged("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", b"hello world"), Ok(()));
        assert_eq!(judged("sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", b"hello world"), Ok(()));
        assert_eq!(judged("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", b"hello World"), Err(Kind::ChecksumMismatch));
        for wrong in [
            "sha1",
            "md5 XrY7u+Ae7tCTyyK7j1rNww==",
            "sha1 ?",
            "sha1 Kq5s",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert_eq!(judged(wrong, b"hello world"), Err(Kind::InvalidParameter), "{wrong}");
        }
    }
}
