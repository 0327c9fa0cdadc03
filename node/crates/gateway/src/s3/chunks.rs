//! Bodies in chunks (`aws-chunked`) on their way to the library, which undoes them. It keeps a chunk until all of it has come, however
//! long it is and in however small pieces, and takes a body that ends between two chunks for a whole one; what is held against limits here
//! it never sees otherwise. Of requests that nobody signed it undoes none: that is done here.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::Mutex;

use super::intake::{Intake, Paced};
use super::memory::Held;
use crate::api::Refused;
use crate::limits;
use crate::problem::Kind;

/// Bytes of a signed chunk at most: it lies in memory until its signature was compared. Clients sign 64 KiB (minio-go), 80 KiB (.NET) or
/// 128 KiB (Java) at a time; the largest chunks there are, of 1 MiB, are those that boto3 sends without a signature.
pub(super) const SIGNED_CHUNK_BYTES_MAX: u32 = 1 << 20;
/// Bytes of the line in front of a chunk at most: a size, a signature and what names it take 91.
const LINE_BYTES_MAX: usize = 128;
/// Digits of a chunk's size at most: the library reads no more of them.
const SIZE_DIGITS_MAX: usize = 8;
/// Bytes of what follows the last chunk at most, where it is read here; of other requests the library reads as many.
const TRAILER_BYTES_MAX: usize = 16 << 10;
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
            Self::TooLong => Refused(Kind::TooLarge, "a signed chunk of aws-chunked has at most 1 MiB"),
            Self::Cut => Refused(Kind::BodyIncomplete, "the body ended before its last chunk (0)"),
        }
    }
}

/// Where in a body in chunks the next byte stands.
#[derive(Debug)]
enum At {
    /// In the line in front of a chunk, of which this has come.
    Line(Vec<u8>),
    /// In front of the first byte of a chunk of so many.
    Begin(u32),
    /// In a chunk, of which so many bytes are to come.
    Chunk(u32),
    /// In a signed chunk of so many bytes, of which these have come.
    Whole(usize, BytesMut),
    /// In the line end behind a chunk, of which so many bytes have come.
    End(usize),
    /// Behind the last chunk; what has come of that, where it is read here.
    Trailer(Vec<u8>),
}

/// What becomes of the chunks.
#[derive(Clone, Debug)]
enum Mode {
    /// They are handed on, each in one piece.
    Signed,
    /// They are handed on, cut where pieces of the body end.
    Unsigned,
    /// Their bytes are.
    Undone(Trailers),
}

/// What came behind a body whose chunks are undone here, once it has.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers(Arc<Mutex<Option<HeaderMap>>>);

impl Trailers {
    /// Takes it.
    pub(super) fn take(&self) -> Option<HeaderMap> {
        self.0.lock().take()
    }
}

/// Follows a body in chunks.
#[derive(Debug)]
pub(super) struct Frames {
    mode: Mode,
    at: At,
    /// To be handed on.
    out: VecDeque<Bytes>,
}

/// What a step of [`Frames`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// More of the body.
    Bytes,
    /// Memory for a chunk of so many.
    Memory(usize),
}

impl Frames {
    fn new(mode: Mode) -> Self {
        Self { mode, at: At::Line(Vec::new()), out: VecDeque::new() }
    }

