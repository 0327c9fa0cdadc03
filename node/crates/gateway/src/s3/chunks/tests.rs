//! What is read of a body in chunks, and handed on.

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
    let of_signed = ["5\r\n".to_owned(), line("5").replace("0a0a", "0a0"), line("5").replace("0a0a", "0z0a")];
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
        assert_eq!(
            (trailers.len(), &trailers["x-amz-checksum-crc32"], &trailers["b"]),
            (2, &"abc=".parse().unwrap(), &"".parse().unwrap())
        );
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
