//! Bodies in chunks (`aws-chunked`) on their way to the library, which undoes them. It keeps a chunk until all of it has come, however
//! long it is, and takes a body that ends between two chunks for a whole one; what is held against limits here it never sees otherwise.

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, header};

use crate::api::Refused;
use crate::problem::Kind;

/// Bytes of a signed chunk at most: it lies in memory, beside the budget of all transfers, until its signature was compared. Clients
/// sign 64 to 128 KiB at a time.
pub(super) const SIGNED_CHUNK_BYTES_MAX: u32 = 16 << 20;
/// Bytes of the line in front of a chunk at most: a size, a signature and what names it take 91.
const LINE_BYTES_MAX: usize = 128;
/// Digits of a chunk's size at most: the library reads no more of them.
const SIZE_DIGITS_MAX: usize = 8;
const SIGNATURE: &[u8] = b"chunk-signature=";
const SIGNATURE_DIGITS: usize = 64;
const LINE_END: &[u8] = b"\r\n";
const PAYLOAD_HASH: &str = "x-amz-content-sha256";

/// What is wrong with a body in chunks. The library hands errors on as text, so the texts are what they are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("a line in front of a chunk is malformed")]
    Malformed,
    #[error("a signed chunk is too long")]
    TooLong,
    #[error("the last chunk did not come")]
    Cut,
}

impl Wrong {
    const ALL: [Self; 3] = [Self::Malformed, Self::TooLong, Self::Cut];

    /// The one that a text tells of.
    pub(super) fn told_in(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wrong| text.ends_with(&wrong.to_string()))
    }

    pub(super) fn refused(self) -> Refused {
        match self {
            Self::Malformed => Refused(Kind::InvalidBody, "the body is not in chunks of aws-chunked"),
            Self::TooLong => Refused(Kind::TooLarge, "a signed chunk of aws-chunked has at most 16 MiB"),
            Self::Cut => Refused(Kind::BodyIncomplete, "the body ended before its last chunk (0)"),
        }
    }
}

/// Where in a body in chunks the next byte stands.
#[derive(Debug)]
enum At {
    /// In the line in front of a chunk, of which this has come.
    Line(Vec<u8>),
    /// In a chunk, of which so many bytes are to come.
    Chunk(u32),
    /// In the line end behind a chunk, of which so many bytes have come.
    End(usize),
    /// Behind the last chunk.
    Trailer,
}

/// Follows a body in chunks.
#[derive(Debug)]
pub(super) struct Frames {
    signed: bool,
    at: At,
}

impl Frames {
    /// For a request whose body the library takes for one in chunks.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let hash = headers.get(PAYLOAD_HASH).filter(|_| headers.contains_key(header::AUTHORIZATION))?;
        let mode = hash.as_bytes().strip_prefix(b"STREAMING-")?;
        Some(Self { signed: !mode.starts_with(b"UNSIGNED-"), at: At::Line(Vec::new()) })
    }

    /// What is to be handed on of the next bytes: signed chunks as they are; those without a signature cut where these bytes end, so that
    /// nobody waits for the rest.
    ///
    /// # Errors
    /// The line in front of a chunk is no such line, or the chunk is longer than a signed one may be.
    fn pass(&mut self, bytes: Bytes) -> Result<Vec<Bytes>, Wrong> {
        let (mut rest, mut out) = (bytes.clone(), Vec::new());
        while !rest.is_empty() {
            match &mut self.at {
                At::Line(line) => {
                    let more = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
                    if line.len() + more > LINE_BYTES_MAX {
                        return Err(Wrong::Malformed);
                    }
                    line.extend_from_slice(&rest.split_to(more));
                    if line.ends_with(b"\n") {
                        let size = size_of(line, self.signed)?;
                        out.extend((size == 0).then(|| Bytes::from_static(b"0\r\n")));
                        self.at = if size == 0 { At::Trailer } else { At::Chunk(size) };
                    }
                }
                At::Chunk(left) => {
                    let piece = rest.split_to(rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
                    *left -= u32::try_from(piece.len()).unwrap_or(*left);
                    if *left == 0 {
                        self.at = At::End(0);
                    }
                    if !self.signed {
                        let line = Bytes::from(format!("{:x}\r\n", piece.len()));
                        out.extend([line, piece, Bytes::from_static(LINE_END)]);
                    }
                }
                At::End(came) => {
                    if rest.split_to(1)[..] != LINE_END[*came..=*came] {
                        return Err(Wrong::Malformed);
                    }
                    *came += 1;
                    if *came == LINE_END.len() {
                        self.at = At::Line(Vec::new());
                    }
                }
                At::Trailer => out.push(std::mem::take(&mut rest)),
            }
        }
        Ok(if self.signed { vec![bytes] } else { out })
    }

    /// The body has ended.
    fn end(&self) -> Result<(), Wrong> {
        if matches!(self.at, At::Trailer) { Ok(()) } else { Err(Wrong::Cut) }
    }

    /// The body as it goes to the library.
    pub(super) fn guard(self, body: Body) -> Body {
        let pieces =
            stream::try_unfold((body.into_data_stream(), self), |(mut body, mut frames)| async move {
                match body.next().await {
                    Some(bytes) => {
                        let pieces = frames.pass(bytes?).map_err(axum::Error::new)?;
                        Ok::<_, axum::Error>(Some((pieces, (body, frames))))
                    }
                    None => frames.end().map(|()| None).map_err(axum::Error::new),
                }
            });
        let pieces = pieces.map_ok(|pieces| stream::iter(pieces).map(Ok::<_, axum::Error>)).try_flatten();
        Body::from_stream(pieces)
    }
}