    /// For a request whose body the library takes for one in chunks.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let hash = headers.get(PAYLOAD_HASH).filter(|_| headers.contains_key(header::AUTHORIZATION))?;
        let mode = hash.as_bytes().strip_prefix(b"STREAMING-")?;
        Some(Self::new(if mode.starts_with(b"UNSIGNED-") { Mode::Unsigned } else { Mode::Signed }))
    }

    /// For a request without a signature, and where what follows its body will be.
    pub(super) fn undone() -> (Self, Trailers) {
        let trailers = Trailers::default();
        (Self::new(Mode::Undone(trailers.clone())), trailers)
    }

    /// Reads on in these bytes, until there is something to hand on or something is needed.
    ///
    /// # Errors
    /// The line in front of a chunk is no such line, or the chunk is longer than a signed one may be.
    fn step(&mut self, rest: &mut Bytes) -> Result<Option<Need>, Wrong> {
        while self.out.is_empty() {
            if rest.is_empty() {
                return Ok(Some(Need::Bytes));
            }
            match &mut self.at {
                At::Line(line) => {
                    let more = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
                    if line.len() + more > LINE_BYTES_MAX {
                        return Err(Wrong::Malformed);
                    }
                    line.extend_from_slice(&rest.split_to(more));
                    if line.ends_with(b"\n") {
                        let line = std::mem::take(line);
                        self.begin(line)?;
                    }
                }
                At::Begin(bytes) => {
                    let bytes = usize::try_from(*bytes).map_err(|_| Wrong::TooLong)?;
                    if rest.len() < bytes {
                        return Ok(Some(Need::Memory(bytes)));
                    }
                    self.out.push_back(rest.split_to(bytes));
                    self.at = At::End(0);
                }
                At::Chunk(left) => {
                    let piece = rest.split_to(rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
                    *left -= u32::try_from(piece.len()).unwrap_or(*left);
                    if *left == 0 {
                        self.at = At::End(0);
                    }
                    self.hand_on(piece);
                }
                At::Whole(bytes, whole) => {
                    whole.extend_from_slice(&rest.split_to(rest.len().min(*bytes - whole.len())));
                    if whole.len() == *bytes {
                        self.out.push_back(std::mem::take(whole).freeze());
                        self.at = At::End(0);
                    }
                }
                At::End(came) => {
                    if rest.split_to(1)[..] != LINE_END[*came..=*came] {
                        return Err(Wrong::Malformed);
                    }
                    *came += 1;
                    if *came == LINE_END.len() {
                        self.at = At::Line(Vec::new());
                        self.out.extend(self.is_signed().then(|| Bytes::from_static(LINE_END)));
                    }
                }
                At::Trailer(came) => match self.mode {
                    Mode::Undone(_) if came.len() + rest.len() > TRAILER_BYTES_MAX => {
                        return Err(Wrong::Malformed);
                    }
                    Mode::Undone(_) => came.extend_from_slice(&std::mem::take(rest)),
                    _ => self.out.push_back(std::mem::take(rest)),
                },
            }
        }
        Ok(None)
    }

    fn is_signed(&self) -> bool {
        matches!(self.mode, Mode::Signed)
    }

    /// A chunk begins with this line.
    fn begin(&mut self, line: Vec<u8>) -> Result<(), Wrong> {
        let size = size_of(&line, self.is_signed())?;
        self.at = match (size, &self.mode) {
            (0, _) => At::Trailer(Vec::new()),
            (size, Mode::Signed) => At::Begin(size),
            (size, _) => At::Chunk(size),
        };
        match self.mode {
            Mode::Signed => self.out.push_back(line.into()),
            Mode::Unsigned if size == 0 => self.out.push_back(Bytes::from_static(b"0\r\n")),
            Mode::Unsigned | Mode::Undone(_) => {}
        }
        Ok(())
    }

    /// A piece of a chunk without a signature, which is handed on at once: nobody waits for the rest.
    fn hand_on(&mut self, piece: Bytes) {
        match self.mode {
            Mode::Undone(_) => self.out.push_back(piece),
            _ => {
                let line = Bytes::from(format!("{:x}\r\n", piece.len()));
                self.out.extend([line, piece, Bytes::from_static(LINE_END)]);
            }
        }
    }

    /// There is memory for the chunk that begins here.
    fn has_memory(&mut self, bytes: usize) {
        self.at = At::Whole(bytes, BytesMut::with_capacity(bytes));
    }

    /// The body has ended.
    fn end(&self) -> Result<(), Wrong> {
        let At::Trailer(came) = &self.at else { return Err(Wrong::Cut) };
        if let Mode::Undone(trailers) = &self.mode {
            *trailers.0.lock() = Some(trailing(came)?);
        }
        Ok(())
    }

    /// The body as it goes to the library.
    pub(super) fn guard(self, body: Body, intake: Arc<Intake>) -> Body {
        let reading = Reading {
            body: Paced::new(body),
            rest: Bytes::new(),
            held: None,
            frames: self,
            intake,
        };
        Body::from_stream(stream::try_unfold(reading, async |mut reading| {
            Ok::<_, axum::Error>(reading.next().await?.map(|piece| (piece, reading)))
        }))
    }
}

