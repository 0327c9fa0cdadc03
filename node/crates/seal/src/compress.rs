use zstd::bulk::{Compressor, Decompressor};

/// The level that pays on a fast network: 0.4 GB/s on text, several GB/s past what does not compress.
pub const ZSTD_LEVEL: i32 = 1;

/// How the bytes inside a segment's frames were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As they came.
    None = 0,
    /// One zstd frame.
    Zstd = 1,
}

impl Compression {
    /// The byte in the seal header.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The compression of a byte, if this version knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Parts of the text that are tried.
const SAMPLES: usize = 4;
/// Bytes of each part: enough for zstd to find what repeats, so few that trying costs next to nothing.
const SAMPLE_BYTES: usize = 4 << 10;
/// Below this a saving is not worth a decompression.
const TEXT_BYTES_MIN: usize = 256;
/// A sample must lose this share of its bytes: 1/8.
const SAMPLE_SAVING: usize = 8;
/// A whole text must lose this share, or it is stored as it is: 1/16.
const TEXT_SAVING: usize = 16;

/// Whether compression is worth a try: up to four parts of 4 KiB from all over `text`, compressed one by one, lose an
/// eighth of their bytes.
#[must_use]
pub fn pays_to_compress(text: &[u8]) -> bool {
    if text.len() < TEXT_BYTES_MIN {
        return false;
    }
    let Ok(mut compressor) = Compressor::new(ZSTD_LEVEL) else { return false };
    let mut room = [0; SAMPLE_BYTES + SAMPLE_BYTES / 2];
    let stride = (text.len() / SAMPLES).max(SAMPLE_BYTES);
    let (mut before, mut after) = (0, 0);
    for part in text.chunks(stride).take(SAMPLES) {
        let part = part.get(..SAMPLE_BYTES).unwrap_or(part);
        before += part.len();
        after += compressor.compress_to_buffer(part, &mut room[..]).unwrap_or(part.len());
    }
    after < before - before / SAMPLE_SAVING
}

/// Compresses into the front of `out`; nothing when that saves too little.
pub(crate) fn compress(text: &[u8], level: i32, out: &mut [u8]) -> Option<usize> {
    if text.len() < TEXT_BYTES_MIN {
        return None;
    }
    let room = out.get_mut(..text.len() - text.len() / TEXT_SAVING)?;
    Compressor::new(level).ok()?.compress_to_buffer(text, room).ok()
}

/// Decompresses into `out`, which was empty; nothing unless exactly `text_bytes` come out. No more is ever allocated.
pub(crate) fn decompress(packed: &[u8], text_bytes: usize, out: &mut Vec<u8>) -> Option<()> {
    out.reserve_exact(text_bytes);
    let bytes = Decompressor::new().ok()?.decompress_to_buffer(packed, out).ok()?;
    (bytes == text_bytes && out.len() == text_bytes).then_some(())
}