/// The size in the line in front of a chunk, which must have the form that the body's mode wants.
fn size_of(line: &[u8], signed: bool) -> Result<u32, Wrong> {
    let line = line.strip_suffix(LINE_END).ok_or(Wrong::Malformed)?;
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let signature = line.get(size.len() + 1..);
    let signature = signature.map(|extension| extension.strip_prefix(SIGNATURE).unwrap_or_default());
    let good = match signature {
        Some(digits) => {
            signed && digits.len() == SIGNATURE_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
        }
        None => !signed,
    };
    if !good || size.len() > SIZE_DIGITS_MAX || !size.iter().all(u8::is_ascii_hexdigit) {
        return Err(Wrong::Malformed);
    }
    let size = std::str::from_utf8(size).ok().and_then(|size| u32::from_str_radix(size, 16).ok());
    let size = size.ok_or(Wrong::Malformed)?;
    if signed && size > SIGNED_CHUNK_BYTES_MAX { Err(Wrong::TooLong) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(signed: bool) -> Frames {
        Frames { signed, at: At::Line(Vec::new()) }
    }

    /// What is handed on of a body that comes in these pieces.
    fn passed(signed: bool, pieces: &[&[u8]]) -> Result<Vec<u8>, Wrong> {
        let (mut frames, mut out) = (frames(signed), Vec::new());
        for piece in pieces {
            out.extend(frames.pass(Bytes::copy_from_slice(piece))?.concat());
        }
        frames.end().map(|()| out)
    }

    fn line(size: &str) -> String {
        format!("{size};chunk-signature={}\r\n", "0a".repeat(32))
    }

    #[test]
    fn signed_chunks_pass_as_they_are_and_others_are_cut() {
        let body = format!("{}hello\r\n{}a: b\r\n\r\n", line("5"), line("0"));
        let (one, other) = body.as_bytes().split_at(80);
        assert_eq!(passed(true, &[one, other]).unwrap(), body.as_bytes());
        let body = b"0005\r\nhello\r\n0\r\na: b\r\n\r\n" as &[u8];
        assert_eq!(passed(false, &[body]).unwrap(), b"5\r\nhello\r\n0\r\na: b\r\n\r\n");
        assert_eq!(
            passed(false, &[&body[..8], &body[8..]]).unwrap(),
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\na: b\r\n\r\n"
        );
    }

    #[test]
    fn what_is_no_chunk_is_refused_where_it_stands() {
        let malformed = [
            "5\n",
            "\r\n",
            "g\r\n",
            "+5\r\n",
            "123456789\r\n",
            "ffffffffffffffff\r\n",
            "5;a=b\r\n",
            "5;\r\n",
            "5 \r\n",
            &line("5"),
            &"0".repeat(200),
            "5\r\nhelloX",
        ];
        for body in malformed {
            assert_eq!(passed(false, &[body.as_bytes()]), Err(Wrong::Malformed), "{body}");
        }
        let of_signed =
            ["5\r\n".to_owned(), line("5").replace("0a0a", "0a0"), line("5").replace("0a0a", "0z0a")];
        for body in of_signed.iter().chain([&format!("{}hello\r\r", line("5"))]) {
            assert_eq!(passed(true, &[body.as_bytes()]), Err(Wrong::Malformed), "{body}");
        }
        assert_eq!(passed(true, &[line("1000001").as_bytes()]), Err(Wrong::TooLong));
        for cut in ["", "5\r\nhello\r\n", "5\r\nhel", "5", "5\r\nhello"] {
            assert_eq!(passed(false, &[cut.as_bytes()]), Err(Wrong::Cut), "{cut}");
        }
    }

    #[test]
    fn no_chunk_is_waited_for_however_long_it_says_it_is() {
        let mut frames = frames(false);
        assert!(frames.pass(Bytes::from_static(b"ffffffff\r\n")).unwrap().is_empty());
        let piece = Bytes::from(vec![0; 1 << 10]);
        assert_eq!(frames.pass(piece.clone()).unwrap()[..2], [Bytes::from_static(b"400\r\n"), piece]);
    }

    #[test]
    fn what_the_library_makes_of_an_error_is_known_again() {
        for wrong in Wrong::ALL {
            let text = format!("AwsChunkedStreamError: Underlying: {}", axum::Error::new(wrong));
            assert_eq!(Wrong::told_in(&text), Some(wrong));
        }
        assert_eq!(Wrong::told_in("AwsChunkedStreamError: Incomplete"), None);
    }

    proptest::proptest! {
        #[test]
        fn however_it_comes_the_same_bytes_arrive(
            chunks in proptest::collection::vec(proptest::collection::vec(0_u8.., 1..50), 0..5), at in 1_usize..20,
        ) {
            let data = chunks.concat();
            let mut body: Vec<u8> =
                chunks.iter().flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, LINE_END].concat()).collect();
            body.extend(b"0\r\n\r\n");
            let once = passed(false, &body.chunks(at).collect::<Vec<_>>()).unwrap();
            // What was handed on is again such a body, of the same bytes.
            let (mut frames, mut again) = (frames(false), Vec::new());
            for piece in frames.pass(Bytes::from(once)).unwrap().chunks(3).filter(|pieces| pieces.len() == 3) {
                again.extend_from_slice(&piece[1]);
            }
            proptest::prop_assert_eq!(again, data);
        }
    }
}