/// A body in chunks that is read.
struct Reading {
    body: Paced,
    rest: Bytes,
    /// Of the signed chunk that is in memory, here or with the library.
    held: Option<Held>,
    frames: Frames,
    intake: Arc<Intake>,
}

impl Reading {
    /// What is to be handed on next.
    async fn next(&mut self) -> Result<Option<Bytes>, axum::Error> {
        loop {
            if let Some(piece) = self.frames.out.pop_front() {
                return Ok(Some(piece));
            }
            match self.frames.step(&mut self.rest).map_err(axum::Error::new)? {
                None => {}
                Some(Need::Memory(bytes)) => {
                    // Whoever asks for this chunk's bytes has done with the one before.
                    self.held = None;
                    let mut held = self.intake.document_memory();
                    self.intake.grow(&mut held, bytes).await?;
                    self.held = Some(held);
                    self.body.restart(None);
                    self.frames.has_memory(bytes);
                }
                Some(Need::Bytes) => {
                    let more = match self.frames.at {
                        At::Whole(..) => self.body.next(&self.intake).await?,
                        At::Line(_) | At::Trailer(_) => {
                            self.held = None;
                            self.body.next_in_peace().await?
                        }
                        At::Begin(_) | At::Chunk(_) | At::End(_) => self.body.next_in_peace().await?,
                    };
                    let Some(more) = more else {
                        return self.frames.end().map(|()| None).map_err(axum::Error::new);
                    };
                    self.rest = more;
                }
            }
        }
    }
}

