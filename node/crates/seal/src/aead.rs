//! The engine behind a small face: a key that seals one message, cut into numbered frames.

use datamesh_shard::Cipher;
use datamesh_shard::limits::TAG_BYTES;
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::UNSEALED;
use crate::secret::stop;

/// A frame does not open: its bytes, its place, its key or what it was bound to is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// Which frame of its message a frame is, as the STREAM construction numbers them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) frame: u32,
    pub(crate) last: bool,
}

impl Place {
    /// The only frame of a message.
    pub(crate) const ONLY: Self = Self { frame: 0, last: true };

    /// Seven zero bytes (the key seals this one message, so there is nothing to tell apart), the frame's number
    /// (big-endian), and whether it is the last.
    fn nonce(self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&self.frame.to_be_bytes());
        nonce[11] = u8::from(self.last);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// The AEAD key of one message.
pub(crate) struct MessageKey(LessSafeKey);

impl MessageKey {
    pub(crate) fn new(cipher: Cipher, key: &[u8; 32]) -> Self {
        let algorithm = match cipher {
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        match UnboundKey::new(algorithm, key) {
            Ok(key) => Self(LessSafeKey::new(key)),
            Err(_) => stop("the AEAD engine refuses keys of 32 bytes"),
        }
    }

    /// Seals in place and returns the tag.
    pub(crate) fn seal(&self, place: Place, aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        let mut tag_bytes = [0; TAG_BYTES];
        match self.0.seal_in_place_separate_tag(place.nonce(), Aad::from(aad), text) {
            Ok(tag) => tag_bytes.copy_from_slice(tag.as_ref()),
            // It refuses messages of 64 GiB and more only; callers hold a thousandth of that.
            Err(_) => stop("the AEAD engine refuses to seal"),
        }
        tag_bytes
    }

    /// Opens `sealed[from..]` (text, then tag) and moves the plaintext to the front of `sealed`; its length is returned.
    pub(crate) fn open(
        &self,
        place: Place,
        aad: &[u8],
        sealed: &mut [u8],
        from: usize,
    ) -> Result<usize, Refused> {
        let text_bytes = sealed.len().checked_sub(from + TAG_BYTES).ok_or(Refused)?;
        self.0.open_within(place.nonce(), Aad::from(aad), sealed, from..).map_err(|_| Refused)?;
        Ok(text_bytes)
    }
}

/// A segment's frames: sealed, except in the build that tests whether plaintext would be found.
pub(crate) struct FrameKey(MessageKey);

impl FrameKey {
    pub(crate) fn new(cipher: Cipher, key: &[u8; 32]) -> Self {
        Self(MessageKey::new(cipher, key))
    }

    pub(crate) fn seal(&self, place: Place, aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        if UNSEALED {
            return [0; TAG_BYTES];
        }
        self.0.seal(place, aad, text)
    }

    pub(crate) fn open(
        &self,
        place: Place,
        aad: &[u8],
        sealed: &mut [u8],
        from: usize,
    ) -> Result<usize, Refused> {
        if UNSEALED {
            let text_bytes = sealed.len().checked_sub(from + TAG_BYTES).ok_or(Refused)?;
            sealed.copy_within(from..from + text_bytes, 0);
            return Ok(text_bytes);
        }
        self.0.open(place, aad, sealed, from)
    }
}