/// Lines `name:value`, as the library reads them.
fn trailing(text: &[u8]) -> Result<HeaderMap, Wrong> {
    let mut all = HeaderMap::new();
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    for (n, line) in lines.enumerate() {
        let at = line.iter().position(|byte| *byte == b':').filter(|_| n < limits::HEADERS_MAX);
        let (name, value) = line.split_at(at.ok_or(Wrong::Malformed)?);
        let name = HeaderName::from_bytes(name).map_err(|_| Wrong::Malformed)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        all.append(name, HeaderValue::from_bytes(value).map_err(|_| Wrong::Malformed)?);
    }
    Ok(all)
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
        Frames::new(if signed { Mode::Signed } else { Mode::Unsigned })
    }

    /// What is handed on of a piece, while there is memory for everything.
    fn pass(frames: &mut Frames, piece: &[u8]) -> Result<Vec<Bytes>, Wrong> {
        let (mut rest, mut out) = (Bytes::copy_from_slice(piece), Vec::new());
        loop {
            out.extend(frames.out.drain(..));
            match frames.step(&mut rest)? {
                None => {}
                Some(Need::Memory(bytes)) => frames.has_memory(bytes),
                Some(Need::Bytes) => return Ok(out),
            }
        }
    }

    /// What is handed on of a body that comes in these pieces.
    fn passed(signed: bool, pieces: &[&[u8]]) -> Result<Vec<u8>, Wrong> {
        let (mut frames, mut out) = (frames(signed), Vec::new());
        for piece in pieces {
            out.extend(pass(&mut frames, piece)?.concat());
        }
        frames.end().map(|()| out)
    }

    /// The same of one whose chunks are undone, and what came behind it.
    fn undone(pieces: &[&[u8]]) -> Result<(Vec<u8>, HeaderMap), Wrong> {
        let ((mut frames, trailers), mut out) = (Frames::undone(), Vec::new());
        for piece in pieces {
            out.extend(pass(&mut frames, piece)?.concat());
        }
        frames.end().map(|()| (out, trailers.take().unwrap()))
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
        assert_eq!(passed(true, &[line("100001").as_bytes()]), Err(Wrong::TooLong));
        for cut in ["", "5\r\nhello\r\n", "5\r\nhel", "5", "5\r\nhello"] {
            assert_eq!(passed(false, &[cut.as_bytes()]), Err(Wrong::Cut), "{cut}");
        }
    }

    #[test]
    fn no_chunk_is_waited_for_however_long_it_says_it_is() {
        let mut frames = frames(false);
        assert!(pass(&mut frames, b"ffffffff\r\n").unwrap().is_empty());
        let piece = Bytes::from(vec![0; 1 << 10]);
        assert_eq!(pass(&mut frames, &piece).unwrap()[..2], [Bytes::from_static(b"400\r\n"), piece]);
    }

    #[test]
    fn a_signed_chunk_comes_in_one_piece_and_there_is_memory_for_it_before() {
        let mut frames = frames(true);
        let mut rest = Bytes::from(format!("{}he", line("5")));
        assert_eq!(frames.step(&mut rest), Ok(None));
        assert_eq!(frames.out.pop_front().unwrap(), line("5"));
        assert_eq!((frames.step(&mut rest), &rest[..]), (Ok(Some(Need::Memory(5))), &b"he"[..]));
        frames.has_memory(5);
        assert_eq!(frames.step(&mut rest), Ok(Some(Need::Bytes)));
        assert_eq!(pass(&mut frames, b"l").unwrap(), Vec::<Bytes>::new());
        assert_eq!(pass(&mut frames, b"lo\r\n").unwrap(), [&b"hello"[..], LINE_END]);
        // One that is there already takes no memory but the connection's.
        let mut rest = Bytes::from(format!("{}hello\r\n", line("5")));
        for _ in 0..3 {
            assert_eq!(frames.step(&mut rest), Ok(None));
            frames.out.clear();
        }
        assert_eq!(frames.step(&mut rest), Ok(Some(Need::Bytes)));
    }

    #[test]
    fn what_nobody_signed_is_undone_here() {
        let body = b"5\r\nhello\r\n1\r\n!\r\n0\r\nX-Amz-Checksum-Crc32: abc= \r\nb:\r\n\r\n" as &[u8];
        for at in 0..body.len() {
            let (data, trailers) = undone(&[&body[..at], &body[at..]]).unwrap();
            assert_eq!(data, b"hello!");
            assert_eq!((trailers.len(), &trailers["x-amz-checksum-crc32"], &trailers["b"]), (2, &"abc=".parse().unwrap(), &"".parse().unwrap()));
        }
        assert!(undone(&[b"0\r\n"]).unwrap().1.is_empty());
        for cut in ["", "0", "5\r\nhello\r\n"] {
            assert_eq!(undone(&[cut.as_bytes()]), Err(Wrong::Cut), "{cut}");
        }
        let long = format!("0\r\na:{}", "b".repeat(TRAILER_BYTES_MAX));
        let many = format!("0\r\n{}", "a:b\n".repeat(limits::HEADERS_MAX + 1));
        for wrong in ["0\r\nab\r\n", "0\r\n:b\r\n", "0\r\na b:c\r\n", "0\r\na:\0\r\n", &line("0"), &long, &many] {
            assert_eq!(undone(&[wrong.as_bytes()]), Err(Wrong::Malformed), "{wrong}");
        }
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
            for piece in pass(&mut frames, &once).unwrap().chunks(3).filter(|pieces| pieces.len() == 3) {
                again.extend_from_slice(&piece[1]);
            }
            proptest::prop_assert_eq!(again, data.clone());
            proptest::prop_assert_eq!(undone(&body.chunks(at).collect::<Vec<_>>()).unwrap().0, data);
        }
    }
}
